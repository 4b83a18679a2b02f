"""From the videos, or the pictures, of several cameras to a sequence folder: pictures, smaller copies, alpha maps,
landmarks."""

from __future__ import annotations

import os
from pathlib import Path

from vhap.config.preprocess import PreprocessConfig
from vhap.data.extraction import downsample_folder
from vhap.data.pictures import common_size
from vhap.data.rig_extraction import extract_rig_pictures, find_videos
from vhap.data.rig_recording import RigRecording, find_rig_recording, flat_name
from vhap.detect.background_matting import find_background
from vhap.detect.landmarks import ensure_rig_landmarks, require_detector
from vhap.detect.matting import Matting, make_matting, matte_pictures
from vhap.util.errors import InputError


def preprocess_rig(config: PreprocessConfig, source: Path) -> Path:
    """Completes what is missing and returns the sequence folder. Raises InputError, as far as possible at once.

    source: a folder with videos cam_<serial>.mp4, or with pictures of several cameras in images/.
    """
    videos = find_videos(source)
    folder = config.output_folder or source
    if folder != source and not videos:
        raise InputError(f"expected no output_folder with the sequence folder {source}, found {folder}; leave it out")
    recording = find_rig_recording(folder)
    cameras = list(videos) or list(recording.images if recording else ())
    # Weights, packages and plates are looked for first: hours of extraction must not end in a missing file.
    if config.matting_method == "background_matting_v2":
        for camera in cameras:
            find_background(_background(config, folder, camera))
    _make_matting(config, folder, cameras[0])
    if config.landmark_source != "none":
        require_detector(config.landmark_source)
    if videos:
        extract_rig_pictures(videos, folder, config.target_fps, config.downsample_scales, config.image_format)
        recording = find_rig_recording(folder)
    assert recording is not None, folder
    complete_rig(config, recording)
    return folder


def complete_rig(config: PreprocessConfig, recording: RigRecording) -> None:
    """Smaller copies, alpha maps and landmarks of pictures that are there."""
    recording.timestep_ids(list(recording.images))
    for pictures in recording.images.values():
        common_size(list(pictures.values()))
    for folder in sorted({next(iter(pictures.values())).parent for pictures in recording.images.values()}):
        for scale in config.downsample_scales:
            below = folder.relative_to(recording.images_folder)
            downsample_folder(folder, recording.path / f"images_{scale}" / below, scale)
    for camera, pictures in recording.images.items():
        # A recurrent network must not carry one camera's past into the next one's pictures.
        matting = _make_matting(config, recording.path, camera)
        if matting is not None:
            if recording.is_nested:
                matte_pictures(pictures, recording.path / "alpha_maps" / camera, matting)
            else:
                named = {flat_name(camera, timestep): path for timestep, path in pictures.items()}
                matte_pictures(named, recording.path / "alpha_maps", matting)
    if config.landmark_source != "none":
        ensure_rig_landmarks(recording, config.landmark_source, config.landmark_detector_njobs, device=config.device)


def _make_matting(config: PreprocessConfig, folder: Path, camera: str) -> Matting | None:
    background = _background(config, folder, camera)
    return make_matting(config.matting_method, config.matting_weights, background, config.device)


def _background(config: PreprocessConfig, folder: Path, camera: str) -> Path:
    """The plate of a camera; `..` is resolved by name, since images/ need not be there yet."""
    return Path(os.path.normpath(folder / "images" / config.background_folder)) / f"image_{camera}.jpg"
