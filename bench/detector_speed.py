"""Milliseconds a picture of finding a face's 478 points: followed with one and with three crops, searched for on every
picture, and by MediaPipe's own wheel where that is installed; all on the same pictures, in turns.

    OMP_NUM_THREADS=1 python bench/detector_speed.py --clip CLIP.mp4
"""

from __future__ import annotations

import importlib.util
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from tables import markdown_table

from vhap.cli import parse
from vhap.config.ranges import Count, FramesASecond
from vhap.data.video import read_frames
from vhap.detect.following import FaceFollower
from vhap.detect.mediapipe_landmarks import MediapipeLandmarks
from vhap.util.errors import InputError, exits_cleanly
from vhap.util.threads import one_torch_thread, set_threads


@dataclass(frozen=True)
class DetectorSpeedConfig:
    clip: Path
    """Video with a face."""
    frames: Count = 120
    """Pictures of it, from the first on."""
    fps: FramesASecond = 25.0
    """Pictures a second of it."""


Look = Callable[[np.ndarray, float], object]


def looks() -> dict[str, Look]:
    """By name, what looks at a picture of a time in seconds."""
    search = MediapipeLandmarks()
    found: dict[str, Look] = {
        "followed, 1 crop": FaceFollower(views=1).follow,
        "followed, 3 crops": FaceFollower(views=3).follow,
        "searched": lambda picture, time_s: search.faces(picture),
    }
    if importlib.util.find_spec("mediapipe") is not None:
        import mediapipe

        for name, alone in (("wheel, tracking", False), ("wheel, single", True)):
            mesh = mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=alone, refine_landmarks=True)
            found[name] = lambda picture, time_s, mesh=mesh: mesh.process(picture)
    return found


def seconds_of(work: Look, picture: np.ndarray, time_s: float) -> tuple[float, float]:
    """On the wall's clock, and of the processor."""
    wall, processor = time.perf_counter(), time.process_time()
    work(picture, time_s)
    return time.perf_counter() - wall, time.process_time() - processor


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(DetectorSpeedConfig, __doc__, args)
    if not config.clip.is_file():
        raise InputError(f"expected a video at {config.clip}, found none; correct --clip")
    set_threads(1)
    measured: dict[str, list[tuple[float, float]]] = {}
    with one_torch_thread():
        every = looks()
        pictures = itertools.islice(
            read_frames(config.clip, Fraction(config.fps).limit_denominator(1001)), config.frames
        )
        for index, picture in enumerate(pictures):
            for name, work in every.items():
                measured.setdefault(name, []).append(seconds_of(work, picture, index / config.fps))
    rows = [
        [name, *(f"{1000 * value:.1f}" for value in np.median(seconds, axis=0))] for name, seconds in measured.items()
    ]
    print(markdown_table(["", "wall, ms", "processor, ms"], rows))


if __name__ == "__main__":
    main()
