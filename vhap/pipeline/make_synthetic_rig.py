"""Makes a recording of a calibrated rig whose truth is known, in one of the layouts that users have."""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from vhap.config.synthetic import SyntheticConfig
from vhap.data.nersemble.catalogue import SAFE_NAME, SERIALS
from vhap.head.model import HeadModel
from vhap.pipeline.make_synthetic_benchmark import (
    MONO_SERIALS,
    check_benchmark_options,
    kept_back_serials,
    write_flame_tracking,
)
from vhap.render.backend import get_backend
from vhap.synthetic.benchmark_writer import write_metadata
from vhap.synthetic.camera import make_film_camera, make_surface
from vhap.synthetic.motion import MotionLimits, make_motion
from vhap.synthetic.person import make_person
from vhap.synthetic.rig import SyntheticRig, make_rig, make_ring, similar_world
from vhap.synthetic.rig_calibration import affine_matrix, polynomial_matrix
from vhap.synthetic.rig_layouts import BENCHMARKS, RigFiles
from vhap.synthetic.rig_writer import RigTruth, write_rig_capture
from vhap.synthetic.writer import frame_names
from vhap.util.errors import InputError
from vhap.util.log import get_logger

NERSEMBLE_SIZE = (3208, 2200)
FRONT = 8
DEFAULT_CAMERAS, RING_VIEWS = 16, 24
DEFAULT_FOCAL = 2.55
"""In units of the longer side: a head fills most of the picture from a metre away, as in NeRSemble."""


def with_rig_defaults(config: SyntheticConfig) -> SyntheticConfig:
    """The options with the number of cameras, and with what a single_frame leaves no choice of."""
    if config.layout in BENCHMARKS:
        # Cameras that are kept back are judged by their pictures, which are therefore exact.
        config = replace(config, videos=True, image_format="png")
    if config.layout == "benchmark_mono":
        cameras = len(MONO_SERIALS) if config.cameras is None else config.cameras
        return replace(config, cameras=cameras, width=config.size, height=config.size)
    if config.layout != "single_frame":
        return replace(config, cameras=DEFAULT_CAMERAS if config.cameras is None else config.cameras)
    views = RING_VIEWS if config.cameras is None else config.cameras
    return replace(config, cameras=views, frames=1, width=config.size, height=config.size, image_format="png")


def rig_files(config: SyntheticConfig) -> RigFiles:
    assert config.layout not in ("monocular", "benchmark_svfr")
    return RigFiles(
        root=config.output,
        layout=config.layout,
        subject=f"{config.subject:03d}",
        sequence=config.sequence,
        image_format=config.image_format,
        camera_file=config.camera_file or "transforms",
        kept_back=kept_back_serials(config.layout, config.sequence),
    )


def write_rig(config: SyntheticConfig, model: HeadModel, sets: list[str], limits: MotionLimits) -> Path:
    """Completes the sequence and returns its folder."""
    files, rig = rig_files(config), configured_rig(config)
    if files.complete(rig.names, frame_names(config.frames), sets, config.videos):
        get_logger().info("complete already: %s", files.folder)
    else:
        truth = make_rig_truth(config, model, rig, limits)
        write_rig_capture(files, truth, config.frame_rate, sets, config.landmark_noise_px, config.seed, config.videos)
    if files.is_benchmark:
        write_metadata(files, config.frames)
    if config.layout == "benchmark_mono":
        write_flame_tracking(files, model)
    return files.folder


def make_rig_truth(config: SyntheticConfig, model: HeadModel, rig: SyntheticRig, limits: MotionLimits) -> RigTruth:
    """Person, motion and colours that the options and their seed give."""
    backend = get_backend("auto")
    person = make_person(model, backend, person_seed(config), config.hair == "long", config.light_seed)
    surface = make_surface(model, person)
    times = np.arange(config.frames) / config.frame_rate
    params = make_motion(model, person.shape, times, limits, person_seed(config) + zlib.crc32(config.sequence.encode()))
    film_cameras = tuple(
        make_film_camera(
            model,
            person,
            backend,
            rig.camera(index, config.height, config.width),
            config.supersampling,
            person_seed(config) + index,
            surface,
        )
        for index in range(len(rig.names))
    )
    make_matrix = {"nersemble_v1": affine_matrix, "nersemble_v2": polynomial_matrix}.get(config.layout)
    colors = (
        [make_matrix(np.random.default_rng((config.seed, 50, k))) for k in range(len(rig.names))] if make_matrix else []
    )
    return RigTruth(model, person, params, rig, film_cameras, tuple(colors))


def configured_rig(config: SyntheticConfig) -> SyntheticRig:
    """The rig of the options; NeRSemble's subjects each have their own calibration."""
    focal, seed = config.focal or DEFAULT_FOCAL, person_seed(config)
    assert config.cameras is not None
    if config.layout == "benchmark_mono":
        places, size = [SERIALS.index(serial) for serial in MONO_SERIALS], (config.height, config.width)
        return make_rig(MONO_SERIALS, places, len(SERIALS), size, focal, False, seed)
    if is_nersemble(config):
        places = rig_places(config.cameras)
        names = [SERIALS[place] for place in places]
        if config.layout == "benchmark_nvs":
            return make_rig(names, places, len(SERIALS), (config.height, config.width), focal, False, seed)
        return make_rig(names, places, len(SERIALS), NERSEMBLE_SIZE, focal, True, seed)
    size = (config.height, config.width)
    if config.layout == "single_frame":
        return make_ring([f"{index:04d}_original" for index in range(config.cameras)], size, focal, seed)
    names = [f"cam_{index:02d}" for index in range(config.cameras)]
    rig = make_rig(names, range(config.cameras), config.cameras, size, focal, False, seed)
    return rig if config.world == "metric" else replace(rig, world=similar_world(seed))


def rig_places(count: int) -> list[int]:
    """Evenly spread indices of NeRSemble's cameras, the front one always among them."""
    places = np.round(np.linspace(0, len(SERIALS) - 1, count)).astype(int)
    places[np.abs(places - FRONT).argmin()] = FRONT
    return places.tolist()


def check_rig_options(config: SyntheticConfig) -> None:
    """InputError where options contradict each other or are out of range."""
    assert config.cameras is not None
    check_benchmark_options(config)
    least, most = (1, len(SERIALS)) if is_nersemble(config) else (2, 99)
    ranges = {"cameras": (least, most), "width": (64, 8192), "height": (64, 8192), "subject": (0, 999)}
    for name, (low, high) in ranges.items():
        if not low <= getattr(config, name) <= high:
            raise InputError(f"expected --{name} from {low} to {high}, found {getattr(config, name)}; correct it")
    if not SAFE_NAME.fullmatch(config.sequence) or config.sequence == "BACKGROUND":
        raise InputError(f"expected a folder's name as --sequence, found {config.sequence!r}; correct it")
    if config.layout == "single_frame" and config.cameras % 3:
        raise InputError(
            f"expected a multiple of 3 as --cameras of single_frame (three rings), found {config.cameras}; correct it"
        )
    if config.videos and config.layout == "single_frame":
        raise InputError("expected --videos with moving heads, found it with single_frame; leave it out")
    if config.videos and (config.width % 2 or config.height % 2):
        raise InputError(
            f"expected an even --width and --height with --videos (video stores colours by pairs of pixels), found "
            f"{config.width} and {config.height}; correct them"
        )
    require_multiview_options(config)


def require_multiview_options(config: SyntheticConfig) -> None:
    """InputError where an option of multiview comes with another layout."""
    if config.layout != "multiview" and (config.world != "metric" or config.camera_file is not None):
        raise InputError(
            "expected --world and --camera_file with --layout multiview only, found them with "
            f"{config.layout}; leave them out"
        )


def is_nersemble(config: SyntheticConfig) -> bool:
    return config.layout in ("nersemble_v1", "nersemble_v2", *BENCHMARKS)


def person_seed(config: SyntheticConfig) -> int:
    return config.seed + zlib.crc32(str(config.subject).encode())
