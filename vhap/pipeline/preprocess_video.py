"""From a video, or a rig's videos, to a sequence folder: pictures, smaller copies, alpha maps, landmarks."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from vhap.config.preprocess import PreprocessConfig
from vhap.data.extraction import downsample_pictures, extract_pictures
from vhap.data.input_alpha import takes_input_alpha, write_alpha_maps
from vhap.data.pictures import common_size, list_pictures
from vhap.data.rig_extraction import VIDEO_SUFFIXES, find_videos
from vhap.data.rig_recording import find_rig_recording
from vhap.data.sequence_folder import find_folder, open_sequence
from vhap.data.video import extraction_rate, probe_video
from vhap.detect.landmarks import ensure_landmarks, require_detector
from vhap.detect.matte_check import MatteCheck, warn_of
from vhap.detect.matting import Matting, MattingThroughTime, make_matting, matte_pictures, matting_options
from vhap.detect.person import PERSON, person_options
from vhap.detect.tracked_faces import faces_of_sequence
from vhap.pipeline.preprocess_rig import preprocess_rig
from vhap.util.errors import InputError
from vhap.util.lock import folder_lock

SCALES = (2, 4, 8)


def run(config: PreprocessConfig, announce: Callable[[], None] = lambda: None) -> Path:
    """Completes what is missing and returns the sequence folder. Raises InputError, as far as possible at once.

    announce: is called when a video's pictures and landmarks are complete, before its mattes are.
    """
    if wrong := [scale for scale in config.downsample_scales if scale not in SCALES]:
        raise InputError(f"expected downsample_scales of {SCALES}, found {wrong}; correct --downsample_scales")
    person_options(config.person)
    source = find_input(config.input)
    if source.is_dir() and (find_videos(source) or find_rig_recording(source)):
        return preprocess_rig(config, source)
    folder = _sequence_folder(source, config.output_folder)
    images_folder = folder / "images"
    # `..` is resolved by name, since images/ need not be there yet.
    plate = Path(os.path.normpath(images_folder / config.background_folder))
    unknown = config.allow_unknown_weights
    # Weights and packages are looked for first: an hour of extraction must not end in a missing file.
    is_input = _takes_input_alpha(config, source)
    matting = (
        None if is_input else make_matting(config.matting_method, config.matting_weights, plate, config.device, unknown)
    )
    if config.landmark_source != "none":
        require_detector(config.landmark_source)
    with folder_lock(folder):
        return _complete(config, source, folder, matting, plate if not is_input else None, announce)


def _complete(
    config: PreprocessConfig,
    source: Path,
    folder: Path,
    matting: Matting | MattingThroughTime | None,
    plate: Path | None,
    announce: Callable[[], None],
) -> Path:
    """The pictures, landmarks and alpha maps that a folder lacks. plate: of the empty scene, whether it is there or
    not; None: the alpha maps are the input's own."""
    whom = person_options(config.person)
    if source.is_dir():
        downsample_pictures(folder, config.downsample_scales)
    else:
        extract_pictures(source, folder, config.target_fps, config.downsample_scales, config.image_format)
    pictures = list_pictures(folder / "images")
    common_size(list(pictures.values()))
    sequence, maps = open_sequence(folder.parent, folder.name), folder / "alpha_maps"
    if config.landmark_source != "none":
        jobs, device = config.landmark_detector_njobs, config.device
        ensure_landmarks(sequence, config.landmark_source, jobs, device=device, options=whom)
    announce()
    faces = faces_of_sequence(sequence, config.landmark_source, (whom or {}).get(PERSON))
    check = MatteCheck(list(pictures), faces.points)
    if plate is None:
        video = None if source.is_dir() else source
        fps = extraction_rate(probe_video(video), config.target_fps) if video else None
        keep_methods = config.matting_method == "auto"
        write_alpha_maps(pictures, maps, folder, video, fps, keep_methods)
    elif matting is not None:
        options = matting_options(config.matting_method, config.matting_weights, plate)
        keep_methods = config.matting_method == "auto"
        matte_pictures(pictures, maps, matting, folder, options, keep_methods, faces, check.look)
    if faces.file is not None or matting is not None:
        warn_of(check.of(maps), len(pictures), maps)
    return folder


def _takes_input_alpha(config: PreprocessConfig, source: Path) -> bool:
    """Whether the alpha channel of a video, or of a sequence folder's pictures, is the matte."""
    if not source.is_dir():
        return takes_input_alpha(config.matting_method, {source.name: source})
    pictures = list_pictures(source / "images")
    return takes_input_alpha(config.matting_method, {str(source / "images"): list(pictures.values())})


def find_input(path: Path) -> Path:
    """The video or sequence folder that --input means. Raises InputError where there is none, or several."""
    if path.is_file():
        return path
    parent = path.parent
    if not path.is_dir() and (not parent.is_dir() or path.suffix.lower() in VIDEO_SUFFIXES):
        raise InputError(f"expected a video or a folder at {path}, found nothing; correct --input")
    folder = path.resolve() if path.is_dir() else find_folder(parent, path.name).resolve()
    if not (list_pictures(folder / "images") or find_videos(folder) or find_rig_recording(folder)):
        raise InputError(
            f"expected pictures in {folder / 'images'} or the videos of a rig, found neither; give the "
            "file of a single video as --input"
        )
    return folder


def _sequence_folder(source: Path, output_folder: Path | None) -> Path:
    if source.is_dir():
        if output_folder is not None and output_folder.resolve() != source.resolve():
            raise InputError(
                f"expected no output_folder with the sequence folder {source}, found {output_folder}; leave it out"
            )
        return source
    folder = output_folder or source.with_suffix("")
    if folder.is_file():
        raise InputError(f"expected a place for a folder at {folder}, found a file; give --output_folder")
    return folder
