"""keypoint.json and iris.json of a subject's pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vhap.config.relightable import IrisConfig, KeypointConfig
from vhap.data.landmark_files import Landmarks
from vhap.data.pictures import common_size, some_names
from vhap.detect.ibug import with_visible_jaw
from vhap.detect.landmarks import require_detector
from vhap.detect.mediapipe_landmarks import POINT_COUNT
from vhap.pipeline.relightable_faces import find_faces
from vhap.relightable.point_files import KEYPOINTS, Points, write_irises, write_keypoints
from vhap.relightable.subject_folder import SubjectFolder
from vhap.util.errors import InputError
from vhap.util.lock import folder_lock
from vhap.util.log import get_logger

RIGHT_THEN_LEFT = [KEYPOINTS + 1, KEYPOINTS]
"""Iris centres among the 70 points, the eye on the image's right (the subject's left) first."""


def run_keypoints(config: KeypointConfig) -> Path:
    """Returns the file, which is left alone where it is what would be written."""
    require_detector(config.landmark_source, config.device)
    subject = _subject(config.path)
    pictures = subject.pictures()
    with folder_lock(subject.path):
        faces = find_faces(
            subject.path, pictures.values(), config.landmark_source, config.person, config.n_jobs, config.device
        )
        points = points_of(faces, pictures, slice(0, KEYPOINTS))
        _require_some(points, subject, config.landmark_source)
        write_keypoints(subject.keypoints, points)
    return subject.keypoints


def run_irises(config: IrisConfig) -> Path:
    """Returns the file, which is left alone where it is what would be written."""
    require_detector("mediapipe")
    subject = _subject(config.path)
    pictures = subject.pictures()
    with folder_lock(subject.path):
        faces = find_faces(subject.path, pictures.values(), "mediapipe", config.person, config.n_jobs)
        centres = points_of(faces, pictures, RIGHT_THEN_LEFT)
        _require_some(centres, subject, "mediapipe")
        write_irises(subject.irises, centres)
    return subject.irises


def points_of(faces: Landmarks, pictures: dict[str, Path], which: slice | list[int]) -> Points:
    """Some of the 70 points in px by the pictures' names, None where no face was found.

    faces: rows in the pictures' order, of MediaPipe's 478 points or 68 of iBUG.
    """
    height, width = common_size(list(pictures.values()))
    pixels = faces.points[..., :2] * np.array([width, height])
    if pixels.shape[1] == POINT_COUNT:
        pixels = np.stack([with_visible_jaw(face) for face in pixels])
    return {name: pixels[row, which] if faces.detected[row] else None for row, name in enumerate(pictures)}


def _require_some(points: Points, subject: SubjectFolder, source: str) -> None:
    """InputError where no picture shows a face; a line in the log where some show none."""
    unseen = [name for name, found in points.items() if found is None]
    if len(unseen) == len(points):
        raise InputError(
            f"expected a face in some of {len(points)} pictures in {subject.image_folder}, found none by {source}; "
            "check the pictures"
        )
    if unseen:
        get_logger().warning(
            "no face in %d of %d pictures, null there: %s", len(unseen), len(points), some_names(unseen)
        )


def _subject(path: Path) -> SubjectFolder:
    if not path.is_dir():
        raise InputError(f"expected a subject's folder at {path}, found none; correct --path")
    return SubjectFolder(path.resolve())
