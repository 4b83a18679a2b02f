"""The energy's terms: short pure functions of tensors that do not know their weights.

Where a term is a sum of squares (or robust) its residual stands beside it, for second-order solvers.
Formulas follow doc/conventions.md, section Energy.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vhap.geometry.rotations import axis_angle_to_matrix

TEXTURE_REFERENCE_SIZE = 2048
REFERENCE_SHAPE, REFERENCE_EXPR = 300, 100
"""Numbers of coefficients at which the weights are given (FLAME's): a head with fewer is not held more tightly."""


def landmark_residual(projected_px: Tensor, detected_px: Tensor, size: tuple[int, int]) -> Tensor:
    """(B, L, 2) differences in units in which the picture spans [-1, 1] in both directions."""
    height, width = size
    scale = projected_px.new_tensor([2 / width, 2 / height])
    return (projected_px - detected_px) * scale


def landmark(projected_px: Tensor, detected_px: Tensor, weight: Tensor, size: tuple[int, int]) -> Tensor:
    """Mean over all points of weight times L1 distance, coordinates in [-1, 1].

    projected_px, detected_px: (B, L, 2); weight: (B, L) confidence (times emphasis), 0 where not detected.
    """
    distance = landmark_residual(projected_px, detected_px, size).abs().sum(-1)
    return (weight * distance).mean()


def photo(picture: Tensor, target: Tensor) -> Tensor:
    """Sum of absolute colour differences (B, H, W, 3); the energy divides by the number of rendered pixels.

    The target stands behind the head in the picture, so only the head and its antialiased border contribute.
    """
    return (picture - target).abs().sum()


def coefficient_residual(coefficients: Tensor) -> Tensor:
    """Coefficients of a unit-variance basis are their own residuals."""
    return coefficients


def reg_shape(shape: Tensor) -> Tensor:
    """Mean square of the identity coefficients (S,), given at 300 of them: each costs the same on every head."""
    return coefficient_residual(shape).square().sum() / REFERENCE_SHAPE


def reg_expr(expr: Tensor) -> Tensor:
    """Mean square of the expression coefficients (B, E), given at 100 of them."""
    return coefficient_residual(expr).square().sum(-1).mean() / REFERENCE_EXPR


def rotation_residual(axis_angle: Tensor, other: Tensor | None = None) -> Tensor:
    """(..., 3) -> (..., 9): rotation matrix minus that of other (identity where None)."""
    matrix = axis_angle_to_matrix(axis_angle)
    if other is None:
        reference = torch.eye(3, dtype=matrix.dtype, device=matrix.device)
    else:
        reference = axis_angle_to_matrix(other)
    return (matrix - reference).flatten(-2)


def reg_neck(neck_pose: Tensor) -> Tensor:
    """Mean squared difference of the neck's rotation matrix to the identity; neck_pose (B, 3)."""
    return rotation_residual(neck_pose).square().mean()


def reg_jaw(jaw_pose: Tensor) -> Tensor:
    """As the neck, and 10 x mean relu(-x) (no bite through) and 3 x mean square of y, z; jaw_pose (B, 3)."""
    overbite = torch.relu(-jaw_pose[..., 0]).mean()
    return rotation_residual(jaw_pose).square().mean() + 10 * overbite + 3 * jaw_pose[..., 1:].square().mean()


def reg_eyes(eyes_pose: Tensor) -> Tensor:
    """Both eyes against the identity and against each other; eyes_pose (B, 6)."""
    left, right = eyes_pose[..., :3], eyes_pose[..., 3:]
    to_identity = rotation_residual(torch.stack([left, right])).square().mean()
    return to_identity + rotation_residual(left, right).square().mean()


def reg_tex_tv(albedo: Tensor) -> Tensor:
    """Mean squared difference of neighbouring texels of the albedo (1, R, R, 3).

    Told at the resolution of 2048: a texture of R texels has 2048 / R times steeper neighbours.
    """
    vertical = (albedo[:, 1:] - albedo[:, :-1]).square().mean()
    horizontal = (albedo[:, :, 1:] - albedo[:, :, :-1]).square().mean()
    return (vertical + horizontal) * (albedo.shape[1] / TEXTURE_REFERENCE_SIZE) ** 2


def reg_tex_res(residual: Tensor, mask: Tensor) -> Tensor:
    """Square of the texture's residual (1, R, R, 3) inside mask (R, R), averaged over all texels."""
    return (residual.square() * mask[..., None]).mean()


def reg_light(lights: Tensor, uniform: Tensor) -> Tensor:
    """Mean squared change of the coefficients (9, 3) from the uniform light."""
    return (lights - uniform).square().mean()


def reg_diffuse(shading: Tensor) -> Tensor:
    """relu(max - 1) plus the variance across colour channels of the shading (N, 3); 0 where N = 0."""
    if shading.shape[0] == 0:
        return shading.sum()
    return torch.relu(shading.max() - 1) + shading.var(dim=-1).mean()


def reg_offset(offset: Tensor, relaxed: Tensor, coefficient: float) -> Tensor:
    """Mean absolute value of offsets (..., V, 3) in metres, times coefficient where relaxed (V,) is True."""
    return (offset.abs() * _relaxation(offset, relaxed, coefficient)).mean()


def reg_offset_lap(change: Tensor, relaxed: Tensor, coefficient: float) -> Tensor:
    """Change (..., V, 3) of the uniform Laplacian by the offsets: squares, summed over xyz, mean over vertices."""
    return (change.square() * _relaxation(change, relaxed, coefficient)).sum(-1).mean()


def _relaxation(offset: Tensor, relaxed: Tensor, coefficient: float) -> Tensor:
    return torch.where(relaxed, coefficient, 1.0).to(offset)[:, None]


def reg_offset_rigid(offset: Tensor, regions: list[Tensor]) -> Tensor:
    """Variance of the offsets (..., V, 3) inside each region (vertex indices), summed over regions, mean over xyz."""
    spread = [offset[..., vertices, :].var(-2, correction=0).mean() for vertices in regions]
    return torch.stack(spread).sum() if spread else offset.sum() * 0


def reg_offset_dynamic(offset: Tensor, before: Tensor, valid: Tensor) -> Tensor:
    """Mean squared change of moving offsets (B, V, 3) since the previous frame, held fixed."""
    return ((offset - before.detach()) * valid[:, None, None]).square().mean()


def silhouette(coverage: Tensor, alpha: Tensor, growing: Tensor) -> Tensor:
    """Sum of coverage beyond alpha (B, H, W), and of alpha beyond coverage where growing; divided as `photo`."""
    beyond = coverage - alpha
    return (torch.relu(beyond) + torch.relu(-beyond) * growing).sum()


def change_residual(now: Tensor, before: Tensor, valid: Tensor) -> Tensor:
    """(B, K) change since the previous frame, zero where there is none; valid (B,) bool."""
    return (now - before) * valid[:, None]


def smooth(now: Tensor, before: Tensor, valid: Tensor) -> Tensor:
    """Mean squared change (B, K) since the previous frame, held fixed."""
    return change_residual(now, before.detach(), valid).square().mean()


def smooth_expr(now: Tensor, before: Tensor, valid: Tensor) -> Tensor:
    """Mean squared change of the expression (B, E) since the previous frame, given at 100 coefficients."""
    return change_residual(now, before.detach(), valid).square().sum(-1).mean() / REFERENCE_EXPR


def smooth_rotation(now: Tensor, before: Tensor, valid: Tensor) -> Tensor:
    """Mean squared change of rotation matrices; now, before (B, 3) or (B, 6), several axis-angles a row."""
    pairs_now, pairs_before = now.unflatten(-1, (-1, 3)), before.detach().unflatten(-1, (-1, 3))
    return (rotation_residual(pairs_now, pairs_before) * valid[:, None, None]).square().mean()
