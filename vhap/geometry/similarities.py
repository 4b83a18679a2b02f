"""Similarities: x -> scale * rotation @ x + translation, as 4x4 matrices."""

from __future__ import annotations

import torch
from torch import Tensor


def similarity(scale: float, rotation: Tensor, translation: Tensor) -> Tensor:
    """rotation (3, 3), translation (3,) -> (4, 4) float64."""
    matrix = torch.eye(4, dtype=torch.float64)
    matrix[:3, :3], matrix[:3, 3] = scale * rotation.double(), translation.double()
    return matrix


def scaling(factor: float) -> Tensor:
    """About the origin: (4, 4) float64."""
    return torch.diag(torch.tensor([factor, factor, factor, 1.0], dtype=torch.float64))


def split_similarity(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(4, 4) -> scale (), rotation (3, 3) and translation (3,), float64."""
    matrix = matrix.double()
    scale = torch.linalg.det(matrix[:3, :3]) ** (1 / 3)
    return scale, matrix[:3, :3] / scale, matrix[:3, 3]


def apply_similarity(matrix: Tensor, points: Tensor) -> Tensor:
    """(4, 4), (..., 3) -> (..., 3) in the points' precision, computed in double."""
    matrix = matrix.to(points.device, torch.float64)
    return (points.double() @ matrix[:3, :3].T + matrix[:3, 3]).to(points.dtype)


def rigid_between(source: Tensor, target: Tensor) -> Tensor:
    """(4, 4) float64: the rigid motion that takes points (N, 3) nearest to others, in least squares (Kabsch 1976)."""
    source, target = source.double(), target.double()
    from_middle, to_middle = source.mean(0), target.mean(0)
    u, _, vt = torch.linalg.svd((target - to_middle).T @ (source - from_middle))
    signs = torch.ones(3, dtype=torch.float64)
    signs[2] = torch.linalg.det(u) * torch.linalg.det(vt)
    rotation = u @ torch.diag(signs) @ vt
    return similarity(1.0, rotation, to_middle - rotation @ from_middle)
