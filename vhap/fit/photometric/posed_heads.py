"""Heads of several frames at once: what is small, or one matrix product, for all of them; vertices frame by frame."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from vhap.fit.params import TrackParams
from vhap.head.derivatives import joint_shifts, rotation_changes, transform_derivatives
from vhap.head.model import HeadModel, canonical_vertices, joint_places, joint_rotations, pose_correctives
from vhap.head.skinning import chain_transforms
from vhap.render.warp_surface_points import blend_rotations, skin_vertices

N_MOTION = 18
"""Numbers that move the head and its joints, before a frame's expression."""


@dataclass(frozen=True)
class PosedFrame:
    """The head of one frame. params: its row; canonical (V, 3): vertices before skinning; transforms (J, 3, 4): of the
    joints; weights (V, J)."""

    params: TrackParams
    canonical: Tensor
    transforms: Tensor
    weights: Tensor

    @cached_property
    def vertices(self) -> Tensor:
        """(V, 3)."""
        return skin_vertices(self.canonical, self.weights, self.transforms, self.params.translation[0])

    @cached_property
    def turned(self) -> Tensor:
        """(V, 3, 3) what skinning turns displacements by."""
        return blend_rotations(self.weights, self.transforms[..., :3])


@dataclass(frozen=True)
class PosedHead(PosedFrame):
    """With what all derivatives of its surface are made of.

    by_motion (12 J + 4, 18): of the joints' transforms and a translation, by what moves joints and head; by_correctives
    (C, 18): of the pose correctives' coefficients, None without them; joint_shifts (S, 3 J): where shape moves what
    hangs on joints.
    """

    by_motion: Tensor
    by_correctives: Tensor | None
    joint_shifts: Tensor

    @classmethod
    def of(cls, head: HeadModel, params: TrackParams) -> PosedHead:
        """params: the row of one frame."""
        return posed_heads(head, params)[0]


def posed_frames(head: HeadModel, params: TrackParams) -> list[PosedFrame]:
    """One for each of the B rows of params."""
    posed = params.head()
    rotations = joint_rotations(posed)
    canonical = (canonical_vertices(head, posed) + pose_correctives(head, rotations)).contiguous()
    joints = joint_places(head, posed.shape).expand(*rotations.shape[:-2], 3)
    transforms = chain_transforms(rotations, joints, head.parents)[..., :3, :].contiguous()
    rows = [params.rows(row) for row in torch.arange(len(rotations)).split(1)]
    return [PosedFrame(*each, head.weights) for each in zip(rows, canonical, transforms)]


def posed_heads(head: HeadModel, params: TrackParams) -> list[PosedHead]:
    """One for each of the B rows of params."""
    posed = params.head()
    changes = rotation_changes(posed)
    by_transforms = _as_motion(transform_derivatives(head, posed, changes).flatten(-3))
    by_translation = by_transforms.new_zeros(len(by_transforms), 4, N_MOTION)
    by_translation[:, [0, 1, 2], [3, 4, 5]] = 1
    by_motion = torch.cat([by_transforms, by_translation], 1)
    by_correctives = None if head.pose_basis is None else _as_motion(changes[..., 1:, :, :].flatten(-3))
    shifts = joint_shifts(head, posed).flatten(-2)
    return [
        PosedHead(
            params=frame.params,
            canonical=frame.canonical,
            transforms=frame.transforms,
            weights=frame.weights,
            by_motion=by_motion[row],
            by_correctives=None if by_correctives is None else by_correctives[row],
            joint_shifts=shifts[row],
        )
        for row, frame in enumerate(posed_frames(head, params))
    ]


def _as_motion(by_joints: Tensor) -> Tensor:
    """(B, 15, K) derivatives of K values by the joints' rotations -> (B, K, 18), zero for the head's translation."""
    parts = [by_joints[:, :3], torch.zeros_like(by_joints[:, :3]), by_joints[:, 3:]]
    return torch.cat(parts, 1).transpose(1, 2)
