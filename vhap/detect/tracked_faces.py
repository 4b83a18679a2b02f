"""The faces that mattes of a camera's pictures are held against: those that the landmarks follow."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from vhap.config.preprocess import PreprocessLandmarks
from vhap.data.landmark_files import POINT_COUNTS, load_landmarks
from vhap.data.monocular_landmarks import SOURCE_FILES, read_point_files
from vhap.data.provenance import Provenance
from vhap.data.rig_recording import RigRecording
from vhap.data.sequence_folder import SequenceFolder
from vhap.detect.landmark_pass import LandmarkPass
from vhap.detect.landmarks import detector_maker, is_current
from vhap.detect.person import PERSON
from vhap.util.errors import InputError
from vhap.util.log import get_logger
from vhap.util.threads import get_threads

UNKEPT = ".faces"
"""Folder of a pass for mattes alone, removed when it has been read."""


@dataclass(frozen=True)
class TrackedFaces:
    """Faces of one camera, read when they are first asked for.

    pictures: timestep -> file. file: the landmarks, or None: there are none to keep, faces are looked for in folder.
    person: whom to follow then.
    """

    pictures: Mapping[str, Path]
    file: Path | None
    folder: Path
    person: str = ""

    @cached_property
    def options(self) -> dict[str, str]:
        """What decides alpha maps beside the picture and the method."""
        return {PERSON: self.person if self.file is None else load_landmarks(self.file).options.get(PERSON, "")}

    @cached_property
    def points(self) -> np.ndarray | None:
        """(T, N, 3) x / width, y / height, confidence in the pictures' order, 0 where not found; None where no picture
        shows a face, or none can be looked for."""
        points = self._detect() if self.file is None else self._read(self.file)
        return points if points is not None and (points[..., 2] > 0).any() else None

    def _read(self, file: Path) -> np.ndarray:
        # Landmarks of a rig's camera lie in a folder with the detector's name.
        source = next(name for name in POINT_COUNTS if name in (file.stem, file.parent.name))
        return read_point_files({source: file}, list(self.pictures), "mediapipe", {})

    def _detect(self) -> np.ndarray | None:
        make = detector_maker("mediapipe")
        try:
            make()
        except InputError as error:
            get_logger().info("mattes may hold other persons, no landmarks say whom to keep: %s", error)
            return None
        file, jobs = self.folder / UNKEPT / "mediapipe.npz", get_threads()
        count, options = POINT_COUNTS["mediapipe"][0], {PERSON: self.person}
        try:
            LandmarkPass(file, dict(self.pictures), make, jobs, count, "faces for mattes", options).run()
            return self._read(file)
        finally:
            shutil.rmtree(file.parent, ignore_errors=True)


def faces_of_sequence(sequence: SequenceFolder, source: PreprocessLandmarks, person: str | None) -> TrackedFaces:
    """Of a recording by one camera; source as preprocessing has it, with `none` any landmarks that are there."""
    files = [file for name in _names(source) if (file := sequence.landmark_file(name)) is not None]
    file = _first_current(files, sequence.path, sequence.full_size_images)
    return TrackedFaces(sequence.full_size_images, file, sequence.path, person or "")


def faces_of_rig(recording: RigRecording, source: PreprocessLandmarks) -> dict[str, TrackedFaces]:
    """The same for each camera."""
    found = {}
    for camera, pictures in recording.full_size_images.items():
        files = [file for name in _names(source) if (file := recording.landmark_file(name, camera)).is_file()]
        file = _first_current(files, recording.path, pictures)
        found[camera] = TrackedFaces(pictures, file, recording.path)
    return found


def _first_current(files: list[Path], folder: Path, pictures: Mapping[str, Path]) -> Path | None:
    """The first of these landmark files that is of all these pictures as they are now."""
    sources = Provenance(folder).sources(pictures) if files else {}
    return next((file for file in files if is_current(file, sources, None)), None)


def _names(source: PreprocessLandmarks) -> tuple[str, ...]:
    return tuple(POINT_COUNTS) if source == "none" else SOURCE_FILES[source]
