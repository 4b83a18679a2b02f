"""Vertex errors on synthetic films, after every stage and beside the fit to landmarks alone.

noisy478 and noisy68 track the film with its own landmarks (0.7 px of noise), of MediaPipe's or of iBUG's points;
detector preprocesses the film's video like a user's and tracks that.

    python bench/accuracy.py --output OUT --head builtin --seeds 0 1 2 --frames 60 --size 512 --landmarks noisy478
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from common import (
    FACE_ERROR,
    MEASURES,
    FilmOptions,
    Landmarks,
    film_data,
    make_film,
    mean_measures,
    measure_cells,
    run_config,
    track,
)
from tables import markdown_table, number

from vhap.cli import parse
from vhap.util.errors import InputError, exits_cleanly

TARGET_PERCENT = 30
"""By how much the error has to lie below that of landmarks alone."""


@dataclass(frozen=True)
class AccuracyConfig(FilmOptions):
    seeds: tuple[int, ...] = (0, 1, 2)
    """One film each: another person, light, camera and motion."""
    landmarks: Landmarks = "noisy478"
    """Where the landmarks come from."""


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(AccuracyConfig, __doc__, args)
    if not config.seeds:
        raise InputError("expected one seed or more, found none; give --seeds")
    runs = [measure(config, seed) for seed in config.seeds]
    names = [str(seed) for seed in config.seeds]
    print(measures_table(names, [full for full, _ in runs]))
    print()
    print(stages_table(names, runs))
    print(f"Target: at least {TARGET_PERCENT} % below landmarks alone.")


def measure(config: AccuracyConfig, seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The run that users get, and the one on landmarks alone."""
    film = make_film(config, seed)
    data = film_data(config, film, config.landmarks)
    name = f"{film.name}_{config.landmarks}"
    full, alone = run_config(config, data, name), run_config(config, data, f"{name}_alone")
    return track(full, film), track(replace(alone, exp=replace(alone.exp, photometric=False)), film)


def measures_table(names: Sequence[str], runs: Sequence[dict[str, Any]]) -> str:
    """A row for each seed and their mean."""
    rows = [[name, *measure_cells(values)] for name, values in zip(names, runs)]
    return markdown_table(["seed", *MEASURES], [*rows, ["mean", *measure_cells(mean_measures(runs))]])


def stages_table(names: Sequence[str], runs: Sequence[tuple[dict[str, Any], dict[str, Any]]]) -> str:
    """Mean vertex error of the face in mm after each stage, that of landmarks alone, and the gain over it."""
    stages = list(runs[0][0]["stages"])
    rows = []
    for name, (full, alone) in zip(names, runs):
        gain = 100 * (1 - full[FACE_ERROR] / alone[FACE_ERROR])
        cells = [full["stages"][stage] for stage in stages] + [alone[FACE_ERROR], gain]
        rows.append([name, *map(number, cells)])
    return markdown_table(["face mean, mm, after", *stages, "landmarks alone", "below that, %"], rows)


if __name__ == "__main__":
    main()
