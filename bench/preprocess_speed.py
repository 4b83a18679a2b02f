"""Speed of preprocessing by the size of the pictures, a stage at a time.

    python bench/preprocess_speed.py --clip CLIP --output OUT
    python bench/preprocess_speed.py --clip CLIP --output OUT --sizes 834x884 3840x2160

The clip is enlarged to each size. Pictures with copies of half the size, landmarks and mattes are made by the command's
own code, each stage on top of what is there; `decode` is the video alone. For each the seconds, and those of the
processor, ffmpeg's with them: the latter hardly depend on what else the machine does.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from tables import markdown_table

from vhap.cli import parse
from vhap.config.preprocess import PreprocessConfig
from vhap.util.errors import InputError, exits_cleanly


@dataclass(frozen=True)
class PreprocessSpeedConfig:
    clip: Path
    """Video with a face."""
    output: Path
    """Where enlarged clips and sequence folders are written, in place of those of an earlier call."""
    sizes: tuple[str, ...] = ("834x884", "1920x1080", "3840x2160")
    """Width x height."""
    frames: int = 24
    """Of each clip."""


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(PreprocessSpeedConfig, __doc__, args)
    rows = []
    for size in config.sizes:
        video = enlarged(config, size)
        rows += [[size, stage, *cells] for stage, cells in timed_stages(video, config.output / size, config.frames)]
    head = ["size", "stage", "seconds", "pictures a second", "processor ms a picture"]
    print(f"{config.frames} pictures on {os.cpu_count()} cores")
    print(markdown_table(head, rows))


def enlarged(config: PreprocessSpeedConfig, size: str) -> Path:
    """The first frames of the clip, scaled and cropped to WIDTHxHEIGHT."""
    from vhap.data.ffmpeg import find_ffmpeg

    width, _, height = size.partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise InputError(f"expected --sizes as WIDTHxHEIGHT, found {size}; correct it")
    config.output.mkdir(parents=True, exist_ok=True)
    video = config.output / f"{size}.mp4"
    scale = f"scale={width}:{height}:force_original_aspect_ratio=increase:flags=lanczos,crop={width}:{height},setsar=1"
    command = [find_ffmpeg(), "-v", "error", "-y", "-i", str(config.clip), "-vf", f"{scale},fps=25"]
    subprocess.run([*command, "-frames:v", str(config.frames), "-crf", "18", "-an", str(video)], check=True)
    return video


def timed_stages(video: Path, folder: Path, count: int) -> list[tuple[str, list[str]]]:
    """Name of each stage and its cells of the table."""
    from vhap.data.video import read_frames
    from vhap.detect.landmarks import detector_maker
    from vhap.detect.matting import make_matting
    from vhap.pipeline.preprocess_video import run

    # What is loaded once a command is no part of a picture's time.
    detector_maker("mediapipe")()
    make_matting("auto", None, folder)
    shutil.rmtree(folder, ignore_errors=True)

    def preprocess(**options: str) -> Callable[[], object]:
        return lambda: run(PreprocessConfig(video, folder, downsample_scales=(2,), **options))  # pyright: ignore[reportArgumentType]

    stages: dict[str, Callable[[], object]] = {
        "decode": lambda: sum(1 for _ in read_frames(video, Fraction(25))),
        "pictures and copies": preprocess(matting_method="none", landmark_source="none"),
        "landmarks": preprocess(matting_method="none"),
        "mattes": preprocess(),
        "nothing left to do": preprocess(),
    }
    found = {name: measured(work) for name, work in stages.items()}
    parts = [found[name] for name in ("pictures and copies", "landmarks", "mattes")]
    found["all"] = sum(seconds for seconds, _ in parts), sum(used for _, used in parts)
    found["all but landmarks"] = tuple(found["all"][at] - found["landmarks"][at] for at in (0, 1))
    return [
        (name, [f"{seconds:.2f}", f"{count / seconds:.1f}", f"{1000 * used / count:.0f}"])
        for name, (seconds, used) in found.items()
    ]


def measured(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds, and those of the processor, of this process and those that it starts and waits for."""
    started, before = time.perf_counter(), os.times()
    work()
    after = os.times()
    return time.perf_counter() - started, sum(after[:4]) - sum(before[:4])


if __name__ == "__main__":
    main()
