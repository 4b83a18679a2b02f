"""Films with one thing made hard, beside the clean film of the same person: the built-in head, its truth known.

Where the detector is the point the film's video is preprocessed like a user's; elsewhere the film's own landmarks are
used, with 0.7 px of noise. Errors and ratios are over the frames in which there is a face and detection did not fail.

    python bench/robustness.py --output OUT --frames 60 --size 512 --seed 0
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from common import FilmOptions, Landmarks, face_error_mm, film_config, film_data, run_config, track
from hard_films import CASES, Case, film_case
from tables import markdown_table, number

from vhap.cli import parse
from vhap.pipeline.open_run import open_run
from vhap.util.errors import InputError, exits_cleanly
from vhap.util.log import get_logger

TARGET_RATIO = 1.2


@dataclass(frozen=True)
class RobustnessConfig(FilmOptions):
    seed: int = 0
    """Person, light, camera and motion of all films."""
    cases: tuple[str, ...] = ()
    """Cases to film, by the names of their folders; all where empty."""


@dataclass(frozen=True)
class Outcome:
    """run: its folder, with a result where failure is empty; left_out: timesteps that do not count."""

    film: Path
    run: Path
    left_out: tuple[str, ...]
    failure: str = ""


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(RobustnessConfig, __doc__, args)
    known = {case.slug: case for case in CASES}
    if wrong := sorted(set(config.cases) - known.keys()):
        raise InputError(f"expected --cases out of {', '.join(known)}, found {', '.join(wrong)}; correct it")
    wanted = [known[slug] for slug in config.cases or known]
    clean: dict[Landmarks, Outcome] = {}
    rows = []
    for case in wanted:
        if case.landmarks not in clean:
            clean[case.landmarks] = measure(config, Case("clean", case.landmarks))
        rows.append(row_of(case, measure(config, case), clean[case.landmarks]))
    header = ["case", "landmarks", "completed", "face mean, mm", "clean, mm", "ratio", f"within {TARGET_RATIO}"]
    print(markdown_table(header, rows))


def measure(config: RobustnessConfig, case: Case) -> Outcome:
    """Films and tracks one case. Whatever stops tracking is the outcome, not the end of the program."""
    settings = film_config(config, config.seed)
    output = settings.output.with_name(f"{case.slug}_{settings.output.name}")
    film, left_out = film_case(replace(settings, output=output), case)
    run = config.output / "runs" / f"{film.name}_{case.landmarks}"
    try:
        track(run_config(config, film_data(config, film, case.landmarks), run.name), film)
    except Exception as error:
        get_logger().exception("%s did not complete", case.name)
        return Outcome(film, run, left_out, type(error).__name__)
    return Outcome(film, run, left_out)


def row_of(case: Case, hard: Outcome, clean: Outcome) -> list[str]:
    """The case's row; the clean film is measured on the same frames."""
    if hard.failure or clean.failure:
        return [case.name, case.landmarks, f"no: {hard.failure or 'clean ' + clean.failure}", "-", "-", "-", "no"]
    error, reference = (face_error_mm(open_run(outcome.run), outcome.film, hard.left_out) for outcome in (hard, clean))
    verdict = "yes" if error <= TARGET_RATIO * reference else "no"
    return [case.name, case.landmarks, "yes", *map(number, (error, reference, error / reference)), verdict]


if __name__ == "__main__":
    main()
