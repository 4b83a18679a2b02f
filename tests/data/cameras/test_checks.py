"""Camera files whose numbers are of other units, other pictures, or no numbers."""

from __future__ import annotations

import numpy as np
import pytest

from vhap.data.cameras.checks import Source, check_lens, check_numbers, check_pose
from vhap.util.errors import InputError

SOURCE = Source("camera 1", "file")
SIZE = (3208, 2200)
NONE = np.zeros(5)


def lens(fx: float, fy: float, cx: float, cy: float) -> np.ndarray:
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])


@pytest.mark.parametrize(
    "honest",
    [
        lens(8200, 8200, 1100, 1604),
        lens(900, 900, 1100, 1604),
        lens(60000, 60000, 1100, 1604),
        lens(8200, 4100, 1100, 1604),
        lens(8200, 8200, 300, 2900),
        lens(8200, 8200, 700, 1000),
        lens(8200, 8200, 0, 1604),
    ],
)
def test_honest_lenses(honest):
    check_lens(honest, NONE, SIZE, SOURCE)
    check_lens(honest, np.array([-0.3, 0.1, 0.001, 0.001, 0]), SIZE, SOURCE)


@pytest.mark.parametrize(
    ("matrix", "distortion", "message"),
    [
        (lens(50, 50, 1100, 1604), NONE, "look like millimetres"),
        (lens(2.6, 2.6, 0.5, 0.5), NONE, "look like millimetres or shares"),
        (lens(8.2e6, 8.2e6, 1100, 1604), NONE, "another unit"),
        (lens(8200, 1000, 1100, 1604), NONE, "belong to one lens"),
        (lens(16400, 16400, 2200, 3208), NONE, "pictures of 4400x6416"),
        (lens(4100, 4100, 550, 802), NONE, "pictures of 1100x1604"),
        (lens(1025, 1025, 137, 200), NONE, "pictures of 274x400"),
        (lens(8200, 8200, 1604, 2900), NONE, None),
        (lens(8200, 8200, 2300, 1604), NONE, "principal point within pictures of 2200x3208"),
        (lens(8200, 8200, 1100, -5), NONE, "principal point"),
        (lens(2000, 2000, 1100, 1604), np.array([9.0, 0, 0, 0, 0]), "moves corners"),
        (lens(2000, 2000, 1100, 1604), np.array([0, 0, 5.0, 0, 0]), "moves corners"),
    ],
)
def test_lenses_of_other_units_and_pictures(matrix, distortion, message):
    if message is None:
        check_lens(matrix, distortion, SIZE, SOURCE)
        return
    with pytest.raises(InputError, match=message):
        check_lens(matrix, distortion, SIZE, SOURCE)


@pytest.mark.parametrize("value", ["1", True, None, [1], {"a": 1}, "x" * 5000])
def test_what_is_no_number(value):
    with pytest.raises(InputError, match="expected a number w for camera 1") as caught:
        check_numbers(value, (), "w", SOURCE)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    "rows",
    [
        np.eye(4).astype(str).tolist(),
        [["1", 0, 0, 0], *np.eye(4)[1:].tolist()],
        [[1, 0], [1]],
        [[10**400] * 4] * 4,
        np.eye(4).astype(bool).tolist(),
    ],
)
def test_matrices_of_no_numbers(rows):
    with pytest.raises(InputError, match=r"expected pose of shape \(4, 4\)"):
        check_pose(rows, "pose", SOURCE)


def test_poses_of_other_meaning_are_named():
    turned = np.eye(4)
    turned[3, :3] = (0.1, 0.2, 1)
    with pytest.raises(InputError, match="rows and columns exchanged"):
        check_pose(turned.tolist(), "pose", SOURCE)
    scaled = np.diag([1000.0, 1000, 1000, 1])
    with pytest.raises(InputError, match="a rotation times 1000; divide it by that"):
        check_pose(scaled.tolist(), "pose", SOURCE)
    far = np.eye(4)
    far[0, 3] = 1e12
    with pytest.raises(InputError, match="a position in pose within"):
        check_pose(far.tolist(), "pose", SOURCE)
