"""Rotations: axis-angle (radians) to matrices and back, safe at zero and at pi."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor


def skew(vector: Tensor) -> Tensor:
    """(..., 3) -> (..., 3, 3) cross-product matrices: skew(a) @ b = a x b."""
    return (vector @ _generators(vector.dtype, vector.device)).unflatten(-1, (3, 3))


@lru_cache
def _generators(dtype: torch.dtype, device: torch.device) -> Tensor:
    """(3, 9) cross-product matrices of the axes."""
    x, y, z = [0, 0, 0, 0, 0, -1, 0, 1, 0], [0, 0, 1, 0, 0, 0, -1, 0, 0], [0, -1, 0, 1, 0, 0, 0, 0, 0]
    # Kept, so not one that is for inference alone where the first caller is.
    with torch.inference_mode(False):
        return torch.tensor([x, y, z], dtype=dtype, device=device)


def axis_angle_to_matrix(axis_angle: Tensor) -> Tensor:
    """Rodrigues' formula.

    axis_angle: (..., 3), direction = axis, length = angle in radians.
    Returns (..., 3, 3). Value and gradient are finite and right at zero (Taylor series below 1e-4).
    """
    angle_squared = (axis_angle * axis_angle).sum(-1)[..., None, None]
    small = angle_squared < 1e-8
    safe = torch.where(small, torch.ones_like(angle_squared), angle_squared)
    angle = safe.sqrt()
    sine_ratio = torch.where(small, 1 - angle_squared / 6, angle.sin() / angle)
    cosine_ratio = torch.where(small, 0.5 - angle_squared / 24, (1 - angle.cos()) / safe)
    cross = skew(axis_angle)
    identity = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    return identity + sine_ratio * cross + cosine_ratio * (cross @ cross)


def right_jacobian(axis_angle: Tensor) -> Tensor:
    """(..., 3) -> (..., 3, 3): a change d of the axis-angle turns its matrix R to R (1 + skew(J d)) (Sola et al. 2018,
    A micro Lie theory, eq. 143). In double precision, since its ratios cancel at small angles."""
    vector = axis_angle.double()
    squared = (vector * vector).sum(-1)[..., None, None]
    small = squared < 1e-8
    safe = torch.where(small, torch.ones_like(squared), squared)
    angle = safe.sqrt()
    sine_ratio = torch.where(small, 1 - squared / 6, angle.sin() / angle)
    cosine_ratio = torch.where(small, 0.5 - squared / 24, (1 - angle.cos()) / safe)
    along = torch.where(small, 1 / 6 - squared / 120, (1 - sine_ratio) / safe)
    identity = torch.eye(3, dtype=vector.dtype, device=vector.device)
    outer = vector[..., :, None] * vector[..., None, :]
    return (sine_ratio * identity - cosine_ratio * skew(vector) + along * outer).to(axis_angle.dtype)


def axis_angle_derivatives(axis_angle: Tensor) -> Tensor:
    """(..., 3) -> (..., 3, 3, 3): derivatives of `axis_angle_to_matrix` by each of the three components, in front. In
    double precision, see `right_jacobian`."""
    vector = axis_angle.double()
    turns = skew(right_jacobian(vector).mT)
    return (axis_angle_to_matrix(vector)[..., None, :, :] @ turns).to(axis_angle.dtype)


def matrix_to_axis_angle(matrix: Tensor) -> Tensor:
    """(..., 3, 3) rotation matrices -> (..., 3) axis-angle in radians, length in [0, pi]. Goes through quaternions."""
    quaternion = matrix_to_quaternion(matrix)
    vector, scalar = quaternion[..., 1:], quaternion[..., :1]
    length = vector.norm(dim=-1, keepdim=True)
    angle = 2 * torch.atan2(length, scalar)
    small = length < 1e-7
    ratio = torch.where(
        small, torch.full_like(length, 2.0), angle / torch.where(small, torch.ones_like(length), length)
    )
    return vector * ratio


def yaw_pitch_roll(matrix: Tensor) -> Tensor:
    """(..., 3, 3) rotation matrices -> (..., 3) radians with matrix = R_y(yaw) R_x(pitch) R_z(roll).

    Of a head: yaw turns the face to the subject's left, pitch downwards, roll lifts its left side. Yaw and roll in
    [-pi, pi], pitch in [-pi / 2, pi / 2]; at the ends of pitch yaw and roll are not unique.
    """
    m = matrix
    yaw = torch.atan2(m[..., 0, 2], m[..., 2, 2])
    pitch = torch.asin((-m[..., 1, 2]).clamp(-1, 1))
    roll = torch.atan2(m[..., 1, 0], m[..., 1, 1])
    return torch.stack([yaw, pitch, roll], -1)


def matrix_to_quaternion(matrix: Tensor) -> Tensor:
    """(..., 3, 3) -> (..., 4) unit quaternions (w, x, y, z), w >= 0. Shepperd's method: the best of four forms."""
    m = matrix
    trace = m[..., 0, 0] + m[..., 1, 1] + m[..., 2, 2]
    diagonal = torch.stack([trace, m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]], -1)
    squared = torch.stack([1 + trace, *(1 + 2 * diagonal[..., 1:] - trace[..., None]).unbind(-1)], -1)
    wx, wy, wz = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    xy, xz, yz = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    forms = torch.stack(
        [
            torch.stack([squared[..., 0], wx, wy, wz], -1),
            torch.stack([wx, squared[..., 1], xy, xz], -1),
            torch.stack([wy, xy, squared[..., 2], yz], -1),
            torch.stack([wz, xz, yz, squared[..., 3]], -1),
        ],
        -2,
    )
    best = squared.argmax(-1)[..., None, None].expand(*squared.shape[:-1], 1, 4)
    quaternion = torch.nn.functional.normalize(forms.gather(-2, best).squeeze(-2), dim=-1)
    return torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)
