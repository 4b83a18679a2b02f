"""Memory of preprocessing and exporting by the length of the video: it should not grow with the frames.

A short film of the built-in head is looped to the wanted lengths; each command is the one that a user types, run as
its own process, whose peak resident memory the system reports (Linux and macOS).

    python bench/memory.py --output OUT
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vhap.cli import parse
from vhap.config.data import DataConfig
from vhap.config.loading import save_config
from vhap.config.track import ExperimentConfig, ModelConfig, TrackConfig
from vhap.data.pictures import list_pictures
from vhap.data.results import TrackResult, load_result, save_result
from vhap.synthetic.writer import write_video
from vhap.util.errors import InputError, exits_cleanly

SCRIPTS = Path(__file__).resolve().parents[1] / "vhap"
FPS = 25.0


@dataclass(frozen=True)
class MemoryConfig:
    output: Path
    """A new folder for the videos and everything made of them."""
    frames: tuple[int, ...] = (100, 1000)
    """Lengths of the videos."""
    size: int = 256
    """Side of the pictures."""
    filmed: int = 20
    """Frames that are rendered and then looped."""


@dataclass(frozen=True)
class Usage:
    """Peak resident memory of a command, the largest of it and the processes it starts, and its time."""

    mebibytes: float
    seconds: float


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(MemoryConfig, __doc__, args)
    if config.output.exists():
        raise InputError(
            f"expected a new folder as --output, found {config.output}; finished work would not be measured"
        )
    film = config.output / "film"
    measured("make_synthetic_capture.py", "--output", film, "--frames", config.filmed, "--size", config.size)
    print("| frames | preprocess, MiB | seconds | export, MiB | seconds |")
    print("|---|---|---|---|---|")
    for count in config.frames:
        preprocess, export = measure(film, config.output / f"frames_{count}", count)
        cells = (f"{usage.mebibytes:.0f} | {usage.seconds:.0f}" for usage in (preprocess, export))
        print(f"| {count} | {' | '.join(cells)} |", flush=True)


def measure(film: Path, folder: Path, count: int) -> tuple[Usage, Usage]:
    """Preprocesses and exports a video of `count` frames made of the film's."""
    pictures = list(list_pictures(film / "images").values())
    video = folder / "loop.mp4"
    write_video(video, [pictures[k % len(pictures)] for k in range(count)], FPS)
    preprocess = measured("preprocess_video.py", "--input", video)
    truth = load_result(film / "ground_truth" / "tracked_flame_params_0.npz")
    run = write_run(folder / "run", video.with_suffix(""), truth)
    export = measured("export_as_nerf_dataset.py", "--src_folder", run, "--tgt_folder", folder / "export")
    return preprocess, export


def write_run(run: Path, sequence: Path, truth: TrackResult) -> Path:
    """A run folder as tracking writes it, with the film's truth repeated for all pictures of the sequence."""
    names = list(list_pictures(sequence / "images"))
    looped = truth.select([k % len(truth.timestep_id) for k in range(len(names))])
    looped = replace(looped, timestep_id=np.array(names), timestep_index=np.arange(len(names)))
    data = DataConfig(root_folder=sequence.parent, sequence=sequence.name)
    model = ModelConfig(head="builtin")
    save_config(run / "config.yml", TrackConfig(data=data, exp=ExperimentConfig(run.parent), model=model))
    save_result(run / "tracked_flame_params_0.npz", looped)
    return run


def measured(script: str, *options: object) -> Usage:
    """Runs one of the package's scripts; stops where it fails."""
    started = time.monotonic()
    command = [sys.executable, str(SCRIPTS / script), *map(str, options)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    bytes_per_unit = 1 if sys.platform == "darwin" else 1024
    return Usage(usage.ru_maxrss * bytes_per_unit / 2**20, time.monotonic() - started)


if __name__ == "__main__":
    main()
