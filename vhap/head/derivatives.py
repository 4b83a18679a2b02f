"""How a posed head's vertices move with every parameter: exact derivatives without automatic differentiation."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from vhap.geometry.rotations import axis_angle_derivatives
from vhap.head.model import (
    HeadModel,
    HeadParams,
    canonical_vertices,
    joint_angles,
    joint_places,
    joint_rotations,
    pose_correctives,
)
from vhap.head.skinning import chain_transforms


def blended_rotations(model: HeadModel, params: HeadParams) -> Tensor:
    """(..., V, 3, 3) what skinning (and scale) turn each vertex's displacement by."""
    rotations = joint_rotations(params)
    no_joints = model.joint_template.new_zeros(*rotations.shape[:-2], 3)
    turned = chain_transforms(rotations, no_joints, model.parents)[..., :3, :3]
    blended = (model.weights @ turned.flatten(-2)).unflatten(-1, (3, 3))
    return blended if params.scale is None else blended * params.scale


def joint_shifts(model: HeadModel, params: HeadParams) -> Tensor:
    """(..., S, J, 3) how what hangs on each joint moves by shape, since shape moves the joints."""
    rotations, moved_joints = joint_rotations(params), model.joint_shape_basis.permute(2, 0, 1)
    per_shape = rotations[..., None, :, :, :].expand(*rotations.shape[:-3], model.n_shape, -1, 3, 3)
    shifts = chain_transforms(per_shape, moved_joints.expand(*per_shape.shape[:-2], 3), model.parents)[..., :3, 3]
    return shifts if params.scale is None else shifts * params.scale


def coefficient_derivatives(model: HeadModel, params: HeadParams) -> tuple[Tensor, Tensor]:
    """Derivatives of the posed vertices by shape and expression: (..., V, 3, S) and (..., V, 3, E).

    Posing is affine in the coefficients, so a column of the Jacobian is a posed basis vector.
    """
    blended = blended_rotations(model, params)
    shifts = joint_shifts(model, params).movedim(-3, -1).flatten(-2)
    hung = (model.weights @ shifts).unflatten(-1, (3, model.n_shape))
    return blended @ model.shape_basis + hung, blended @ model.expr_basis


def motion_derivatives(model: HeadModel, params: HeadParams) -> Tensor:
    """(..., V, 3, 18): derivatives of the posed vertices by rotation, translation, neck, jaw and eyes."""
    rotations, changes = joint_rotations(params), rotation_changes(params)
    canonical = canonical_vertices(model, params) + pose_correctives(model, rotations)
    by_joints = _under_transforms(model, canonical, transform_derivatives(model, params, changes))
    if model.pose_basis is not None:
        features = changes[..., 1:, :, :].flatten(-3).transpose(-1, -2)
        turned = blended_rotations(model, replace(params, scale=None))
        by_joints = by_joints + turned @ (model.pose_basis @ features[..., None, :, :])
    if params.scale is not None:
        by_joints = by_joints * params.scale
    by_place = torch.eye(3, dtype=by_joints.dtype, device=by_joints.device).expand_as(by_joints[..., :3])
    return torch.cat([by_joints[..., :3], by_place, by_joints[..., 3:]], -1)


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


def _under_transforms(model: HeadModel, canonical: Tensor, transforms: Tensor) -> Tensor:
    """(..., V, 3) skinned by each of (..., T, J, 3, 4): (..., V, 3, T)."""
    homogeneous = torch.cat([canonical, torch.ones_like(canonical[..., :1])], -1)
    weighted = (model.weights[..., None] * homogeneous[..., None, :]).flatten(-2)
    columns = transforms.movedim(-4, -1).transpose(-3, -2).flatten(-2).flatten(-3, -2)
    return (weighted @ columns).unflatten(-1, (3, -1))
