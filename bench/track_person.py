"""One person in several films, solved together by `vhap track-person`, beside each film tracked alone.

    python bench/track_person.py --output OUT --head ict
    python bench/track_person.py --output OUT --head ict --lights 3

Films of one person with different motion and known truth. `shape`: the neutral face's vertices against the true
person's, `face`: those of all frames, each after one similarity, means in mm. Lights: how many different ones; film n
is lit by the light n modulo that number. What is finished is kept.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any, Literal

from common import NOISE_PX
from tables import markdown_table, number

from vhap.cli import parse
from vhap.config.ranges import Count, Pixels, Seed
from vhap.util.errors import exits_cleanly
from vhap.util.files import read_json, write_json


@dataclass(frozen=True)
class PersonBenchConfig:
    output: Path
    """Where everything is written."""
    head: Literal["builtin", "ict", "gnm"] = "builtin"
    """Head model that is filmed and tracked."""
    films: Count = 3
    """How many there are of each person."""
    frames: Count = 24
    """Length of a film."""
    size: Pixels = 384
    """Side of its pictures."""
    seeds: tuple[Seed, ...] = (0,)
    """Persons."""
    lights: Count = 1
    """Different ones among a person's films."""
    union: bool = True
    """Export what was followed, and combine it."""


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(PersonBenchConfig, __doc__, args)
    for seed in config.seeds:
        print(f"\n### person {seed}, {config.films} films, {config.lights} lights\n")
        print(_table(config, seed))


def _table(config: PersonBenchConfig, seed: int) -> str:
    from vhap.api import track, track_person

    place = config.output / f"{config.head}_{config.frames}x{config.size}_seed{seed}_lights{config.lights}"
    films = [_film(config, seed, index, place / "films") for index in range(config.films)]
    options: dict[str, Any] = {"head": config.head, "report": False}
    alone = []
    for film in films:
        with _Seconds(place / f"alone_{film.name}.json") as timed:
            alone.append(timed.kept or track(film, output_folder=place / "alone" / film.name, **options))
            timed.kept = alone[-1]
    with _Seconds(place / "person.json") as timed:
        only = (
            timed.kept
            or track_person(
                place / "films",
                [film.name for film in films],
                output_folder=place / "together",
                person_only=True,
                **options,
            ).person
        )
        timed.kept = only
    person_seconds = timed.seconds
    started = time.monotonic()
    runs = track_person(place / "films", [film.name for film in films], output_folder=place / "together", **options)
    follow_seconds = time.monotonic() - started
    names = [film.name for film in films]
    header = ["", "shape, mm", "face, mm", "PSNR face, dB", "NME, %", "focal, %", "seconds"]
    rows, shapes = [], []
    for film, folder in zip(films, alone):
        shapes.append(_shape_error(folder, film))
        seconds = read_json(place / f"alone_{film.name}.json", dict)["seconds"]
        rows.append([f"{film.name} alone", number(shapes[-1]), *_measures(folder, film), number(seconds, 0)])
    rows.append(["mean alone", number(mean(shapes)), "", "", "", "", ""])
    rows.append(["the person", number(_shape_error(runs.person, films[0])), "", "", "", "", number(person_seconds, 0)])
    for film in films:
        shape = _shape_error(runs.runs[film.name], film)
        rows.append([f"{film.name} followed", number(shape), *_measures(runs.runs[film.name], film), ""])
    rows.append(["all followed", "", "", "", "", "", number(follow_seconds, 0)])
    said = [_equal_identities([runs.runs[name] for name in names])]
    if config.union:
        said.append(_union([runs.runs[name] for name in names], place / "export"))
    return "\n".join([markdown_table(header, rows), "", *said])


class _Seconds:
    """Seconds of a block of code, and the path that it makes, kept in a file."""

    def __init__(self, path: Path) -> None:
        self.path, self.seconds, self.kept = path, 0.0, None
        self.started = time.monotonic()

    def __enter__(self) -> _Seconds:
        if self.path.is_file():
            content = read_json(self.path, dict)
            self.kept, self.seconds = Path(content["path"]), content["seconds"]
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is None and not self.path.is_file():
            self.seconds = time.monotonic() - self.started
            write_json(self.path, {"path": str(self.kept), "seconds": self.seconds})


def _film(config: PersonBenchConfig, seed: int, index: int, place: Path) -> Path:
    from vhap.api import make_synthetic_capture

    return make_synthetic_capture(
        place / f"p{seed}_film{index}",
        head=config.head,
        frames=config.frames,
        size=config.size,
        seed=seed,
        motion_seed=100 + index,
        light_seed=200 + index % config.lights,
        landmark_noise_px=NOISE_PX,
    )


def _shape_error(run: Path, film: Path) -> float:
    """Mean distance in mm of the neutral face's vertices, offsets included, after one similarity."""
    import torch

    from vhap.api import load_head
    from vhap.config.loading import read_yaml
    from vhap.data.results import load_result, result_path
    from vhap.evaluate.metrics import SimilaritySums
    from vhap.head.model import pose, zero_params

    model = read_yaml(run / "config.yml")["model"]
    tracked, truth = load_result(result_path(run)), load_result(result_path(film / "ground_truth"))
    points = []
    for result in (tracked, truth):
        count = result.shape.shape[-1]
        head = load_head(model["head"], n_shape=count, n_expr=result.expr.shape[1])
        offset = None if result.static_offset is None else torch.from_numpy(result.static_offset[0])
        shape = torch.from_numpy(result.shape).reshape(-1)
        points.append(pose(head, replace(zero_params(head), shape=shape, static_offset=offset))[head.regions["face"]])
    moved = SimilaritySums.of(*points).solve().apply(points[0])
    return float((moved - points[1]).norm(dim=-1).mean() * 1000)


def _measures(run: Path, film: Path) -> list[str]:
    from vhap.api import evaluate

    values = evaluate(run, truth=film)
    return [
        number(_face_error(run, film)),
        number(values["psnr_face_db"], 1),
        number(values["landmark_nme_percent"]),
        number(_focal_error(run, film), 1),
    ]


def _face_error(run: Path, film: Path) -> float:
    """Mean distance in mm of the face's vertices in all frames, after one similarity: a focal length that is given is
    not the true one, and the head then stands nearer or farther."""
    from vhap.config.evaluate import EvaluateConfig
    from vhap.pipeline.evaluate_tracking import align_with_truth, open_truth
    from vhap.pipeline.open_run import open_run

    scene = open_run(run, with_landmarks=False)
    truth = open_truth(EvaluateConfig(run, film), scene)
    assert truth is not None
    similarity, face = align_with_truth(scene, truth), scene.model.regions["face"]
    errors = []
    for row, name in enumerate(scene.result.timestep_id):
        exact = truth.frame(str(name), scene.model.template.device)
        assert exact is not None
        errors.append(float((similarity.apply(scene.vertices(row)) - exact)[face].norm(dim=-1).mean() * 1000))
    return mean(errors)


def _focal_error(run: Path, film: Path) -> float:
    """In per cent."""
    from vhap.api import open_run
    from vhap.data.results import load_result, result_path

    focal = load_result(result_path(film / "ground_truth")).focal_length
    camera = open_run(run).camera()
    assert focal is not None
    return 100 * (float(camera.fx) / max(camera.height, camera.width) / float(focal.reshape(-1)[0]) - 1)


def _equal_identities(runs: Sequence[Path]) -> str:
    import numpy as np

    from vhap.data.results import load_result, result_path

    results = [load_result(result_path(run)) for run in runs]
    equal = all(np.array_equal(results[0].shape, other.shape) for other in results[1:])
    offsets = [result.static_offset for result in results]
    alike = all(
        offset is not None and offsets[0] is not None and np.array_equal(offsets[0], offset) for offset in offsets
    )
    return f"equal shapes of all runs: {equal}; equal offsets: {alike}"


def _union(runs: Sequence[Path], place: Path) -> str:
    from vhap.api import combine, export

    shutil.rmtree(place, ignore_errors=True)
    exports = [export(run, place / run.parent.name) for run in runs]
    union = combine(exports, place / "union")
    frames = len(read_json(union / "transforms_train.json", dict)["frames"])
    return f"union of {len(exports)} exports: {frames} pictures to train on"


if __name__ == "__main__":
    main()
