"""Landmarks of one camera's recording, from one detector's file or merged from two."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vhap.config.data import LandmarkSource
from vhap.data.landmark_files import POINT_COUNTS, changed_pictures, load_landmarks
from vhap.data.pictures import some_names
from vhap.data.plausible import NO_DETECTION, FaceError
from vhap.data.provenance import Provenance
from vhap.data.sequence_folder import SequenceFolder
from vhap.util.commands import command
from vhap.util.errors import InputError

SOURCE_FILES: dict[str, tuple[str, ...]] = {
    "mediapipe": ("mediapipe",),
    "face-alignment": ("face-alignment",),
    "star": ("STAR",),
    "both": ("STAR", "face-alignment"),
}
"""Landmark files (without suffix) that each value of --data.landmark_source reads."""
IBUG_COUNT = 70
JAW_BROWS_NOSE = slice(0, 36)


def landmark_set(source: LandmarkSource) -> str:
    """`mediapipe` or `ibug`."""
    return "mediapipe" if source == "mediapipe" else "ibug"


def point_count(source: LandmarkSource) -> int:
    return POINT_COUNTS["mediapipe"][0] if source == "mediapipe" else IBUG_COUNT


def read_points(sequence: SequenceFolder, source: LandmarkSource) -> np.ndarray:
    """(T, L, 3) as `read_point_files` gives them; InputError on missing files, FaceError where no picture
    shows a face."""
    files = {}
    for name in SOURCE_FILES[source]:
        path = sequence.landmark_file(name)
        if path is None:
            raise InputError(
                f"expected landmarks in {sequence.path / 'landmark2d' / name}.npz, found none; "
                f"detect them with `{command('preprocess-video')}` or choose another --data.landmark_source"
            )
        files[name] = path
    made = Provenance(sequence.path)
    points = read_point_files(files, sequence.timestep_ids, source, made.sources(sequence.full_size_images))
    if not (points[..., 2] > 0).any():
        raise FaceError(
            f"expected a face in some picture of {sequence.path}, found none by {source}; "
            "check the pictures or try another --data.landmark_source"
        )
    return points


def read_point_files(
    files: dict[str, Path], timestep_ids: list[str], source: LandmarkSource, pictures: Mapping[str, str]
) -> np.ndarray:
    """(T, L, 3) x / width, y / height, confidence in [0, 1] of one camera; L = 478, or 70 with the two iris centres.

    files: by the names in `SOURCE_FILES`. Points that were not detected are zero. pictures: as
    `Provenance.sources` gives them. Raises InputError on wrong point counts, landmarks of ours that are of other
    pictures, and all that load_landmarks checks.
    """
    by_file = {name: _read_file(path, name, timestep_ids, pictures) for name, path in files.items()}
    if source == "both":
        points = by_file["STAR"]
        points[:, JAW_BROWS_NOSE] = by_file["face-alignment"][:, JAW_BROWS_NOSE]
        return points
    (points,) = by_file.values()
    return points


def _read_file(path: Path, name: str, timestep_ids: list[str], pictures: Mapping[str, str]) -> np.ndarray:
    # Files without timestep_id have their rows in plain order, which differs from frame order for unpadded
    # numbers.
    plain_order = sorted(timestep_ids)
    landmarks = load_landmarks(path, plain_order)
    if changed := changed_pictures(landmarks, pictures):
        raise InputError(
            f"expected landmarks of the pictures as they are now in {path}, found {len(changed)} of "
            f"{len(timestep_ids)} of others ({some_names(changed)}); run `{command('detect-landmarks')}` to detect "
            "again"
        )
    points = landmarks.points
    if points.shape[1] not in POINT_COUNTS[name]:
        expected = " or ".join(map(str, POINT_COUNTS[name]))
        raise InputError(f"expected {expected} points per picture in {path}, found {points.shape[1]}; detect again")
    row_of = {timestep: row for row, timestep in enumerate(plain_order)}
    points = points[[row_of[timestep] for timestep in timestep_ids]].copy()
    undetected = (points[..., :2] == NO_DETECTION).all(-1) | (points[..., 2] <= 0)
    points[undetected] = 0
    points[..., 2] = np.clip(points[..., 2], 0, 1)
    missing = max(0, IBUG_COUNT - points.shape[1]) if name != "mediapipe" else 0
    return np.pad(points, ((0, 0), (0, missing), (0, 0)))
