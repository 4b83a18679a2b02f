import math

import pytest
import torch
from scipy.spatial.transform import Rotation

from vhap.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle, skew, yaw_pitch_roll


@pytest.mark.parametrize("batch", [(), (5,), (2, 3)])
def test_matrices_are_rotations_in_every_batch_shape(batch: tuple[int, ...]) -> None:
    matrix = axis_angle_to_matrix(torch.randn(*batch, 3, dtype=torch.float64))
    identity = torch.eye(3, dtype=torch.float64).expand(*batch, 3, 3)
    torch.testing.assert_close(matrix @ matrix.mT, identity)
    torch.testing.assert_close(torch.linalg.det(matrix), torch.ones(batch, dtype=torch.float64))


def test_round_trip_below_pi() -> None:
    vectors = torch.randn(200, 3, dtype=torch.float64)
    vectors = vectors / vectors.norm(dim=1, keepdim=True) * torch.linspace(0, math.pi - 1e-3, 200)[:, None]
    torch.testing.assert_close(matrix_to_axis_angle(axis_angle_to_matrix(vectors)), vectors, atol=1e-6, rtol=1e-6)


def test_matrix_of_a_half_turn_comes_back() -> None:
    matrix = axis_angle_to_matrix(torch.tensor([0.0, math.pi, 0.0], dtype=torch.float64))
    torch.testing.assert_close(axis_angle_to_matrix(matrix_to_axis_angle(matrix)), matrix)


def test_gradient_at_zero_is_the_generator() -> None:
    zero = torch.zeros(3, dtype=torch.float64)
    slope = torch.autograd.functional.jacobian(axis_angle_to_matrix, zero)
    for axis in range(3):
        torch.testing.assert_close(slope[..., axis], skew(torch.eye(3, dtype=torch.float64)[axis]))


def test_gradient_agrees_with_finite_differences() -> None:
    vectors = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(axis_angle_to_matrix, (vectors,))


def test_yaw_pitch_roll_as_scipy_has_them() -> None:
    vectors = torch.randn(100, 3, dtype=torch.float64)
    expected = torch.from_numpy(Rotation.from_rotvec(vectors.numpy()).as_euler("YXZ"))
    torch.testing.assert_close(yaw_pitch_roll(axis_angle_to_matrix(vectors)), expected)


def test_yaw_turns_the_face_left_and_pitch_down() -> None:
    left = axis_angle_to_matrix(torch.tensor([0.0, 0.3, 0.0]))
    down = axis_angle_to_matrix(torch.tensor([0.2, 0.0, 0.0]))
    assert left[0, 2] > 0
    assert down[1, 2] < 0
    torch.testing.assert_close(yaw_pitch_roll(left), torch.tensor([0.3, 0.0, 0.0]))
    torch.testing.assert_close(yaw_pitch_roll(down), torch.tensor([0.0, 0.2, 0.0]))
