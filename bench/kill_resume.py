"""Whether a tracking run that is killed over and over ends with the same result, bit for bit.

A small film of the built-in head is tracked once in peace. Then the same command is started into another folder, killed
(SIGKILL) at a random moment of the time that the whole run takes, and started again until it comes to its end. With
that, another folder is begun, until the asked number of kills has been made.

    python bench/kill_resume.py --output OUT --kills 20
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from common import ROOT, FilmOptions, film_data, make_film, stage_counts
from tables import markdown_table

from vhap.cli import parse
from vhap.data.results import newest_run, result_epochs, result_path
from vhap.util.errors import InputError, exits_cleanly
from vhap.util.files import read_npz
from vhap.util.log import get_logger

NONE = "none"


@dataclass(frozen=True)
class KillResumeConfig(FilmOptions):
    output: Path
    """A new folder."""
    frames: int = 24
    """Length of the film."""
    size: int = 128
    """Side of its pictures."""
    kills: int = 20
    """How often the run is killed."""
    seed: int = 0
    """Chooses the film and the moments."""


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(KillResumeConfig, __doc__, args)
    if (config.output / "peaceful").exists():
        raise InputError(f"expected a new folder as --output, found runs in {config.output}; choose another one")
    film = make_film(config, config.seed)
    started = time.monotonic()
    subprocess.run(track_command(config, film, config.output / "peaceful", "never"), check=True)
    seconds = time.monotonic() - started
    rows = list(killed_rounds(config, film, kill_moments(seconds, np.random.default_rng((config.seed, 50)))))
    print(f"{seconds:.0f} seconds in peace")
    print(markdown_table(["round", "kills", "run folders with a result", "arrays that differ"], rows))
    sys.exit(any(row[-1] != NONE for row in rows))


def killed_rounds(config: KillResumeConfig, film: Path, moments: Iterator[float]) -> Iterator[list[str]]:
    """A row of the table for each run that was killed until it ended."""
    expected, total, count = read_final(config.output / "peaceful"), 0, 0
    while total < config.kills:
        count += 1
        output = config.output / f"killed_{count}"
        kills = run_with_kills(track_command(config, film, output, "auto"), moments, config.kills - total)
        total += kills
        runs = sum(bool(result_epochs(child)) for child in output.iterdir() if child.is_dir())
        differing = ", ".join(differences(expected, read_final(output)))
        yield [str(count), str(kills), str(runs), differing or NONE]


def track_command(config: KillResumeConfig, film: Path, output: Path, resume: str) -> list[str]:
    """The command that a user would give again, on MediaPipe's points that the film brings."""
    data = film_data(config, film, "noisy478")
    options = {
        "data.root_folder": data.root_folder,
        "data.sequence": data.sequence,
        "exp.output_folder": output,
        "exp.resume": resume,
        "model.head": config.head,
    }
    for stage, counts in stage_counts(config.steps).items():
        options.update({f"pipeline.{stage}.{name}": count for name, count in counts.items()})
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return [sys.executable, str(ROOT / "vhap" / "track.py"), *words]


def kill_moments(seconds: float, random: np.random.Generator) -> Iterator[float]:
    """Without end: seconds after a start, uniform over the time that a whole run takes."""
    while True:
        yield float(random.uniform(0, seconds))


def run_with_kills(command: Sequence[str], moments: Iterator[float], most: int) -> int:
    """Starts the command, kills it at the next moment and starts it again, until it has come to its end.

    After `most` kills it is left alone. Returns how many were made. Raises CalledProcessError where the command fails
    by itself.
    """
    for kills in range(most):
        moment = next(moments)
        with subprocess.Popen(command) as process:
            try:
                status = process.wait(timeout=moment)
            except subprocess.TimeoutExpired:
                process.kill()
                get_logger().info("killed after %.1f s", moment)
                continue
        if status:
            raise subprocess.CalledProcessError(status, command)
        return kills
    subprocess.run(command, check=True)
    return most


def read_final(output: Path) -> dict[str, np.ndarray]:
    """The arrays of the last epoch's result in the newest run folder."""
    return read_npz(result_path(newest_run(output)))


def differences(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> list[str]:
    """Names of the arrays that only one has, or that differ in type, shape or any bit."""
    return sorted(name for name in first.keys() | second.keys() if not _equal(first.get(name), second.get(name)))


def _equal(first: np.ndarray | None, second: np.ndarray | None) -> bool:
    if first is None or second is None:
        return False
    same_kind = first.dtype == second.dtype and first.shape == second.shape
    return same_kind and first.tobytes() == second.tobytes()


if __name__ == "__main__":
    main()
