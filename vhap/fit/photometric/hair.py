"""Hair: offsets that bring the scalp to the border of the matte, solved from the outlines of many pictures at once.

A head model's identity determines the skull. Hair stands off it by what no identity shows, and were the skull to
follow, the face would follow with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.sparse import csr_array, diags_array
from scipy.sparse.linalg import spsolve
from torch import Tensor

from vhap.fit.params import TrackParams
from vhap.fit.photometric.outlines import Outline, find_outline
from vhap.fit.photometric.surface_points import GreyPicture, camera_of, surface_at
from vhap.fit.scene import Scene
from vhap.geometry.meshes import vertex_normals
from vhap.head.derivatives import blended_rotations
from vhap.head.model import HeadModel, pose

ROUNDS, SETTLED_M = 8, 2e-4
REFERENCE_SIDE = 512
"""Longer side of the pictures for which the prior is given: larger ones have more pixels on the same outline."""


@dataclass(frozen=True)
class HairPrior:
    """Standard deviations. spread: of an outline, as a fraction of the picture's longer side; robust: in these units,
    from which distance on a point counts less; bend_m: of a vertex against the mean of its neighbours; length_m: how
    far hair stands off. count: points of a picture."""

    spread: float = 0.004
    robust: float = 5.0
    bend_m: float = 3e-4
    length_m: float = 0.02
    count: int = 600

    def weight(self, distance: Tensor, crown: Tensor) -> Tensor:
        """(n,) of distances (n,) in standard deviations, crown (n,) bool. Cauchy's weights, but nothing where hair may
        hang beside the head: inside the matte, below the crown."""
        near = 1 / (1 + (distance / self.robust).square())
        return torch.where(crown | (distance > 0), near, 0.0)


@dataclass(frozen=True)
class _Hair:
    """vertices (H,) that hair may move, where each stands among them (V,; -1 for the others), the directions (H, 3) in
    which they go, in the head's own space, and the precision (H, H) of what holds them."""

    vertices: Tensor
    row_of: Tensor
    direction: Tensor
    held: csr_array


@torch.no_grad()
def grow_hair(
    scene: Scene,
    params: TrackParams,
    pictures: Iterable[tuple[TrackParams, GreyPicture]],
    fixed: Tensor | None = None,
    prior: HairPrior | None = None,
) -> TrackParams:
    """Params whose static offset puts the region `hair` on the matte's border.

    pictures: pictures, each with the row of its timestep; fixed (V,) bool: vertices that stay. All pictures together
    count as one: what they err by is alike. Where there is no hair, no matte or no outline of hair params come back as
    they were.
    """
    prior = prior or HairPrior()
    hair = _hair_of(scene, params, fixed, prior)
    if hair is None or params.static_offset is None:
        return params
    shown = [(row, picture) for row, picture in pictures if picture.border is not None]
    base, length = params.static_offset, np.zeros(len(hair.vertices))
    for _ in range(ROUNDS):
        offset = base.index_add(0, hair.vertices, torch.from_numpy(length).to(base)[:, None] * hair.direction)
        rows, residual, weight = _equations(scene, replace(params, static_offset=offset), shown, hair, prior)
        if len(residual) == 0:
            return params
        weighted = rows.T @ diags_array(weight)
        step = spsolve((hair.held + weighted @ rows).tocsc(), -(weighted @ residual) - hair.held @ length)
        length = length + step
        if np.abs(step).max() < SETTLED_M:
            break
    offset = base.index_add(0, hair.vertices, torch.from_numpy(length).to(base)[:, None] * hair.direction)
    return replace(params, static_offset=offset)


def _hair_of(scene: Scene, params: TrackParams, fixed: Tensor | None, prior: HairPrior) -> _Hair | None:
    head = scene.head
    inside = scene.mask(("hair",))
    vertices = torch.nonzero(inside if fixed is None else inside & ~fixed).flatten()
    if len(vertices) == 0:
        return None
    row_of = torch.full_like(head.template[:, 0], -1, dtype=torch.long)
    row_of[vertices] = torch.arange(len(vertices), device=row_of.device)
    skull = head.template + head.shape_basis @ params.shape
    direction = vertex_normals(skull[None], head.faces)[0][vertices]
    bend = _sparse(scene.laplacian)[vertices.cpu().numpy()][:, vertices.cpu().numpy()]
    held = bend.T @ bend / prior.bend_m**2 + diags_array(np.full(len(vertices), prior.length_m**-2.0))
    return _Hair(vertices, row_of, direction, held.tocsr())


def _sparse(matrix: Tensor) -> csr_array:
    indices = matrix.indices().cpu().numpy()
    return csr_array((matrix.values().cpu().double().numpy(), tuple(indices)), shape=tuple(matrix.shape))


def _equations(
    scene: Scene,
    params: TrackParams,
    pictures: Sequence[tuple[TrackParams, GreyPicture]],
    hair: _Hair,
    prior: HairPrior,
) -> tuple[csr_array, np.ndarray, np.ndarray]:
    """Derivatives (N, H) of all outlines' distances by the lengths, distances (N,) in standard deviations, and how much
    each counts (N,)."""
    still = torch.ones(scene.head.n_vertices, dtype=torch.bool, device=hair.vertices.device)
    still[hair.vertices] = False
    crown = scene.mask(("crown",))
    spread = prior.spread * max(scene.size)
    found = []
    for row, picture in pictures:
        row = replace(row, static_offset=params.static_offset)
        outline = _outline(scene, row, picture, still, prior.count)
        if outline is None:
            continue
        columns = hair.row_of[outline.corners]
        moves = _moves(scene, row, picture, outline, hair) / spread
        distance = outline.distance / spread
        share = outline.share / len(pictures) * REFERENCE_SIDE / max(scene.size)
        weight = share * prior.weight(distance, crown[outline.corners].all(-1))
        found.append((columns, moves, distance, weight))
    if not found:
        return csr_array((0, len(hair.vertices))), np.zeros(0), np.zeros(0)
    columns, moves, distance, weight = (torch.cat(parts).cpu().double().numpy() for parts in zip(*found))
    place = (np.repeat(np.arange(len(distance)), 3), columns.astype(np.int64).flatten())
    rows = csr_array((moves.flatten(), place), shape=(len(distance), len(hair.vertices)))
    return rows, distance, weight


def _outline(scene: Scene, row: TrackParams, picture: GreyPicture, still: Tensor, count: int) -> Outline | None:
    """Of a picture, where it is hair's."""
    assert picture.border is not None
    clip = camera_of(scene, row, picture).to_clip(pose(scene.head, row.head()))
    raster = scene.backend.rasterize(clip, scene.topology, *scene.size)
    return find_outline(scene.topology.faces, raster, picture.border, count, still)


def _moves(scene: Scene, row: TrackParams, picture: GreyPicture, outline: Outline, hair: _Hair) -> Tensor:
    """(n, 3): how an outline's distances change with the length of hair at each corner."""
    head: HeadModel = scene.head
    vertices = pose(head, row.head())
    turned = blended_rotations(head, row.head())[0][hair.vertices] @ hair.direction[..., None]
    slopes = camera_of(scene, row, picture).projection_derivatives(surface_at(outline, vertices[0])[None])[0]
    by_place = torch.einsum("nk,nkc->nc", outline.slope, slopes)
    along = (turned[..., 0][hair.row_of[outline.corners]] * by_place[:, None]).sum(-1)
    return along * outline.barycentrics
