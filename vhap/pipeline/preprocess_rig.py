"""From the videos, or the pictures, of several cameras to a sequence folder: pictures, smaller copies, alpha maps,
landmarks."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from vhap.config.preprocess import MattingMethod, PreprocessConfig
from vhap.data.agreement import Contradiction
from vhap.data.alpha_videos import find_alpha_videos
from vhap.data.extraction import downsample_folder
from vhap.data.input_alpha import AlphaSource, takes_input_alpha, write_alpha_maps
from vhap.data.pictures import common_size, picture_size, some_names
from vhap.data.rig_extraction import extract_rig_pictures, videos_that_count
from vhap.data.rig_recording import RigRecording, find_rig_recording, flat_name
from vhap.data.video import extraction_rate, probe_video, read_frames
from vhap.detect.clean_plate import find_rig_backgrounds, require_plate_shape, require_rig_backgrounds
from vhap.detect.landmarks import ensure_rig_landmarks, require_detector
from vhap.detect.matte_check import MatteCheck, warn_of
from vhap.detect.matting import (
    NEED_BACKGROUND,
    Matting,
    MattingThroughTime,
    make_matting,
    matte_pictures,
    matting_options,
)
from vhap.detect.person import PERSON, person_options
from vhap.detect.tracked_faces import TrackedFaces, faces_of_rig
from vhap.util.errors import InputError
from vhap.util.lock import folder_lock
from vhap.util.log import get_logger


def preprocess_rig(config: PreprocessConfig, source: Path) -> Path:
    """Completes what is missing and returns the sequence folder. Raises InputError, as far as possible at once.

    source: a folder with a video of each camera, or with pictures of several cameras in images/.
    """
    folder = config.output_folder or source
    videos = videos_that_count(source)
    if folder != source and not videos:
        raise InputError(f"expected no output_folder with the sequence folder {source}, found {folder}; leave it out")
    recording = find_rig_recording(folder)
    cameras = list(videos) or list(recording.images if recording else ())
    require_no_person(config.person, cameras)
    # Weights, packages and plates are looked for first: hours of extraction must not end in a missing file.
    keep_methods = config.matting_method == "auto"
    is_input = takes_input_alpha(config.matting_method, _sources(videos, recording))
    method = "input" if is_input else _chosen_method(config, folder, cameras)
    config = replace(config, matting_method=method)
    if config.matting_method in NEED_BACKGROUND:
        plates = require_rig_backgrounds(_plates_folder(config, folder), cameras)
        for camera, size in _picture_sizes(videos, recording).items():
            require_plate_shape(plates[camera], picture_size(plates[camera]), size)
    if not is_input:
        _make_matting(config, folder, cameras[0])
    if config.landmark_source != "none":
        require_detector(config.landmark_source)
    with folder_lock(folder):
        if videos:
            extract_rig_pictures(videos, folder, config.target_fps, config.downsample_scales, config.image_format)
            recording = find_rig_recording(folder)
        assert recording is not None, folder
        complete_rig(config, recording, videos, keep_methods)
    return folder


def complete_rig(
    config: PreprocessConfig, recording: RigRecording, videos: Mapping[str, Path], keep_methods: bool
) -> None:
    """Smaller copies, alpha maps and landmarks of pictures that are there. videos: what they were taken from, if so;
    keep_methods: see `matte_pictures`."""
    recording.timestep_ids(list(recording.images))
    for pictures in recording.images.values():
        common_size(list(pictures.values()))
    for folder in sorted({next(iter(pictures.values())).parent for pictures in recording.images.values()}):
        for scale in config.downsample_scales:
            below = folder.relative_to(recording.images_folder)
            downsample_folder(folder, recording.path / f"images_{scale}" / below, scale, recording.path)
    if config.landmark_source != "none":
        ensure_rig_landmarks(recording, config.landmark_source, config.landmark_detector_njobs, device=config.device)
    faces = faces_of_rig(recording, config.landmark_source)
    wrong: dict[str, Contradiction] = {}
    for camera, pictures in recording.images.items():
        is_nested = recording.is_nested
        below = recording.path / "alpha_maps" / (camera if is_nested else "")
        named = pictures if is_nested else {flat_name(camera, timestep): path for timestep, path in pictures.items()}
        check = MatteCheck(list(named), faces[camera].points)
        _matte_camera(config, recording, camera, named, below, videos.get(camera), keep_methods, faces[camera], check)
        if faces[camera].file is not None or config.matting_method not in ("none", "input"):
            found = check.of(below)
            wrong.update({f"{camera}/{name}" if is_nested else name: found[name] for name in found})
    warn_of(wrong, sum(map(len, recording.images.values())), recording.path / "alpha_maps")


def _matte_camera(
    config: PreprocessConfig,
    recording: RigRecording,
    camera: str,
    named: dict[str, Path],
    folder: Path,
    video: Path | None,
    keep_methods: bool,
    faces: TrackedFaces,
    check: MatteCheck,
) -> None:
    """Alpha maps of one camera's pictures (name -> file) in folder, which check is shown."""
    if config.matting_method == "input":
        fps = extraction_rate(probe_video(video), config.target_fps) if video else None
        source = find_alpha_videos({camera: video}).get(camera, video) if video else None
        write_alpha_maps(named, folder, recording.path, source, fps, keep_methods)
        return
    # A recurrent network must not carry one camera's past into the next one's pictures.
    matting = _make_matting(config, recording.path, camera)
    if matting is not None:
        plate = _plate(config, recording.path, camera)
        options = matting_options(config.matting_method, config.matting_weights, plate)
        matte_pictures(named, folder, matting, recording.path, options, keep_methods, faces, check.look)


def require_no_person(person: str | None, cameras: list[str]) -> None:
    """InputError where --person is to choose in several cameras, which do not see the persons in one order."""
    if len(cameras) > 1 and person_options(person) not in (None, {PERSON: ""}):
        raise InputError(
            f"expected --person with pictures of one camera, found {len(cameras)} cameras; cut their videos to the one "
            "person, or give alpha_maps and landmark2d of your own"
        )


def _chosen_method(config: PreprocessConfig, folder: Path, cameras: Iterable[str]) -> MattingMethod:
    """What `auto` means without alpha channels: background_difference where it can run for every camera, else
    mediapipe_video."""
    if config.matting_method != "auto":
        return config.matting_method
    plates_folder = _plates_folder(config, folder)
    plates = find_rig_backgrounds(plates_folder, cameras)
    if not plates:
        return "mediapipe_video"
    missing = [camera for camera in cameras if camera not in plates]
    if missing:
        get_logger().info(
            "matting by mediapipe_video, though %s has clean plates: no picture of the empty scene of %s",
            plates_folder, some_names(missing),
        )  # fmt: skip
        return "mediapipe_video"
    get_logger().info("matting by background_difference with the clean plates in %s", plates_folder)
    return "background_difference"


def _sources(videos: Mapping[str, Path], recording: RigRecording | None) -> Mapping[str, AlphaSource]:
    """What mattes may be in: each camera's alpha video, or the alpha channel of its video, or of its pictures."""
    if videos:
        mattes = find_alpha_videos(videos)
        return {f"camera {camera}": mattes.get(camera, path) for camera, path in videos.items()}
    images = recording.images if recording else {}
    return {f"camera {camera}": list(pictures.values()) for camera, pictures in images.items()}


def _picture_sizes(videos: Mapping[str, Path], recording: RigRecording | None) -> dict[str, tuple[int, int]]:
    """Camera -> (height, width) of its first picture."""
    if videos:
        first = {camera: next(read_frames(path, probe_video(path).fps)) for camera, path in videos.items()}
        return {camera: (picture.shape[0], picture.shape[1]) for camera, picture in first.items()}
    images = recording.images if recording else {}
    return {camera: picture_size(next(iter(pictures.values()))) for camera, pictures in images.items()}


def _make_matting(config: PreprocessConfig, folder: Path, camera: str) -> Matting | MattingThroughTime | None:
    plate, unknown = _plate(config, folder, camera), config.allow_unknown_weights
    return make_matting(config.matting_method, config.matting_weights, plate, config.device, unknown)


def _plate(config: PreprocessConfig, folder: Path, camera: str) -> Path:
    plates_folder = _plates_folder(config, folder)
    return find_rig_backgrounds(plates_folder, [camera]).get(camera, plates_folder)


def _plates_folder(config: PreprocessConfig, folder: Path) -> Path:
    """Of image_<camera>.jpg; `..` is resolved by name, since images/ need not be there yet."""
    return Path(os.path.normpath(folder / "images" / config.background_folder))
