"""How a posed head's joints move, and what hangs on them: exact derivatives without automatic differentiation."""

from __future__ import annotations

import torch
from torch import Tensor

from vhap.geometry.rotations import axis_angle_derivatives
from vhap.head.model import (
    HeadModel,
    HeadParams,
    joint_angles,
    joint_places,
    joint_rotations,
)
from vhap.head.skinning import chain_transforms


def joint_shifts(model: HeadModel, params: HeadParams) -> Tensor:
    """(..., S, J, 3) how what hangs on each joint moves by shape, since shape moves the joints."""
    rotations = joint_rotations(params)
    count = 3 * len(model.parents)
    # What hangs on joints is linear in their places, whatever the number of shapes.
    each = torch.eye(count, dtype=rotations.dtype, device=rotations.device).view(count, -1, 3)
    alike = rotations[..., None, :, :, :].expand(*rotations.shape[:-3], count, -1, 3, 3)
    hung = chain_transforms(alike, each.expand(*alike.shape[:-2], 3), model.parents)[..., :3, 3].flatten(-2)
    shifts = (model.joint_shape_basis.flatten(0, 1).T @ hung).unflatten(-1, (-1, 3))
    return shifts if params.scale is None else shifts * params.scale


def rotation_changes(params: HeadParams) -> Tensor:
    """(..., 3 J, J, 3, 3): derivatives of the joints' rotation matrices by each component of each joint's axis-angle,
    zero for the other joints."""
    slopes = axis_angle_derivatives(joint_angles(params))
    own = torch.eye(slopes.shape[-4], dtype=slopes.dtype, device=slopes.device)
    return torch.einsum("jm,...jkab->...jkmab", own, slopes).flatten(-5, -4)


def transform_derivatives(model: HeadModel, params: HeadParams, changes: Tensor) -> Tensor:
    """(..., 3 J, J, 3, 4): derivatives of the joints' transforms. A joint's matrix occurs once in each product along
    the chain, so that a transform is affine in it, and its change is exact at any length."""
    rotations = joint_rotations(params)[..., None, :, :, :]
    joints = joint_places(model, params.shape).expand(*rotations.shape[:-4], -1, 3)[..., None, :, :]
    moved = chain_transforms(rotations + changes, joints.expand(*changes.shape[:-2], 3), model.parents)
    return (moved - chain_transforms(rotations, joints, model.parents))[..., :3, :]
