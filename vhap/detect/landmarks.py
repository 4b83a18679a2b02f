"""Landmark files of a recording: which detectors a source means, and running those whose file is not there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from vhap.config.data import LandmarkSource
from vhap.data.landmark_files import POINT_COUNTS, load_landmarks
from vhap.data.monocular_landmarks import SOURCE_FILES
from vhap.data.rig_recording import RigRecording
from vhap.data.sequence_folder import SequenceFolder
from vhap.detect.landmark_pass import FaceDetector, LandmarkPass
from vhap.util.errors import InputError


def ensure_landmarks(
    sequence: SequenceFolder, source: LandmarkSource, n_jobs: int = 0, reuse: bool = True, device: str = "auto"
) -> list[Path]:
    """Landmark files of all pictures for a source, detected where they are missing or incomplete.

    n_jobs: detectors at the same time, 0 for one per core. reuse: keep complete files. device: auto, cpu or
    cuda, for detectors that know it. Raises InputError where a file that is not ours does not fit the
    pictures, a detector's package is missing, or no picture shows a face.
    """
    files = []
    for name in SOURCE_FILES[source]:
        existing = sequence.landmark_file(name)
        if existing is not None and reuse and _covers(existing, sequence.timestep_ids):
            files.append(existing)
            continue
        path = existing or sequence.path / "landmark2d" / f"{name}.npz"
        jobs = n_jobs or os.cpu_count() or 1
        files.append(LandmarkPass(path, sequence.full_size_images, detector_maker(name, device), jobs).run())
    return files


def ensure_rig_landmarks(
    recording: RigRecording, source: LandmarkSource, n_jobs: int = 0, reuse: bool = True, device: str = "auto"
) -> list[Path]:
    """As `ensure_landmarks`, a file for each camera. A camera may see no face; InputError where none sees one."""
    files, jobs = [], n_jobs or os.cpu_count() or 1
    for name in SOURCE_FILES[source]:
        of_source = [recording.landmark_file(name, camera) for camera in recording.images]
        for camera, path in zip(recording.full_size_images, of_source):
            pictures = recording.full_size_images[camera]
            if reuse and path.is_file() and _covers(path, list(pictures)):
                continue
            make = detector_maker(name, device)
            LandmarkPass(path, pictures, make, jobs, POINT_COUNTS[name][0], f"{name} {camera}").run()
        if not any(load_landmarks(path).detected.any() for path in of_source):
            raise InputError(
                f"expected a face in some picture of {recording.path}, found none by {name}; check that the cameras "
                "show one, or choose another landmark_source"
            )
        files += of_source
    return files


def require_detector(source: LandmarkSource, device: str = "auto") -> None:
    """Raises InputError now where a package or weights of the source's detectors are missing."""
    for name in SOURCE_FILES[source]:
        detector_maker(name, device)()


def detector_maker(name: str, device: str = "auto") -> Callable[[], FaceDetector]:
    """What makes a detector by the name of its landmark file: mediapipe, face-alignment or STAR."""
    if name == "mediapipe":
        from vhap.detect.mediapipe_landmarks import MediapipeLandmarks

        return MediapipeLandmarks
    if name == "face-alignment":
        from vhap.detect.face_alignment import FaceAlignmentLandmarks

        return lambda: FaceAlignmentLandmarks(device)
    from vhap.detect.star import StarLandmarks

    return lambda: StarLandmarks(device)


def _covers(path: Path, timestep_ids: list[str]) -> bool:
    """False where a file of ours lacks pictures; a file without names is a user's, and checked when it is read."""
    names = load_landmarks(path).timestep_ids
    return names is None or set(timestep_ids) <= set(names)
