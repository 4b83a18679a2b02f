"""Makes single pictures whose truth is known, in the folders of the benchmark of single-view reconstruction."""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from vhap.config.synthetic import SyntheticConfig
from vhap.data.nersemble.catalogue import SERIALS
from vhap.head.model import HeadModel
from vhap.nersemble.benchmark.constants import BENCHMARK_SVFR_IMAGE_KEYS
from vhap.nersemble.benchmark.managers import ImageKey
from vhap.pipeline.make_synthetic_benchmark import check_benchmark_options
from vhap.pipeline.make_synthetic_rig import DEFAULT_FOCAL, person_seed, require_multiview_options
from vhap.render.backend import get_backend
from vhap.synthetic.motion import MotionLimits, make_motion
from vhap.synthetic.person import make_person
from vhap.synthetic.rig import make_rig
from vhap.synthetic.svfr_writer import Shot, SvfrFiles, write_svfr
from vhap.util.errors import InputError
from vhap.util.log import get_logger


def with_svfr_defaults(config: SyntheticConfig) -> SyntheticConfig:
    """The options with what the benchmark leaves no choice of; InputError where they contradict it."""
    check_benchmark_options(config)
    require_multiview_options(config)
    if config.videos or config.cameras is not None:
        raise InputError(
            "expected --videos and --cameras with recordings, found them with benchmark_svfr, which has single "
            "pictures of given cameras; leave them out"
        )
    count = min(config.frames, len(BENCHMARK_SVFR_IMAGE_KEYS[config.subject]))
    return replace(config, frames=count, image_format="png")


def svfr_files(config: SyntheticConfig) -> SvfrFiles:
    return SvfrFiles(config.output, f"{config.subject:03d}")


def image_keys(config: SyntheticConfig) -> list[ImageKey]:
    return [ImageKey(*key) for key in BENCHMARK_SVFR_IMAGE_KEYS[config.subject][: config.frames]]


def write_svfr_pictures(config: SyntheticConfig, model: HeadModel, sets: list[str], limits: MotionLimits) -> Path:
    """Completes the participant's folder and returns it."""
    files, keys = svfr_files(config), image_keys(config)
    if files.complete([folder_name(key) for key in keys], sets):
        get_logger().info("complete already: %s", files.folder)
        return files.folder
    seed = person_seed(config)
    person = make_person(model, get_backend("auto"), seed, config.hair == "long", config.light_seed)
    size = (config.size, config.size)
    rig = make_rig(SERIALS, range(len(SERIALS)), len(SERIALS), size, config.focal or DEFAULT_FOCAL, False, seed)
    shots = []
    for key in keys:
        # As a recording of that sequence would show the person at that time.
        time = np.array([key.timestep / config.frame_rate])
        params = make_motion(model, person.shape, time, limits, seed + zlib.crc32(key.sequence_name.encode()))
        shots.append(Shot(folder_name(key), params, rig.camera(SERIALS.index(key.serial), *size)))
    write_svfr(files, model, person, shots, config.supersampling, sets, config.landmark_noise_px, config.seed)
    return files.folder


def folder_name(key: ImageKey) -> str:
    """In the download: the timestep is not padded there."""
    return f"{key.sequence_name}_{key.timestep}_{key.serial}"
