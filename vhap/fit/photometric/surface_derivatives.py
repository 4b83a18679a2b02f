"""How points on the head's surface, their normals and their shading move with every unknown."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vhap.fit.params import N_CAMERA, PER_FRAME, TrackParams
from vhap.fit.scene import N_LIGHT, Scene
from vhap.head.derivatives import joint_shifts, rotation_changes, transform_derivatives
from vhap.head.model import (
    HeadModel,
    HeadParams,
    canonical_vertices,
    joint_places,
    joint_rotations,
    pose_correctives,
)
from vhap.head.skinning import chain_transforms
from vhap.render.blocks import BLOCK, padded
from vhap.render.warp_point_derivatives import Spread, gather_joints, spread_over_vertices, through_blend_shapes
from vhap.render.warp_surface_points import fan_normals

N_MOTION = 18
"""Numbers that move the head and its joints, before a frame's expression."""


@dataclass(frozen=True)
class PosedHead:
    """The head of one frame with what all derivatives of its surface are made of.

    params: the row of the frame; vertices (V, 3); canonical (V, 3): before skinning; turned (V, 3, 3): what skinning
    turns displacements by; by_motion (12 J + 4, 18): of the joints' transforms and a translation, by what moves joints
    and head; by_correctives (C, 18): of the pose correctives' coefficients, None without them; joint_shifts (S, 3 J).
    """

    params: TrackParams
    vertices: Tensor
    canonical: Tensor
    turned: Tensor
    by_motion: Tensor
    by_correctives: Tensor | None
    joint_shifts: Tensor

    @classmethod
    def of(cls, head: HeadModel, params: TrackParams) -> PosedHead:
        single = _single(params)
        rotations, changes = joint_rotations(single), rotation_changes(single)
        canonical = canonical_vertices(head, single) + pose_correctives(head, rotations)
        transforms = chain_transforms(rotations, joint_places(head, single.shape), head.parents)[:, :3]
        blended = (head.weights @ transforms.flatten(1)).unflatten(1, (3, 4))
        by_transforms = transform_derivatives(head, single, changes).flatten(1).T
        by_correctives = None if head.pose_basis is None else _as_motion(changes[:, 1:].flatten(1).T)
        return cls(
            params=params,
            vertices=(blended[..., :3] @ canonical[..., None])[..., 0] + blended[..., 3] + single.translation,
            canonical=canonical,
            turned=blended[..., :3].contiguous(),
            by_motion=torch.cat([_as_motion(by_transforms), _by_translation(by_transforms)]),
            by_correctives=by_correctives,
            joint_shifts=joint_shifts(head, single).flatten(1),
        )


def _as_motion(by_joints: Tensor) -> Tensor:
    """(..., 15) derivatives by the joints' rotations -> (..., 18) with zeros for the head's translation."""
    return torch.cat([by_joints[..., :3], torch.zeros_like(by_joints[..., :3]), by_joints[..., 3:]], -1)


def _by_translation(like: Tensor) -> Tensor:
    """(4, 18) derivatives of a translation, and a row of zeros."""
    rows = like.new_zeros(4, N_MOTION)
    rows[[0, 1, 2], [3, 4, 5]] = 1
    return rows


def surface_derivatives(
    scene: Scene,
    posed: PosedHead,
    corners: Tensor,
    barycentrics: Tensor,
    by_point: Tensor,
    by_normal: Tensor | None = None,
    shared: bool = True,
) -> tuple[Tensor, Tensor]:
    """Derivatives of N residuals by what all frames share (N, N_CAMERA + S + N_LIGHT), of which those by camera and
    light are for the caller to fill, and by the frame's own unknowns (N, 18 + E). Unless shared the former are (N, 0).

    corners, barycentrics (N, 3): of surface points. by_point, by_normal (N, 3): derivatives by such a point, and by its
    normal, interpolated between the vertices' unit normals; None where residuals do not depend on it.
    """
    head, count = scene.head, len(corners)
    normals = fan_normals(posed.vertices, scene.fans)
    spread = spread_over_vertices(corners.int(), barycentrics, by_point, by_normal, posed.vertices, normals, scene.fans)
    by_joints = gather_joints(spread, posed.canonical, head.weights, posed.turned)
    first = padded(N_MOTION)
    rows = by_joints.new_empty(count, first + scene.frame_shapes.shape[1] * BLOCK)
    through_blend_shapes(spread, scene.frame_shapes, rows)
    expressions_end = first + head.n_expr
    motion = by_joints @ posed.by_motion
    if posed.by_correctives is not None:
        correctives = rows[:, expressions_end : expressions_end + len(posed.by_correctives)]
        motion = motion + correctives @ posed.by_correctives
    rows[:, first - N_MOTION : first] = motion
    own = rows[:, first - N_MOTION : expressions_end]
    return _by_shared(scene, posed, spread, by_joints) if shared else own[:, :0], own


def _by_shared(scene: Scene, posed: PosedHead, spread: Spread, by_joints: Tensor) -> Tensor:
    """(N, N_CAMERA + S + N_LIGHT), of which those by camera and light are for the caller to fill."""
    first, n_shape = padded(N_CAMERA), scene.head.n_shape
    rows = by_joints.new_empty(len(by_joints), first + scene.person_shapes.shape[1] * BLOCK)
    through_blend_shapes(spread, scene.person_shapes, rows)
    # Shape moves the joints, and what hangs on them.
    hung = by_joints[:, :-4].view(len(by_joints), -1, 4)[..., 3]
    rows[:, first : first + n_shape] += hung @ posed.joint_shifts.T
    return rows[:, first - N_CAMERA : first + n_shape + N_LIGHT]


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
