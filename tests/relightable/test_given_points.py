"""keypoint.json and iris.json of any tool, as landmarks."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vhap.relightable.given_points import read_given_points
from vhap.util.errors import InputError

NAMES, SIZE = ["00000.png", "00001.png", "00002.png"], (200, 100)


def write(folder, faces: dict, eyes: dict | None = None):
    (folder / "keypoint.json").write_text(json.dumps(faces))
    if eyes is not None:
        (folder / "iris.json").write_text(json.dumps(eyes))
    return folder / "keypoint.json", folder / "iris.json" if eyes is not None else None


def face() -> list:
    return np.random.default_rng(3).uniform(10, 90, (68, 2)).tolist()


def test_points_irises_and_gaps(tmp_path) -> None:
    faces = {"00000.png": face(), "00001.png": None, "00002": face()}
    eyes = {"00000.png": [60, 50, 40, 52], "00001.png": None, "00002.png": []}
    landmarks, without = read_given_points(*write(tmp_path, faces, eyes), NAMES, SIZE)
    assert landmarks.timestep_ids == ["00000", "00001", "00002"]
    assert landmarks.detected.tolist() == [True, False, True]
    np.testing.assert_allclose(landmarks.points[0, :68, :2] * (100, 200), faces["00000.png"], rtol=1e-5)
    # The file has the eye on the image's right first; among the 70 points it comes last.
    np.testing.assert_allclose(landmarks.points[0, 68:, :2] * (100, 200), [[40, 52], [60, 50]], rtol=1e-5)
    assert landmarks.points[2, 68:, 2].tolist() == [0, 0]
    assert without == ["00002.png"]
    np.testing.assert_array_equal(landmarks.points[1, :, :2], -1)


def test_without_irises_all_pictures_are_named(tmp_path) -> None:
    _, without = read_given_points(*write(tmp_path, dict.fromkeys(NAMES, face())), NAMES, SIZE)
    assert without == NAMES


@pytest.mark.parametrize(
    ("faces", "eyes", "message"),
    [
        ({"00000.png": [[1, 2]] * 68}, {}, "expected an entry for each of 3 pictures"),
        (dict.fromkeys(NAMES, [[1, 2]] * 67), {}, "expected 68 x 2 numbers as 00000.png"),
        (dict.fromkeys(NAMES, [[1, 2]] * 68), {"00001.png": [1, 2, 3]}, "expected 4 numbers as 00001.png"),
        ([1], {}, "expected an object of pictures' names"),
    ],
)
def test_what_is_no_such_file_is_refused(tmp_path, faces, eyes, message) -> None:
    with pytest.raises(InputError, match=message):
        read_given_points(*write(tmp_path, faces, eyes), NAMES, SIZE)
