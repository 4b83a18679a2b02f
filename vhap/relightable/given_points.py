"""keypoint.json and iris.json of a subject's folder, whoever wrote them, as landmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vhap.data.landmark_files import Landmarks
from vhap.data.pictures import some_names
from vhap.data.plausible import NO_DETECTION
from vhap.relightable.head_files import numbers
from vhap.util.errors import InputError, shown
from vhap.util.files import read_json

N_FACE = 68
IMAGE_LEFT, IMAGE_RIGHT = 68, 69
"""The irises among the 70 points. iris.json has the image's right one first."""
REMEDY = "write it anew by {script}, or remove it"


def read_given_points(
    keypoints: Path, irises: Path | None, names: Sequence[str], size: tuple[int, int]
) -> tuple[Landmarks, list[str]]:
    """Landmarks of the pictures by their stems, and the pictures whose irises are not known.

    names: the pictures' file names, which files may use with or without their endings; size: (height, width). A null
    means that nothing was found. InputError where a picture has no entry in keypoint.json, or an entry is no list of 68
    points (4 numbers).
    """
    faces = _entries(keypoints, names, (N_FACE, 2), REMEDY.format(script="keypoint_detector.py"))
    if missing := [name for name in names if name not in faces]:
        raise InputError(
            f"expected an entry for each of {len(names)} pictures in {keypoints}, found none for "
            f"{some_names(missing)}; write it anew by keypoint_detector.py, or remove it"
        )
    eyes = {} if irises is None else _entries(irises, names, (4,), REMEDY.format(script="iris.py"))
    points = np.zeros((len(names), IMAGE_RIGHT + 1, 3), np.float32)
    sides = np.array([size[1], size[0]], np.float64)
    for row, name in enumerate(names):
        face, pair = faces[name], eyes.get(name)
        if face is None:
            continue
        points[row, :N_FACE] = np.column_stack([face / sides, np.ones(N_FACE)])
        if pair is not None:
            points[row, [IMAGE_RIGHT, IMAGE_LEFT]] = np.column_stack([pair.reshape(2, 2) / sides, np.ones(2)])
    unseen = points[..., 2] == 0
    points[..., :2][unseen] = NO_DETECTION
    boxes = np.full((len(names), 5), NO_DETECTION, np.float32)
    for row in np.flatnonzero(~unseen[:, 0]):
        face = points[row, :N_FACE, :2]
        boxes[row] = [*face.min(0), *face.max(0), 1]
    without = [name for name in names if faces[name] is not None and eyes.get(name) is None]
    return Landmarks(points, boxes, [Path(name).stem for name in names]), without


def _entries(path: Path, names: Sequence[str], shape: tuple[int, ...], remedy: str) -> dict[str, np.ndarray | None]:
    """File name -> numbers, or None for null and for an empty list, which old files have."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError(f"expected an object of pictures' names in {path}, found {shown(content)}; {remedy}")
    keys = {name: key for name in names if (key := _key(content, name)) is not None}
    return {
        name: None if content[key] in (None, []) else numbers(content, key, shape, str(path), remedy)
        for name, key in keys.items()
    }


def _key(content: Mapping[str, Any], name: str) -> str | None:
    return next((key for key in (name, Path(name).stem) if key in content), None)
