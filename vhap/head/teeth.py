"""Teeth for heads that come without: two curved plates behind the lips, upper on the head, lower on the jaw.

Sizes and places come from the lips alone, so no vertex of a certain file is named. 120 vertices and 168 faces.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from vhap.head.model import HeadModel
from vhap.head.regions import open_loops
from vhap.head.uv import largest_gap
from vhap.util.errors import InputError

COLUMNS, ROWS = 15, 4
"""Vertices along the arch, and across it: gum in front, edge in front, edge behind, gum behind."""
ARCH_WIDTH = 0.84
ARCH_DEPTH = 0.62
"""Width and depth of the row in widths of the mouth; a dental arch is about as wide as the mouth and less deep."""
CROWN_M = 0.0085
THICKNESS_M = 0.0025
BEHIND_LIPS_M = 0.0045
"""How far the upper row stands behind the middle of the lips."""
OVERBITE_M = 0.0015
OVERJET_M = 0.002
SHAPE_REACH = 0.25
"""Reach, in widths of the mouth, over which a tooth takes the shape modes of the lips around it."""


def add_teeth(model: HeadModel) -> HeadModel:
    """The head with 60 + 60 more vertices and 84 + 84 more faces, and the regions teeth, teeth_upper, teeth_lower.

    Teeth follow the shape modes as the lips around them do on average, no expression and no pose corrective; the
    upper row follows the neck joint (the head), the lower row the jaw joint. A head that has teeth is returned as
    it is. InputError where the head has no region `lips`.
    """
    if "teeth" in model.regions:
        return model
    if "lips" not in model.regions:
        raise InputError(f"expected a region lips in head {model.name}, found none; provide its mask file")
    rim = _mouth_rim(model)
    points = model.template[rim]
    rows = torch.cat([_row(points, True), _row(points, False)]).to(model.template)
    first, count = model.n_vertices, COLUMNS * ROWS
    faces = torch.cat([_row_faces(True), _row_faces(False) + count])
    weights = model.weights.new_zeros(2 * count, model.weights.shape[1])
    weights[:count, 1] = 1
    weights[count:, 2] = 1
    upper = torch.arange(first, first + count)
    nothing = model.template.new_zeros(2 * count, 3, 1)
    uvs, uv_faces = _row_uvs(model, faces)
    return replace(
        model,
        template=torch.cat([model.template, rows]),
        faces=torch.cat([model.faces, faces + first]),
        shape_basis=torch.cat([model.shape_basis, _shape_of(rows, points, model.shape_basis[rim])]),
        expr_basis=torch.cat([model.expr_basis, nothing.expand(-1, -1, model.n_expr)]),
        pose_basis=None
        if model.pose_basis is None
        else torch.cat([model.pose_basis, nothing.expand(-1, -1, model.pose_basis.shape[-1])]),
        weights=torch.cat([model.weights, weights]),
        uvs=torch.cat([model.uvs, uvs]),
        uv_faces=torch.cat([model.uv_faces, uv_faces + len(model.uvs)]),
        regions={
            **model.regions,
            "teeth": torch.cat([upper, upper + count]),
            "teeth_upper": upper,
            "teeth_lower": upper + count,
        },
    )


def _mouth_rim(model: HeadModel) -> Tensor:
    """The open edge inside the lips, or all lip vertices where the mouth is closed by a socket."""
    lips = torch.zeros(model.n_vertices, dtype=torch.bool)
    lips[model.regions["lips"]] = True
    loops = [loop for loop in open_loops(model) if lips[loop].float().mean() > 0.5]
    return max(loops, key=len) if loops else model.regions["lips"]


def _row(rim: Tensor, upper: bool) -> Tensor:
    """(60, 3) vertices of one row: a parabolic arch, ROWS vertices across at each of COLUMNS places."""
    low, high = rim.amin(0), rim.amax(0)
    centre, width = (low[0] + high[0]) / 2, high[0] - low[0]
    slit = rim[(rim[:, 0] - centre).abs() < 0.25 * width, 1].mean()
    side = torch.linspace(-1, 1, COLUMNS)
    front = high[2] - BEHIND_LIPS_M - (0.0 if upper else OVERJET_M)
    arch = torch.stack([centre + side * ARCH_WIDTH * width / 2, front - side**2 * ARCH_DEPTH * width], -1)
    tangent = torch.stack([(ARCH_WIDTH * width / 2).expand(COLUMNS), -2 * side * ARCH_DEPTH * width], -1)
    inward = torch.stack([tangent[:, 1], -tangent[:, 0]], -1)
    inner = arch + THICKNESS_M * torch.nn.functional.normalize(inward, dim=-1)
    edge = slit - OVERBITE_M if upper else slit - OVERBITE_M / 2
    gum = edge + (CROWN_M if upper else -CROWN_M)
    rows = []
    for plan, height in ((arch, gum), (arch, edge), (inner, edge), (inner, gum)):
        rows.append(torch.stack([plan[:, 0], height.expand(COLUMNS), plan[:, 1]], -1))
    return torch.stack(rows, 1).reshape(-1, 3)


def _row_faces(upper: bool) -> Tensor:
    """(84, 3) triangles of one row, counter-clockwise seen from outside the plate."""
    faces = []
    for column in range(COLUMNS - 1):
        for row in range(ROWS - 1):
            a = column * ROWS + row
            b, c, d = a + 1, a + ROWS + 1, a + ROWS
            quad = [(a, b, c), (a, c, d)]
            faces += quad if upper else [(x, z, y) for x, y, z in quad]
    return torch.tensor(faces)


def _shape_of(teeth: Tensor, rim: Tensor, rim_basis: Tensor) -> Tensor:
    """(N, 3, S) shape modes of the teeth: a mean of the rim's, weighted by how near it is from side to side."""
    reach = SHAPE_REACH * (rim[:, 0].max() - rim[:, 0].min())
    weights = torch.exp(-0.5 * ((teeth[:, None, 0] - rim[None, :, 0]) / reach) ** 2)
    weights = weights / weights.sum(1, keepdim=True)
    return (weights @ rim_basis.flatten(1)).unflatten(1, rim_basis.shape[1:])


def _row_uvs(model: HeadModel, faces: Tensor) -> tuple[Tensor, Tensor]:
    """Both rows laid out flat, one above the other, in the largest free rectangle of the texture."""
    left, bottom, width, height = largest_gap(model.uvs[model.uv_faces].cpu().numpy())
    along, across = np.meshgrid(np.linspace(0.05, 0.95, COLUMNS), np.linspace(0.05, 0.45, ROWS), indexing="ij")
    upper = np.stack([along, 1 - across], -1).reshape(-1, 2)
    lower = np.stack([along, across], -1).reshape(-1, 2)
    flat = np.concatenate([upper, lower]) * (width, height) + (left, bottom)
    return torch.from_numpy(flat).to(model.uvs), faces.clone()
