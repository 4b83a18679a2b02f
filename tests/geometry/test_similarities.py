"""Rigid motions between point sets."""

from __future__ import annotations

import pytest
import torch

from vhap.geometry.rotations import axis_angle_to_matrix
from vhap.geometry.similarities import apply_similarity, rigid_between, similarity


@pytest.mark.parametrize("turn", [(0.0, 0.0, 0.0), (0.3, -0.2, 0.1), (0.0, 3.1, 0.0)])
def test_the_motion_between_moved_points_is_found(turn) -> None:
    points = torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    motion = similarity(1.0, axis_angle_to_matrix(torch.tensor(turn, dtype=torch.float64)), torch.tensor([1.0, -2, 3]))
    torch.testing.assert_close(rigid_between(points, apply_similarity(motion, points)), motion)


def test_of_mirrored_points_it_is_no_reflection() -> None:
    points = torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = rigid_between(points, points * torch.tensor([1.0, 1, -1]))
    assert torch.linalg.det(found[:3, :3]) == pytest.approx(1)
