"""Heads of several frames at once, and how they move with their unknowns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from vhap.fit.params import TrackParams
from vhap.fit.scene import Scene
from vhap.geometry.fans import Fans
from vhap.head.derivatives import joint_shifts, rotation_changes, transform_derivatives
from vhap.head.model import HeadModel, canonical_vertices, joint_places, joint_rotations, pose_correctives
from vhap.head.skinning import chain_transforms
from vhap.render.warp_surface_points import blend_rotations, fan_normals, skin_vertices

N_MOTION = 18
"""Numbers that move the head and its joints, before a frame's expression."""


@dataclass(frozen=True)
class PosedHeads:
    """The heads of B frames. params: their rows; canonical (B, V, 3): vertices before skinning; transforms
    (B, J, 3, 4): of the joints; weights (V, J); fans: the vertices' neighbours."""

    params: TrackParams
    canonical: Tensor
    transforms: Tensor
    weights: Tensor
    fans: Fans

    @classmethod
    def of(cls, scene: Scene, params: TrackParams) -> PosedHeads:
        """One for each row of params."""
        head, posed = scene.head, params.head()
        rotations = joint_rotations(posed)
        canonical = (canonical_vertices(head, posed) + pose_correctives(head, rotations)).contiguous()
        joints = joint_places(head, posed.shape).expand(*rotations.shape[:-2], 3)
        transforms = chain_transforms(rotations, joints, head.parents)[..., :3, :].contiguous()
        return cls(params, canonical, transforms, head.weights, scene.fans)

    def row(self, index: int) -> PosedHeads:
        """One of them."""
        rows = slice(index, index + 1)
        params = self.params.rows(torch.tensor([index]))
        return replace(self, params=params, canonical=self.canonical[rows], transforms=self.transforms[rows])

    @cached_property
    def vertices(self) -> Tensor:
        """(B, V, 3)."""
        return skin_vertices(self.canonical, self.weights, self.transforms, self.params.translation)

    @cached_property
    def normals(self) -> tuple[Tensor, Tensor]:
        """Unit normals (B, V, 3) of the vertices, and the lengths (B, V) of the sums that they are made of."""
        return fan_normals(self.vertices, self.fans)

    @cached_property
    def turned(self) -> Tensor:
        """(B, V, 3, 3) what skinning turns displacements by."""
        return blend_rotations(self.weights, self.transforms[..., :3])


@dataclass(frozen=True)
class PoseDerivatives:
    """What all derivatives of B heads' surfaces are made of.

    by_motion (B, 12 J + 4, 18): of the joints' transforms and a translation, by what moves joints and head;
    by_correctives (B, C, 18): of the pose correctives' coefficients, None without them; joint_shifts (B, S, 3 J): where
    shape moves what hangs on joints.
    """

    by_motion: Tensor
    by_correctives: Tensor | None
    joint_shifts: Tensor

    @classmethod
    def of(cls, head: HeadModel, params: TrackParams) -> PoseDerivatives:
        posed = params.head()
        changes = rotation_changes(posed)
        by_transforms = _as_motion(transform_derivatives(head, posed, changes).flatten(-3))
        by_translation = by_transforms.new_zeros(len(by_transforms), 4, N_MOTION)
        by_translation[:, [0, 1, 2], [3, 4, 5]] = 1
        return cls(
            by_motion=torch.cat([by_transforms, by_translation], 1),
            by_correctives=None if head.pose_basis is None else _as_motion(changes[..., 1:, :, :].flatten(-3)),
            joint_shifts=joint_shifts(head, posed).flatten(-2),
        )


def _as_motion(by_joints: Tensor) -> Tensor:
    """(B, 15, K) derivatives of K values by the joints' rotations -> (B, K, 18), zero for the head's translation."""
    parts = [by_joints[:, :3], torch.zeros_like(by_joints[:, :3]), by_joints[:, 3:]]
    return torch.cat(parts, 1).transpose(1, 2)
