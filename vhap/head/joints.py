"""The joints of posed heads and how they move: exact derivatives without automatic differentiation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from vhap.geometry.rotations import axis_angle_derivatives, right_jacobian
from vhap.head.model import HeadModel, HeadParams, joint_angles, joint_places, joint_rotations
from vhap.head.skinning import chain_transforms


@dataclass(frozen=True)
class PosedJoints:
    """J joints of heads, leading axes (...) of which may be none.

    rest (..., J, 3): places of the joints of the head at rest, metres; rotations (..., J, 3, 3): each against its
    parent; turns (..., J, 3, 3): in the world; transforms (..., J, 3, 4): from points at rest to where each joint
    carries them, before the head's translation, with its scale.
    """

    model: HeadModel
    params: HeadParams
    rest: Tensor
    rotations: Tensor
    turns: Tensor
    transforms: Tensor

    @classmethod
    def of(cls, model: HeadModel, params: HeadParams) -> PosedJoints:
        rotations = joint_rotations(params)
        rest = joint_places(model, params.shape).expand(*rotations.shape[:-2], 3)
        transforms = chain_transforms(rotations, rest, model.parents)[..., :3, :]
        scaled = transforms if params.scale is None else transforms * params.scale
        return cls(model, params, rest, rotations, transforms[..., :3], scaled)

    def derivatives(self) -> Tensor:
        """(..., 3 J, J, 4, 3): of the four columns of every transform by each component of each joint's axis-angle.

        All that hangs on a joint turns about where the joint stands, by the columns of its Jacobian (Sola et al. 2018,
        A micro Lie theory, eq. 143)."""
        turning = (self.turns @ right_jacobian(joint_angles(self.params))).mT.flatten(-3, -2)
        pivots = (self.transforms[..., :3] @ self.rest[..., None]).squeeze(-1) + self.transforms[..., 3]
        columns = self.transforms.mT[..., None, :, :, :]
        moved = torch.linalg.cross(turning[..., None, None, :], columns.expand(*turning.shape[:-1], -1, -1, -1))
        standing = torch.linalg.cross(turning, pivots.repeat_interleave(3, -2))
        moved[..., 3, :] -= standing[..., None, :]
        return moved * _hangs_on(self.model.parents).to(moved)

    def rotation_changes(self) -> Tensor:
        """(..., 3 J, J, 3, 3): derivatives of `rotations` by each component of each joint's axis-angle, zero for the
        other joints."""
        slopes = axis_angle_derivatives(joint_angles(self.params))
        own = torch.eye(slopes.shape[-4], dtype=slopes.dtype, device=slopes.device)
        return torch.einsum("jm,...jkab->...jkmab", own, slopes).flatten(-5, -4)

    def shape_shifts(self) -> Tensor:
        """(..., S, J, 3) how what hangs on each joint moves by shape, since shape moves the joints."""
        count = 3 * len(self.model.parents)
        # What hangs on joints is linear in their places, whatever the number of shapes.
        each = torch.eye(count, dtype=self.rotations.dtype, device=self.rotations.device).view(count, -1, 3)
        alike = self.rotations[..., None, :, :, :].expand(*self.rotations.shape[:-3], count, -1, 3, 3)
        hung = chain_transforms(alike, each.expand(*alike.shape[:-2], 3), self.model.parents)[..., :3, 3].flatten(-2)
        shifts = (self.model.joint_shape_basis.flatten(0, 1).T @ hung).unflatten(-1, (-1, 3))
        return shifts if self.params.scale is None else shifts * self.params.scale


@lru_cache
def _hangs_on(parents: tuple[int, ...]) -> Tensor:
    """(3 J, J, 1, 1): 1 where a joint is the one that a component turns, or hangs on it, else 0."""
    # Kept, so not one that is for inference alone where the first caller is.
    with torch.inference_mode(False):
        hangs = torch.eye(len(parents))
        for joint, parent in enumerate(parents):
            if parent >= 0:
                hangs[:, joint] += hangs[:, parent]
        return hangs.repeat_interleave(3, 0)[..., None, None]
