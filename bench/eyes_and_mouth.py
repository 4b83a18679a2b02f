"""Lids, gaze, lips and teeth on synthetic films of a person who blinks, looks around and talks.

Each film is tracked as in bench/accuracy.py, once for each source of landmarks, and its eyes and mouth are compared
with the truth: gaps in eye widths, gaze in degrees, teeth in mm before lips and cheeks.

    python bench/eyes_and_mouth.py --output OUT --head ict --seeds 0 1 2 --landmarks noisy478 detector
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from common import FilmOptions, Landmarks, film_data, make_film, run_config, track
from tables import markdown_table, number

from vhap.cli import parse
from vhap.util.errors import InputError, exits_cleanly

COLUMNS = {
    "lid gap error": ("lid_gap_error", 3),
    "gap of closed lids": ("closed_lid_gap", 3),
    "mouth gap error": ("mouth_gap_error", 3),
    "gaze error, degrees": ("gaze_error_deg_mean", 2),
    "teeth outside, mm": ("teeth_outside_mm", 2),
    "in truth, mm": ("teeth_outside_mm_truth", 2),
}
"""Column of the table -> measure and its decimals."""


@dataclass(frozen=True)
class EyesAndMouthConfig(FilmOptions):
    seeds: tuple[int, ...] = (0, 1, 2)
    """One film each: another person, light, camera and motion."""
    landmarks: tuple[Landmarks, ...] = ("noisy478", "detector")
    """Where the landmarks come from; every film is tracked with each of them."""


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(EyesAndMouthConfig, __doc__, args)
    if not config.seeds or not config.landmarks:
        raise InputError("expected one seed and one source of landmarks or more, found none; give --seeds, --landmarks")
    rows = []
    for landmarks in config.landmarks:
        runs = [measure(config, seed, landmarks) for seed in config.seeds]
        rows += table_rows(config.head, landmarks, config.seeds, runs)
    print(markdown_table(["head", "landmarks", "seed", *COLUMNS], rows))


def measure(config: EyesAndMouthConfig, seed: int, landmarks: Landmarks) -> dict[str, Any]:
    """The run that users get; one that bench/accuracy.py made into the same folder is taken as it is."""
    film = make_film(config, seed)
    return track(run_config(config, film_data(config, film, landmarks), f"{film.name}_{landmarks}"), film)


def table_rows(head: str, landmarks: str, seeds: Sequence[int], runs: Sequence[dict[str, Any]]) -> list[list[str]]:
    """A row for each seed and their mean over the runs that have a measure; a dash where none has."""
    rows = [[head, landmarks, str(seed), *cells(run)] for seed, run in zip(seeds, runs)]
    means: dict[str, float | None] = {}
    for name, _ in COLUMNS.values():
        known = [run[name] for run in runs if run.get(name) is not None]
        means[name] = sum(known) / len(known) if known else None
    return [*rows, [head, landmarks, "mean", *cells(means)]]


def cells(values: dict[str, Any]) -> list[str]:
    return [number(values.get(name), decimals) for name, decimals in COLUMNS.values()]


if __name__ == "__main__":
    main()
