"""How points on the head's surface, their normals and their shading move with every unknown."""

from __future__ import annotations

import threading
from dataclasses import replace

import torch
from torch import Tensor
from torch.func import jacfwd
from torch.nn.functional import normalize

from vhap.model.head import HeadModel, HeadParams, coefficient_slopes, pose
from vhap.render.shading import shade
from vhap.tracking.params import PER_FRAME, TrackParams
from vhap.tracking.scene import Scene

_differentiating = threading.Lock()
"""Forward differentiation keeps one state for all threads."""


def shading_slopes(smooth: Tensor, albedo: Tensor, lights: Tensor) -> Tensor:
    """Derivative (N, 3) of the shaded albedo (N, 3), summed over channels, by interpolated normals (N, 3)."""
    with torch.enable_grad():
        leaf = smooth.detach().requires_grad_(True)
        shaded = shade(normalize(leaf, dim=-1), lights.detach())
        return torch.autograd.grad((shaded * albedo).sum(), leaf)[0]


def surface_columns(
    scene: Scene, params: TrackParams, corners: Tensor, barycentrics: Tensor, by_point: Tensor, by_normal: Tensor
) -> tuple[Tensor, Tensor]:
    """Derivatives of the residuals by shape (N, S) and by the frame's own unknowns (N, 18 + E).

    by_point, by_normal (N, 3): by the surface point and by its interpolated normal.
    """
    touched = torch.zeros(scene.head.n_vertices, dtype=torch.bool, device=corners.device)
    touched[corners.flatten()] = True
    around = scene.head.faces[touched[scene.head.faces].any(1)]
    used, local_faces = torch.unique(around, return_inverse=True)
    place = torch.zeros(scene.head.n_vertices, dtype=torch.long, device=corners.device)
    place[used] = torch.arange(len(used), device=corners.device)
    head, corners = scene.head.keep_vertices(used), place[corners]
    single = _single(params, used)
    by_shape, by_expr = coefficient_slopes(head, single)
    moves = torch.cat([by_shape, motion_slopes(head, single), by_expr]).permute(1, 2, 0).contiguous()
    turns = normal_slopes(pose(head, single), local_faces, moves)
    columns = torch.zeros(len(corners), moves.shape[-1], device=corners.device)
    for corner in range(3):
        share = barycentrics[:, corner : corner + 1]
        columns += torch.einsum("nc,nck->nk", by_point * share, moves[corners[:, corner]])
        columns += torch.einsum("nc,nck->nk", by_normal * share, turns[corners[:, corner]])
    return columns[:, : head.n_shape], columns[:, head.n_shape :]


def _single(params: TrackParams, used: Tensor) -> HeadParams:
    """The one row of params without a leading axis, for a head that keeps the vertices used."""
    own = {name: getattr(params, name)[0] for name in PER_FRAME}
    offset = params.offset()
    if offset is not None:
        offset = (offset if offset.ndim == 2 else offset[0])[used]
    return HeadParams(shape=params.shape, static_offset=offset, **own)


def motion_slopes(head: HeadModel, params: HeadParams) -> Tensor:
    """(18, V, 3): derivatives of the posed vertices by rotation, translation, neck, jaw and eyes."""
    names = PER_FRAME[:-1]
    values = torch.cat([getattr(params, name) for name in names])
    widths = [getattr(params, name).shape[0] for name in names]

    def moved(motion: Tensor) -> Tensor:
        return pose(head, replace(params, **dict(zip(names, motion.split(widths)))))

    with _differentiating:
        return jacfwd(moved)(values).permute(2, 0, 1)


def normal_slopes(vertices: Tensor, faces: Tensor, moves: Tensor) -> Tensor:
    """Derivatives (V, 3, K) of the unit vertex normals where vertices (V, 3) move by moves (V, 3, K)."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    move_a, move_b, move_c = (moves[faces[:, k]] for k in range(3))
    edge_b, edge_c = (b - a)[..., None], (c - a)[..., None]
    turned = torch.linalg.cross(move_b - move_a, edge_c, dim=1) + torch.linalg.cross(edge_b, move_c - move_a, dim=1)
    total, change = torch.zeros_like(vertices), torch.zeros_like(moves)
    flat = torch.linalg.cross(b - a, c - a)
    for corner in range(3):
        total.index_add_(0, faces[:, corner], flat)
        change.index_add_(0, faces[:, corner], turned)
    length = total.norm(dim=-1).clamp(min=1e-12)
    unit = total / length[:, None]
    along = torch.einsum("vc,vck->vk", unit, change)
    return (change - unit[..., None] * along[:, None]) / length[:, None, None]


def picture_slopes(picture: Tensor) -> Tensor:
    """(H, W) -> (H, W, 2): central differences by x and y, zero at the border."""
    slopes = torch.zeros(*picture.shape, 2, dtype=picture.dtype, device=picture.device)
    slopes[:, 1:-1, 0] = (picture[:, 2:] - picture[:, :-2]) / 2
    slopes[1:-1, :, 1] = (picture[2:] - picture[:-2]) / 2
    return slopes
