"""Makes a capture whose truth is known: a random person of a head model, filmed while talking."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vhap.config.loading import to_plain
from vhap.config.synthetic import SyntheticConfig
from vhap.geometry.cameras import camera_from_focal
from vhap.head.load import load_head
from vhap.head.model import HeadModel
from vhap.pipeline.heads import with_detector_points
from vhap.pipeline.make_synthetic_rig import check_rig_options, rig_files, with_rig_defaults, write_rig
from vhap.pipeline.make_synthetic_svfr import svfr_files, with_svfr_defaults, write_svfr_pictures
from vhap.render.backend import get_backend
from vhap.synthetic.camera import make_film_camera
from vhap.synthetic.hair import require_regions
from vhap.synthetic.motion import MotionLimits, make_motion
from vhap.synthetic.person import make_person
from vhap.synthetic.rig_layouts import RigFiles
from vhap.synthetic.svfr_writer import SvfrFiles
from vhap.synthetic.writer import DETECTOR_FILES, CaptureFiles, Truth, frame_names, write_capture
from vhap.util.errors import InputError, shown
from vhap.util.files import read_json, remove_unfinished, write_json
from vhap.util.lock import folder_lock
from vhap.util.log import get_logger

FOCAL_RANGE = (1.5, 2.5)
LARGEST_SUPERSAMPLING = 8
NOT_COMPARED = ("output", "flame_model_path", "gnm_path", "ict_facekit_path", "head_path")
"""Options that only say where files lie; the head's identity stands for its file."""
OF_RIGS_ALONE = ("sequence", "cameras", "width", "height", "videos", "camera_file", "world")
OF_RIGS = ("subject", *OF_RIGS_ALONE)
OF_ONE_CAMERA = ("size", "motion_seed")
AnyFiles = CaptureFiles | RigFiles | SvfrFiles


def run(config: SyntheticConfig) -> Path:
    """Writes the sequence's folder (of one camera: and the video beside it) and returns it.

    A capture that was interrupted is completed and one that is complete is left alone. Raises InputError on options
    out of range and where the folder holds something else.
    """
    check_options(config)
    files: AnyFiles
    if config.layout == "monocular":
        files, unused = CaptureFiles(config.output, config.image_format), OF_RIGS
    elif config.layout == "benchmark_svfr":
        config = with_svfr_defaults(config)
        files, unused = svfr_files(config), OF_RIGS_ALONE
    else:
        config = with_rig_defaults(config)
        check_rig_options(config)
        files, unused = rig_files(config), OF_ONE_CAMERA
    model = load_synthetic_head(config)
    if config.hair != "none":
        require_regions(model)
    options = to_plain(replace(config, fps=config.frame_rate))
    settings = {name: value for name, value in options.items() if name not in (*NOT_COMPARED, *unused)}
    with folder_lock(files.folder):
        claim_folder(files, {**settings, "head_model": model.identity})
        if isinstance(files, CaptureFiles):
            remove_unfinished(files.video.parent, with_folders=False)
        return complete_capture(config, model, files)


def complete_capture(config: SyntheticConfig, model: HeadModel, files: AnyFiles) -> Path:
    """What is missing of a capture in a folder that is ours. Returns the sequence's folder."""
    sets = landmark_sets(config, model)
    if isinstance(files, RigFiles):
        return write_rig(config, model, sets, motion_limits(config))
    if isinstance(files, SvfrFiles):
        return write_svfr_pictures(config, model, sets, motion_limits(config))
    if files.complete(frame_names(config.frames), sets):
        get_logger().info("complete already: %s", files.folder)
        return files.folder
    truth = make_truth(config, model)
    write_capture(files, truth, config.frame_rate, sets, config.landmark_noise_px, seed_of_motion(config))
    return files.folder


def make_truth(config: SyntheticConfig, model: HeadModel) -> Truth:
    """The person, motion and camera that the options and their seed give."""
    backend = get_backend("auto")
    person = make_person(model, backend, config.seed, config.hair == "long", config.light_seed)
    focal = config.focal or float(np.random.default_rng((config.seed, 3)).uniform(*FOCAL_RANGE))
    times = np.arange(config.frames) / config.frame_rate
    moved_by = seed_of_motion(config)
    params = make_motion(model, person.shape, times, motion_limits(config), moved_by)
    pinhole = camera_from_focal(torch.tensor(focal), config.size, config.size)
    camera = make_film_camera(model, person, backend, pinhole, config.supersampling, moved_by)
    return Truth(model, person, params, focal, camera)


def seed_of_motion(config: SyntheticConfig) -> int:
    return config.seed if config.motion_seed is None else config.motion_seed


def motion_limits(config: SyntheticConfig) -> MotionLimits:
    return MotionLimits(
        yaw_rad=float(np.radians(config.max_yaw)),
        pitch_rad=float(np.radians(config.max_pitch)),
        roll_rad=float(np.radians(config.max_roll)),
        shift_m=config.max_shift,
        expression=config.expression,
    )


def load_synthetic_head(config: SyntheticConfig) -> HeadModel:
    """The head, with MediaPipe's points where the options ask for their file."""
    model = load_head(
        config.head,
        flame_model_path=config.flame_model_path,
        gnm_path=config.gnm_path,
        ict_facekit_path=config.ict_facekit_path,
        head_path=config.head_path,
    )
    if config.landmark_source == "face-alignment" or "mediapipe" in model.landmarks:
        return model
    try:
        return with_detector_points(model, "mediapipe")
    except InputError as error:
        if config.landmark_source == "mediapipe":
            raise
        get_logger().info("no MediaPipe landmarks on this head: %s", error)
        return model


def landmark_sets(config: SyntheticConfig, model: HeadModel) -> list[str]:
    """Landmark sets to write, all of them on the head; InputError where the head lacks the one asked for."""
    present = [name for name in DETECTOR_FILES if name in model.landmarks]
    if config.landmark_source == "all":
        return present
    wanted = [name for name in present if DETECTOR_FILES[name] == config.landmark_source]
    if not wanted:
        raise InputError(
            f"expected a head with the landmarks of {config.landmark_source}, found {model.name} with "
            f"{', '.join(sorted(model.landmarks)) or 'none'}; choose another --landmark_source"
        )
    return wanted


def check_options(config: SyntheticConfig) -> None:
    """InputError where an option is out of range."""
    ranges: dict[str, tuple[Any, Any]] = {
        "frames": (1, 1_000_000),
        "frame_rate": (1, 1000),
        "size": (64, 8192),
        "supersampling": (1, LARGEST_SUPERSAMPLING),
        "seed": (0, 2**32),
        **{name: (0, 2**32) for name in ("motion_seed", "light_seed") if getattr(config, name) is not None},
        "max_yaw": (0, 90),
        "max_pitch": (0, 60),
        "max_roll": (0, 60),
        "max_shift": (0, 0.3),
        "expression": (0, 2),
        "landmark_noise_px": (0, 100),
    }
    if config.focal is not None:
        ranges["focal"] = (0.5, 20)
    for name, (low, high) in ranges.items():
        if not low <= getattr(config, name) <= high:
            option = "fps" if name == "frame_rate" else name
            raise InputError(f"expected --{option} from {low} to {high}, found {getattr(config, name)}; correct it")
    if config.motion_seed is not None and config.layout != "monocular":
        raise InputError(
            f"expected --motion_seed with --layout monocular, found {config.layout}, whose motion --sequence chooses; "
            "leave it out"
        )
    if config.size % 2:
        raise InputError(f"expected an even --size (video stores colours by pairs of pixels), found {config.size}")


def claim_folder(files: AnyFiles, settings: dict[str, Any]) -> None:
    """Writes the settings before anything else, so that the folder is known as ours and of which options.

    Raises InputError where the folder holds a capture of other options, or something that is not a synthetic capture.
    """
    if not files.settings.is_file():
        video = files.video if isinstance(files, CaptureFiles) else None
        taken = any(path.name[0] != "." for path in files.folder.iterdir())
        if taken or (video is not None and video.exists()):
            beside = "" if video is None else f" and {video.name} beside it"
            raise InputError(
                f"expected nothing or a synthetic capture at {files.folder}{beside}, found other files; "
                "choose another --output"
            )
        write_json(files.settings, settings)
        return
    # Captures of before there were these options.
    earlier = {"hair": "none", "motion_seed": None, "light_seed": None}
    found = {**earlier, **read_json(files.settings, dict[str, Any])}
    if differing := sorted(key for key in settings if found.get(key) != settings[key]):
        described = ", ".join(f"{key}={shown(found.get(key))}" for key in differing)
        raise InputError(
            f"expected the capture at {files.folder} to have the same options, found {described}; "
            "choose another --output or remove that folder (and its video)"
        )
