"""Landmark files of a recording: which detectors a source means, and running those whose file is not there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from vhap.config.data import LandmarkSource
from vhap.data.landmark_files import POINT_COUNTS, changed_pictures, load_landmarks
from vhap.data.monocular_landmarks import SOURCE_FILES
from vhap.data.pictures import some_names
from vhap.data.provenance import Provenance
from vhap.data.rig_recording import RigRecording
from vhap.data.sequence_folder import SequenceFolder
from vhap.detect.landmark_pass import FaceDetector, LandmarkPass
from vhap.util.errors import InputError
from vhap.util.lock import folder_lock
from vhap.util.log import get_logger
from vhap.util.threads import get_threads


def ensure_landmarks(
    sequence: SequenceFolder,
    source: LandmarkSource,
    n_jobs: int = 0,
    reuse: bool = True,
    device: str = "auto",
    options: Mapping[str, str] | None = None,
) -> list[Path]:
    """Landmark files of all pictures for a source, detected where they are missing, incomplete, or ours and of other
    pictures.

    n_jobs: detectors at the same time, 0 for one per core. reuse: keep complete files. device: auto, cpu or
    cuda, for detectors that know it. options: what else decides what is detected; files of ours with other values of
    these are made again (None: with any values they are kept, and made again with those that they had). Raises
    InputError where a file that is not ours does not fit the pictures, a detector's package is missing, or no picture
    shows a face.
    """
    files, sources = [], Provenance(sequence.path).sources(sequence.full_size_images)
    for name in SOURCE_FILES[source]:
        existing = sequence.landmark_file(name)
        if existing is not None and reuse and is_current(existing, sources, options):
            files.append(existing)
            continue
        path = existing or sequence.path / "landmark2d" / f"{name}.npz"
        jobs = n_jobs or get_threads()
        make, chosen = detector_maker(name, device), _options(existing, options)
        with folder_lock(sequence.path):
            files.append(LandmarkPass(path, sequence.full_size_images, make, jobs, options=chosen).run())
    return files


def ensure_rig_landmarks(
    recording: RigRecording,
    source: LandmarkSource,
    n_jobs: int = 0,
    reuse: bool = True,
    device: str = "auto",
    options: Mapping[str, str] | None = None,
) -> list[Path]:
    """As `ensure_landmarks`, a file for each camera. A camera may see no face; InputError where none sees one."""
    files, jobs, made = [], n_jobs or get_threads(), Provenance(recording.path)
    sources = {camera: made.sources(pictures) for camera, pictures in recording.full_size_images.items()}
    for name in SOURCE_FILES[source]:
        of_source = [recording.landmark_file(name, camera) for camera in recording.images]
        for camera, path in zip(recording.full_size_images, of_source):
            pictures = recording.full_size_images[camera]
            if reuse and path.is_file() and is_current(path, sources[camera], options):
                continue
            make, chosen = detector_maker(name, device), _options(path if path.is_file() else None, options)
            with folder_lock(recording.path):
                LandmarkPass(path, pictures, make, jobs, POINT_COUNTS[name][0], f"{name} {camera}", chosen).run()
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


def _options(existing: Path | None, options: Mapping[str, str] | None) -> Mapping[str, str]:
    """Those given, else those of the file that is made again."""
    if options is not None or existing is None:
        return options or {}
    return load_landmarks(existing).options


def is_current(path: Path, sources: Mapping[str, str], options: Mapping[str, str] | None) -> bool:
    """False where a file of ours lacks pictures, is of other pictures or of other options; a file without names is a
    user's, and checked when it is read."""
    found = load_landmarks(path)
    if found.timestep_ids is None or not set(sources) <= set(found.timestep_ids):
        return found.timestep_ids is None
    if changed := changed_pictures(found, sources):
        get_logger().info(
            "%d of %d pictures changed since %s was made of them (%s): detecting again",
            len(changed), len(sources), path, some_names(changed),
        )  # fmt: skip
        return False
    other = [key for key, value in (options or {}).items() if found.options.get(key, "") != value]
    if found.sources is None:
        if other:
            get_logger().warning(
                "%s does not say whom it follows and is kept: --person has no effect on it; remove it to detect again",
                path,
            )
        return True
    if other:
        get_logger().info("%s was made with other options (%s): detecting again", path, some_names(other))
        return False
    return True
