"""keypoint.json and iris.json of any tool, as landmarks."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vhap.data.landmark_files import Landmarks, save_landmarks
from vhap.detect.ibug import ibug_from_mediapipe
from vhap.relightable.given_points import detections_behind, read_given_points
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


def test_detections_behind_the_points_say_more(tmp_path) -> None:
    rng, stems = np.random.default_rng(1), [name[:5] for name in NAMES]
    points = np.concatenate([rng.uniform(0.1, 0.9, (3, 478, 2)), np.ones((3, 478, 1))], -1)
    points[1] = (-1, -1, 0)
    file = tmp_path / "mediapipe.npz"
    save_landmarks(file, Landmarks(points, np.full((3, 5), -1.0), stems))
    chosen = np.round(ibug_from_mediapipe(points)[:, :68, :2] * (100, 200), 3)
    faces = {name: None if row == 1 else chosen[row].tolist() for row, name in enumerate(NAMES)}
    given, _ = read_given_points(*write(tmp_path, faces), NAMES, SIZE)
    found = detections_behind(file, given, SIZE)
    assert found is not None
    np.testing.assert_allclose(found.points, points, atol=1e-6)
    faces["00002.png"][5][0] += 1
    given, _ = read_given_points(*write(tmp_path, faces), NAMES, SIZE)
    assert detections_behind(file, given, SIZE) is not None
    faces["00002.png"][30][0] += 0.1
    given, _ = read_given_points(*write(tmp_path, faces), NAMES, SIZE)
    assert detections_behind(file, given, SIZE) is None
    assert detections_behind(tmp_path / "none.npz", given, SIZE) is None


def test_a_picture_without_entry_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="expected an entry of every picture"):
        read_given_points(*write(tmp_path, {"00000.png": face()}), NAMES, SIZE)
