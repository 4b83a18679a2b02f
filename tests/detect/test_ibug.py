"""The 68 iBUG points among MediaPipe's, and the jaw line of a turned face."""

import numpy as np
import pytest

from vhap.detect.ibug import CHEEKS, CHIN, FOREHEAD, JAW_LINE, ibug_from_mediapipe, with_visible_jaw

RADII = np.array([70.0, 95.0, 60.0])


def ellipsoid(yaw_deg, roll_deg=0.0):
    """(478, 2) px: the jaw line and the forehead on the rim of half an ellipsoid, the cheeks on its front."""
    rng = np.random.default_rng(0)
    points = np.zeros((478, 3))
    front = rng.normal(size=(478, 3)) * (1, 1, 0.6)
    front[:, 1], front[:, 2] = np.abs(front[:, 1]), np.abs(front[:, 2])
    points[:] = front / np.linalg.norm(front, axis=1, keepdims=True)
    angles = np.deg2rad(np.linspace(185, -5, len(JAW_LINE)))
    points[list(JAW_LINE)] = np.column_stack([np.cos(angles), np.sin(angles), np.zeros(len(JAW_LINE))])
    points[FOREHEAD] = (0, -1, 0)
    yaw, roll = np.deg2rad([yaw_deg, roll_deg])
    x, y, z = (points * RADII).T
    x = np.cos(yaw) * x + np.sin(yaw) * z
    return np.column_stack([np.cos(roll) * x - np.sin(roll) * y, np.sin(roll) * x + np.cos(roll) * y]) + 200


def half_width(yaw_deg, height):
    """Of the ellipsoid's outline at a height from its middle."""
    yaw = np.deg2rad(yaw_deg)
    return np.hypot(RADII[0] * np.cos(yaw), RADII[2] * np.sin(yaw)) * np.sqrt(1 - (height / RADII[1]) ** 2)


@pytest.mark.parametrize("roll", [0.0, 25.0])
def test_nothing_moves_from_the_front(roll):
    points = ellipsoid(0, roll)
    assert with_visible_jaw(points) == pytest.approx(ibug_from_mediapipe(points), abs=1e-3)


@pytest.mark.parametrize("yaw", [-40, 40])
def test_hidden_side_moves_to_the_outline(yaw):
    points = ellipsoid(yaw)
    before, after = ibug_from_mediapipe(points), with_visible_jaw(points)
    # Turned to the right of the image (yaw above 0), the image's right side is hidden: points 9 to 16.
    hidden = range(11, 16) if yaw > 0 else range(1, 6)
    shown = range(7) if yaw > 0 else range(10, 17)
    for index in hidden:
        x, y = after[index] - 200
        wanted = half_width(yaw, y)
        assert abs(x) == pytest.approx(wanted, rel=0.12)
        assert abs(x) > abs(before[index, 0] - 200)
        assert y == pytest.approx(before[index, 1] - 200, abs=1e-3)
    assert after[list(shown)] == pytest.approx(before[list(shown)], abs=1.5)
    assert after[17:] == pytest.approx(before[17:])
    assert after[8] == pytest.approx(points[CHIN])


def test_no_face_and_points_on_a_line():
    nothing = np.full((478, 2), -1.0)
    assert with_visible_jaw(nothing) == pytest.approx(ibug_from_mediapipe(nothing))
    line = np.column_stack([np.arange(478.0), np.arange(478.0)])
    assert np.isfinite(with_visible_jaw(line)).all()


def test_outline_needs_no_nose():
    assert not {1, 4, 5, 6, 19, 168, 195, 197} & set(CHEEKS)
    assert len(set(CHEEKS)) == len(CHEEKS)
