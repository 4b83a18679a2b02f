"""How points on the head's surface, their normals and their shading move with every unknown."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag, normalize

from vhap.fit.params import PER_FRAME, TrackParams
from vhap.fit.scene import Scene
from vhap.geometry.fans import Fans
from vhap.geometry.meshes import summed_normals
from vhap.head.derivatives import blended_rotations, joint_shifts, motion_derivatives
from vhap.head.model import HeadModel, HeadParams, pose
from vhap.render.shading import shade


def shading_derivatives(smooth: Tensor, albedo: Tensor, lights: Tensor) -> Tensor:
    """Derivative (N, 3) of the shaded albedo (N, 3), summed over channels, by interpolated normals (N, 3)."""
    with torch.enable_grad():
        leaf = smooth.detach().requires_grad_(True)
        shaded = shade(normalize(leaf, dim=-1), lights.detach())
        return torch.autograd.grad((shaded * albedo).sum(), leaf)[0]


@dataclass(frozen=True)
class PosedHead:
    """The head of one frame with what all derivatives of its surface are made of.

    params: the row of the frame; vertices (V, 3); by_motion (3 V, 18): of vertices, by what moves joints and head;
    turned (V, 3, 3): what skinning turns displacements by; joint_shifts (S, 3 J).
    """

    params: TrackParams
    vertices: Tensor
    by_motion: Tensor
    turned: Tensor
    joint_shifts: Tensor

    @classmethod
    def of(cls, head: HeadModel, params: TrackParams) -> PosedHead:
        single = _single(params)
        return cls(
            params=params,
            vertices=pose(head, single),
            by_motion=motion_derivatives(head, single).flatten(0, 1),
            turned=blended_rotations(head, single),
            joint_shifts=joint_shifts(head, single).flatten(1),
        )


def surface_derivatives(
    scene: Scene,
    posed: PosedHead,
    corners: Tensor,
    barycentrics: Tensor,
    by_point: Tensor,
    by_normal: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Derivatives of N residuals by shape (N, S) and by the frame's own unknowns (N, 18 + E).

    corners, barycentrics (N, 3): of surface points. by_point, by_normal (N, 3): derivatives by such a point, and by its
    normal, interpolated between the vertices' unit normals; None where residuals do not depend on it.
    """
    if by_normal is None:
        counts = torch.ones_like(corners.flatten())
        vertex, slope = corners.flatten(), (barycentrics[..., None] * by_point[:, None]).flatten(0, 1)
    else:
        counts, vertex, slope = _vertex_derivatives(
            scene.fans, posed.vertices, corners, barycentrics, by_point, by_normal
        )
    rows = torch.cat([counts.new_zeros(1), counts.view(-1, 3).sum(1).cumsum(0)])
    return _by_unknowns(scene.head, posed, rows, vertex, slope)


def _vertex_derivatives(
    fans: Fans, vertices: Tensor, corners: Tensor, barycentrics: Tensor, by_point: Tensor, by_normal: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Derivatives of the residuals by single vertices: for each corner of each point how many there are (3 N,), then
    which vertex (K,) and the derivative (K, 3)."""
    across = fans.across(vertices)
    total = summed_normals(vertices, fans.faces)
    length = total.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    unit, corner = total / length, corners.flatten()
    by_unit = (barycentrics[..., None] * by_normal[:, None]).flatten(0, 1)
    by_total = (by_unit - unit[corner] * (by_unit * unit[corner]).sum(-1, keepdim=True)) / length[corner]
    owner, edge, counts = fans.edges_of(corner)
    around = torch.linalg.cross(across[edge], by_total[owner])
    own = (barycentrics[..., None] * by_point[:, None]).flatten(0, 1).index_add(0, owner, -around)
    place = torch.arange(len(owner), device=corner.device) + owner + 1
    first = (counts + 1).cumsum(0) - counts - 1
    vertex = corner.new_empty(len(owner) + len(corner))
    vertex[place], vertex[first] = fans.neighbour[edge], corner
    slope = own.new_empty(len(vertex), 3)
    slope[place], slope[first] = around, own
    return counts + 1, vertex, slope


def _by_unknowns(
    head: HeadModel, posed: PosedHead, rows: Tensor, vertex: Tensor, slope: Tensor
) -> tuple[Tensor, Tensor]:
    """Residuals' derivatives slope (K, 3) by single vertices (K,), those of residual n at rows[n]:rows[n + 1], as
    derivatives by shape (N, S) and by the frame's own unknowns (N, 18 + E)."""
    coordinate = (3 * vertex[:, None] + torch.arange(3, device=vertex.device)).flatten()

    def through(values: Tensor, moves: Tensor) -> Tensor:
        starts, weights = 3 * rows[:-1], values.flatten()
        return embedding_bag(coordinate, moves, starts, mode="sum", per_sample_weights=weights)

    by_motion = through(slope, posed.by_motion)
    canonical = (slope[:, :, None] * posed.turned[vertex]).sum(1)
    by_expr = through(canonical, head.expr_basis.flatten(0, 1))
    unit = torch.eye(3, dtype=slope.dtype, device=slope.device)
    hung = torch.einsum("vj,ac->vajc", head.weights, unit).reshape(3 * head.n_vertices, -1)
    by_joints = through(slope, hung) @ posed.joint_shifts.T
    by_shape = through(canonical, head.shape_basis.flatten(0, 1)) + by_joints
    return by_shape, torch.cat([by_motion, by_expr], 1)


def _single(params: TrackParams) -> HeadParams:
    """The one row of params without a leading axis."""
    own = {name: getattr(params, name)[0] for name in PER_FRAME}
    offset = params.offset()
    if offset is not None and offset.ndim == 3:
        offset = offset[0]
    return HeadParams(shape=params.shape, static_offset=offset, **own)


def picture_gradient(picture: Tensor) -> Tensor:
    """(H, W) -> (H, W, 2): central differences by x and y, zero at the border."""
    slopes = torch.zeros(*picture.shape, 2, dtype=picture.dtype, device=picture.device)
    slopes[:, 1:-1, 0] = (picture[:, 2:] - picture[:, :-2]) / 2
    slopes[1:-1, :, 1] = (picture[2:] - picture[:-2]) / 2
    return slopes
