"""Whether a tracking run that is killed over and over ends with the same result, bit for bit.

A small film of the built-in head is tracked once in peace. Then the same command is started into another folder and
killed (SIGKILL) at a random moment, again and again, and at last left alone.

    python bench/kill_resume.py --output OUT --kills 20
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from common import ROOT, FilmOptions, film_data, make_film, markdown_table, stage_counts

from vhap.cli import parse
from vhap.data.results import newest_run, result_epochs, result_path
from vhap.util.errors import InputError, exits_cleanly
from vhap.util.files import read_json, read_npz
from vhap.util.log import get_logger


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
    peaceful, killed = config.output / "peaceful", config.output / "killed"
    if peaceful.exists() or killed.exists():
        raise InputError(f"expected a new folder as --output, found runs in {config.output}; choose another one")
    started = time.monotonic()
    subprocess.run(track_command(config, peaceful, "never"), check=True)
    seconds = time.monotonic() - started
    work = sum(read_json(newest_run(peaceful) / "seconds.json").values())
    moments = kill_moments(config.kills, seconds - work, work, np.random.default_rng((config.seed, 50)))
    kills = run_with_kills(track_command(config, killed, "auto"), moments)
    differing = differences(read_final(peaceful), read_final(killed))
    runs = sum(bool(result_epochs(child)) for child in killed.iterdir() if child.is_dir())
    row = [str(kills), str(runs), f"{seconds:.0f}", ", ".join(differing) or "none"]
    print(markdown_table(["kills", "run folders with a result", "seconds in peace", "arrays that differ"], [row]))
    sys.exit(1 if differing else 0)


def track_command(config: KillResumeConfig, output: Path, resume: str) -> list[str]:
    """The command that a user would give twice, on MediaPipe's points that the film brings."""
    data = film_data(config, make_film(config, config.seed), "noisy478")
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


def kill_moments(count: int, startup_s: float, work_s: float, random: np.random.Generator) -> list[float]:
    """Seconds after each start at which the run is killed.

    If nothing done were lost, the kills would fall at uniformly random moments of the whole work: every start gets
    the time of starting up and the gap to the next of these moments.
    """
    places = np.sort(random.uniform(0, work_s, count))
    return [startup_s + float(gap) for gap in np.diff(places, prepend=0.0)]


def run_with_kills(command: Sequence[str], moments: Sequence[float]) -> int:
    """Starts the command again after every kill and waits for its end. Returns how many kills were made.

    Raises CalledProcessError where the command fails by itself.
    """
    for kills, moment in enumerate(moments):
        with subprocess.Popen(command) as process:
            try:
                status = process.wait(timeout=moment)
            except subprocess.TimeoutExpired:
                process.kill()
                get_logger().info("kill %d of %d after %.1f s", kills + 1, len(moments), moment)
                continue
        if status:
            raise subprocess.CalledProcessError(status, command)
        return kills
    subprocess.run(command, check=True)
    return len(moments)


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
