"""keypoint.json and iris.json of a subject's folder, whoever wrote them, as landmarks for tracking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vhap.data.landmark_files import Landmarks, load_landmarks
from vhap.data.plausible import NO_DETECTION
from vhap.detect.ibug import MEDIAPIPE_OF_IBUG
from vhap.relightable.point_files import read_irises, read_keypoints

N_FACE, N_JAW_LINE = 68, 17
IMAGE_LEFT, IMAGE_RIGHT = 68, 69
"""The irises among the 70 points. iris.json has the image's right one first."""
ROUNDING_PX = 2e-3


def read_given_points(
    keypoints: Path, irises: Path | None, names: Sequence[str], size: tuple[int, int]
) -> tuple[Landmarks, list[str]]:
    """Landmarks of the pictures by their stems, and the pictures with a face whose irises are not known.

    names: the pictures' file names; size: (height, width). InputError where `read_keypoints` and `read_irises` have
    one.
    """
    faces = read_keypoints(keypoints, names)
    eyes = {} if irises is None else read_irises(irises, names)
    points = np.zeros((len(names), IMAGE_RIGHT + 1, 3), np.float32)
    sides = np.array([size[1], size[0]], np.float64)
    for row, name in enumerate(names):
        face, pair = faces[name], eyes.get(name)
        if face is None:
            continue
        points[row, :N_FACE] = np.column_stack([face / sides, np.ones(N_FACE)])
        if pair is not None:
            points[row, [IMAGE_RIGHT, IMAGE_LEFT]] = np.column_stack([pair / sides, np.ones(2)])
    unseen = points[..., 2] == 0
    points[..., :2][unseen] = NO_DETECTION
    boxes = np.full((len(names), 5), NO_DETECTION, np.float32)
    for row in np.flatnonzero(~unseen[:, 0]):
        face = points[row, :N_FACE, :2]
        boxes[row] = [*face.min(0), *face.max(0), 1]
    without = [name for name in names if faces[name] is not None and eyes.get(name) is None]
    return Landmarks(points, boxes, [Path(name).stem for name in names]), without


def detections_behind(file: Path, given: Landmarks, size: tuple[int, int]) -> Landmarks | None:
    """MediaPipe's 478 points in a landmark file, if the given ones inside the face are some of them in every picture:
    they say more. None where there is no such file, or where the given points are others. The jaw line is not
    compared: that of keypoint.json may be moved to the visible outline.

    size: (height, width) of the pictures.
    """
    if not file.is_file() or given.timestep_ids is None:
        return None
    found = load_landmarks(file)
    if found.timestep_ids is None or not set(given.timestep_ids) <= set(found.timestep_ids):
        return None
    found = load_landmarks(file, given.timestep_ids)
    chosen = found.points[:, MEDIAPIPE_OF_IBUG[N_JAW_LINE:N_FACE]]
    seen = given.detected
    gaps = np.abs(chosen - given.points[:, N_JAW_LINE:N_FACE])[seen, ..., :2] * (size[1], size[0])
    if not np.array_equal(seen, found.detected) or (gaps.size and gaps.max() > ROUNDING_PX):
        return None
    return replace(found, sources=None)
