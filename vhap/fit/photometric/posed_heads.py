"""Heads of several frames at once, and how they move with their unknowns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from vhap.fit.params import TrackParams
from vhap.fit.scene import Scene
from vhap.geometry.fans import Fans
from vhap.head.joints import PosedJoints
from vhap.head.model import canonical_vertices, pose_correctives
from vhap.render.warp_surface_points import blend_rotations, fan_normals, skin_vertices

N_MOTION = 18
"""Numbers that move the head and its joints, before a frame's expression."""


@dataclass(frozen=True)
class PosedHeads:
    """The heads of B frames. params: their rows; canonical (B, V, 3): vertices before skinning; joints: of them;
    weights (V, J); fans: the vertices' neighbours."""

    params: TrackParams
    canonical: Tensor
    joints: PosedJoints
    weights: Tensor
    fans: Fans

    @classmethod
    def of(cls, scene: Scene, params: TrackParams) -> PosedHeads:
        """One for each row of params."""
        head, posed = scene.head, params.head()
        joints = PosedJoints.of(head, posed)
        canonical = canonical_vertices(head, posed)
        if head.pose_basis is not None:
            canonical = canonical + pose_correctives(head, joints.rotations)
        return cls(params, canonical.contiguous(), joints, head.weights, scene.fans)

    @cached_property
    def vertices(self) -> Tensor:
        """(B, V, 3)."""
        return skin_vertices(self.canonical, self.weights, self.joints.transforms, self.params.translation)

    @cached_property
    def normals(self) -> tuple[Tensor, Tensor]:
        """Unit normals (B, V, 3) of the vertices, and the lengths (B, V) of the sums that they are made of."""
        return fan_normals(self.vertices, self.fans)

    @cached_property
    def turned(self) -> Tensor:
        """(B, V, 3, 3) what skinning turns displacements by."""
        return blend_rotations(self.weights, self.joints.turns)


@dataclass(frozen=True)
class PoseDerivatives:
    """What all derivatives of B heads' surfaces are made of.

    by_motion (B, 12 J + 4, 18): of the joints' transforms and a translation, by what moves joints and head;
    by_correctives (B, C, 18): of the pose correctives' coefficients, None without them; joint_shifts (B, S, 3 J): where
    shape moves what hangs on joints, None where nothing asks for it.
    """

    by_motion: Tensor
    by_correctives: Tensor | None
    joint_shifts: Tensor | None

    @classmethod
    def of(cls, joints: PosedJoints, by_shape: bool = True) -> PoseDerivatives:
        by_transforms = _as_motion(joints.derivatives().mT.flatten(-3))
        by_translation = by_transforms.new_zeros(len(by_transforms), 4, N_MOTION)
        by_translation[:, [0, 1, 2], [3, 4, 5]] = 1
        correctives = None
        if joints.model.pose_basis is not None:
            correctives = _as_motion(joints.rotation_changes()[..., 1:, :, :].flatten(-3))
        return cls(
            by_motion=torch.cat([by_transforms, by_translation], 1),
            by_correctives=correctives,
            joint_shifts=joints.shape_shifts().flatten(-2) if by_shape else None,
        )


def _as_motion(by_joints: Tensor) -> Tensor:
    """(B, 15, K) derivatives of K values by the joints' rotations -> (B, K, 18), zero for the head's translation."""
    parts = [by_joints[:, :3], torch.zeros_like(by_joints[:, :3]), by_joints[:, 3:]]
    return torch.cat(parts, 1).transpose(1, 2)
