"""Landmark files: npz with `face_landmark_2d`, `bounding_box` and, in ours, `timestep_id`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vhap.data.pictures import some_names
from vhap.data.plausible import NO_DETECTION, check_landmarks
from vhap.data.provenance import is_changed
from vhap.util.errors import InputError
from vhap.util.files import read_npz, write_npz

POINT_COUNTS = {"mediapipe": (478,), "face-alignment": (68, 70), "STAR": (68, 70)}


@dataclass(frozen=True)
class Landmarks:
    """Detections of one camera.

    points: (T, N, 3) x / width, y / height, confidence; x = y = -1 and confidence 0 where nothing was found.
    bounding_box: (T, 5) x0 y0 x1 y1 in the same units, score. timestep_ids: (T,) names or None (old files).
    sources: (T,) the picture and its digest (vhap.data.provenance), or None where a file does not say.
    options: what else decided what was detected.
    """

    points: np.ndarray
    bounding_box: np.ndarray
    timestep_ids: list[str] | None
    sources: list[str] | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def detected(self) -> np.ndarray:
        """(T,) bool."""
        return np.asarray((self.points[..., 2] > 0).any(axis=1))


def save_landmarks(path: str | Path, landmarks: Landmarks) -> None:
    arrays = {
        "face_landmark_2d": np.asarray(landmarks.points, np.float32),
        "bounding_box": np.asarray(landmarks.bounding_box, np.float32),
    }
    if landmarks.timestep_ids is not None:
        arrays["timestep_id"] = np.array(landmarks.timestep_ids)
    if landmarks.sources is not None:
        arrays["source"] = np.array(landmarks.sources)
        arrays["options"] = np.array(json.dumps(dict(landmarks.options), sort_keys=True))
    write_npz(path, arrays)


def load_landmarks(path: str | Path, timestep_ids: list[str] | None = None) -> Landmarks:
    """Reads a file and, where timestep_ids are given, brings its rows into their order.

    Files without `timestep_id` must have exactly one row per timestep. Raises InputError on missing keys,
    wrong lengths, missing timesteps, non-finite numbers, and numbers that are not of the format (`check_landmarks`).
    """
    arrays = read_npz(path)
    if "face_landmark_2d" not in arrays:
        raise InputError(f"expected the key face_landmark_2d in {path}, found {sorted(arrays)}; detect again")
    points = _numbers(arrays["face_landmark_2d"], "face_landmark_2d", path)
    if points.ndim == 2:
        points = points[None]
    if points.ndim != 3 or points.shape[-1] != 3:
        raise InputError(f"expected face_landmark_2d of shape (T, N, 3) in {path}, found {points.shape}; detect again")
    if not np.isfinite(points).all():
        rows = np.flatnonzero(~np.isfinite(points).all(axis=(1, 2)))
        raise InputError(
            f"expected finite landmarks in {path}, found NaN or infinity in rows {rows[:8].tolist()}; detect again"
        )
    boxes = _boxes(arrays.get("bounding_box"), len(points), path)
    check_landmarks(points, boxes, path)
    names = _names(arrays.get("timestep_id"), path)
    landmarks = Landmarks(points, boxes, names, _sources(arrays, len(points)), _options(arrays))
    return landmarks if timestep_ids is None else _in_order(landmarks, timestep_ids, path)


def _numbers(array: np.ndarray, name: str, path: str | Path) -> np.ndarray:
    if array.dtype.kind not in "fiu":
        raise InputError(f"expected numbers as {name} in {path}, found {array.dtype}; detect again")
    # What is too large for single precision becomes infinity here and is found by who asks for finite numbers.
    with np.errstate(over="ignore"):
        return array.astype(np.float32)


def _boxes(array: np.ndarray | None, count: int, path: str | Path) -> np.ndarray:
    """(T, 5); -1 where a file has none."""
    if array is None:
        return np.full((count, 5), NO_DETECTION, np.float32)
    boxes = _numbers(array, "bounding_box", path)
    boxes = boxes[None] if count == 1 and boxes.ndim == 1 else boxes
    if boxes.shape != (count, 5):
        raise InputError(
            f"expected bounding_box of shape ({count}, 5), x0 y0 x1 y1 score, in {path}, found {array.shape}; leave it "
            "out, or detect again"
        )
    if not np.isfinite(boxes).all():
        raise InputError(f"expected finite numbers in bounding_box of {path}, found NaN or infinity; detect again")
    return boxes


def _names(array: np.ndarray | None, path: str | Path) -> list[str] | None:
    if array is None:
        return None
    names = [str(name) for name in array.ravel()]
    if doubled := sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []:
        raise InputError(
            f"expected each timestep once in timestep_id of {path}, found {some_names(doubled)} more than once; detect "
            "again"
        )
    return names


def _in_order(landmarks: Landmarks, timestep_ids: list[str], path: str | Path) -> Landmarks:
    names = landmarks.timestep_ids
    if names is None or len(names) != len(landmarks.points):
        if len(landmarks.points) != len(timestep_ids):
            raise InputError(
                f"expected {len(timestep_ids)} rows (one per picture) in {path}, found {len(landmarks.points)}; "
                "delete the file to detect again"
            )
        return Landmarks(landmarks.points, landmarks.bounding_box, list(timestep_ids))
    row_of = {name: row for row, name in enumerate(names)}
    missing = [name for name in timestep_ids if name not in row_of]
    if missing:
        raise InputError(
            f"expected landmarks of every picture in {path}, found none for {len(missing)} of {len(timestep_ids)} "
            f"(first: {missing[0]}); delete the file to detect again"
        )
    rows = [row_of[name] for name in timestep_ids]
    sources = None if landmarks.sources is None else [landmarks.sources[row] for row in rows]
    return Landmarks(
        landmarks.points[rows], landmarks.bounding_box[rows], list(timestep_ids), sources, landmarks.options
    )


def changed_pictures(landmarks: Landmarks, sources: Mapping[str, str]) -> list[str]:
    """Timesteps whose picture is not the one that the landmarks are of. sources: as `Provenance.sources` gives them."""
    recorded = dict(zip(landmarks.timestep_ids or [], landmarks.sources or []))
    return [name for name, source in sources.items() if name in recorded and is_changed(recorded[name], source)]


def _sources(arrays: Mapping[str, np.ndarray], count: int) -> list[str] | None:
    """None where a file is not ours, or of older versions."""
    found = arrays.get("source")
    return [str(text) for text in found] if found is not None and found.shape == (count,) else None


def _options(arrays: Mapping[str, np.ndarray]) -> dict[str, str]:
    try:
        found = json.loads(str(arrays.get("options", "{}")))
    except (ValueError, RecursionError):
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}
