"""Heads followed live against the same film's finished run, where the truth is known.

    python bench/live_accuracy.py --run RUN --truth TRUTH --output OUT
    python bench/live_accuracy.py --run RUN --truth TRUTH --output OUT --pace 25 --lag 3

RUN: of `vhap track` on a film with truth. The film is played forwards and backwards, so that a new person has time to
be estimated. Three live runs: with RUN's person, with a new one, and with that one again. Errors are those of the last
pass, after one similarity, as `vhap evaluate-tracking` counts them. Without --pace every frame is taken; with it the
times count too, on an otherwise idle machine.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tables import markdown_table

from vhap.cli import parse
from vhap.config.live import Lag
from vhap.config.ranges import Count, FramesASecond
from vhap.util.errors import exits_cleanly

if TYPE_CHECKING:
    from vhap.evaluate.run_scene import RunScene
    from vhap.pipeline.live_sources import LiveFrame

FPS = 25


@dataclass(frozen=True)
class LiveAccuracyConfig:
    run: Path
    """A finished run of a film with known truth."""
    truth: Path
    """The film's ground_truth folder, or the folder it lies in."""
    output: Path
    """Where live runs are written."""
    passes: Count = 6
    """How often the film is played, forwards and backwards in turn."""
    lag: Lag = 1
    """As of `vhap live`."""
    pictures: bool = True
    """As of `vhap live`."""
    pace: FramesASecond | None = None
    """Frames a second of the film as a camera; without it every frame is taken."""


class PlayedFilm:
    """A run's pictures as a source."""

    name = "the film"

    def __init__(self, scene: RunScene, passes: int, pace: float | None) -> None:
        pictures = [scene.load(row).rgb[0] for row in range(scene.n_rows)]
        self.pictures = [(picture * 255).round().byte().numpy() for picture in pictures]
        self.rows = [row for index in range(passes) for row in range(len(pictures))[:: -1 if index % 2 else 1]]
        self.fps, self.is_live = Fraction(pace or FPS).limit_denominator(1001), pace is not None
        height, width = scene.capture.size
        self.size = height, width

    def frames(self, stopped: threading.Event) -> Iterator[LiveFrame]:
        from vhap.pipeline.live_sources import LiveFrame

        started = time.perf_counter()
        for number, row in enumerate(self.rows):
            due = started + number / float(self.fps)
            if stopped.wait(max(0.0, due - time.perf_counter()) if self.is_live else 0.0):
                return
            yield LiveFrame(number, number / float(self.fps), time.perf_counter(), self.pictures[row].copy())


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(LiveAccuracyConfig, __doc__, args)
    from vhap.pipeline.open_run import open_run

    scene = open_run(config.run, with_landmarks=False)
    rows = [["offline", *_cells(_errors(scene, config.truth, _offline(scene)), None), "", ""]]
    offline = _errors(scene, config.truth, _offline(scene))["face"]
    known, new = scene.folder, None
    for name, person in (("known person", known), ("new person", new), ("the new one again", config.output / "new")):
        film = PlayedFilm(scene, config.passes, config.pace)
        lines, times = _live(config, film, scene, name.split()[0], person)
        posed = _last_pass(scene, film, lines, person)
        cells = _cells(_errors(scene, config.truth, posed), offline)
        dropped = f"{100 * times['dropped'] / times['captured']:.1f}"
        rows.append([name, *cells, f"{times['latency_ms']['median']:.0f} / {times['latency_ms']['p99']:.0f}", dropped])
    columns = [
        "",
        "frames",
        "face mean, mm",
        "times offline's",
        "jitter, mm",
        "latency, ms (median / 99 %)",
        "dropped, %",
    ]
    print(markdown_table(columns, rows))


def _live(
    config: LiveAccuracyConfig, film: PlayedFilm, scene: RunScene, name: str, person: Path | None
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The lines of a live run, and what it says of its times."""
    from vhap.config.live import LiveConfig
    from vhap.pipeline.live import run

    folder, model = config.output / name, scene.config.model
    live = LiveConfig(
        person=person,
        head=model.head,
        flame_model_path=model.flame_model_path,
        gnm_path=model.gnm_path,
        ict_facekit_path=model.ict_facekit_path,
        head_path=model.head_path,
        lag=config.lag,
        pictures=config.pictures,
        jsonl=folder / "frames.jsonl",
        output_folder=folder,
    )
    made = run(live, source=film)
    lines = [json.loads(line) for line in (folder / "frames.jsonl").read_text(encoding="utf-8").splitlines()]
    return lines, json.loads((made / "live.json").read_text(encoding="utf-8"))


def _offline(scene: RunScene) -> dict[int, Any]:
    """Row -> vertices (V, 3) of the finished run."""
    return {row: scene.vertices(row) for row in range(scene.n_rows)}


def _last_pass(scene: RunScene, film: PlayedFilm, lines: list[dict[str, Any]], person: Path | None) -> dict[int, Any]:
    """Row -> vertices (V, 3) of the frames that were given out in the last pass, by the estimate of the person that
    most of them have: another one stands at another distance."""
    import torch

    from vhap.head.model import HeadParams, pose
    from vhap.pipeline.live_person import known_person

    offset = None if person is None else known_person(person)[0].offset
    shape, posed, first = None, {}, len(film.rows) - scene.n_rows
    versions = [line["person"] for line in lines if line["found"] and line["frame"] >= first]
    version = max(set(versions), key=versions.count)
    for line in lines:
        shape = torch.tensor(line["shape"]) if "shape" in line else shape
        if line["frame"] < first or line.get("person") != version:
            continue
        names = ("rotation", "translation", "neck_pose", "jaw_pose", "eyes_pose", "expr")
        own = {name: torch.tensor(line[name]) for name in names}
        assert shape is not None
        params = HeadParams(shape=shape, static_offset=offset, **own)
        posed[film.rows[line["frame"]]] = pose(scene.model, params)
    return posed


def _errors(scene: RunScene, truth: Path, posed: dict[int, Any]) -> dict[str, float]:
    """face: mean error in mm after one similarity; jitter: median second difference in mm; frames."""
    import numpy as np
    import torch

    from vhap.evaluate.metrics import SimilaritySums, jitter_mm, vertex_distance_mm

    folder = truth / "ground_truth" if (truth / "ground_truth").is_dir() else truth
    exact = np.load(folder / "vertices.npy")
    rows = sorted(posed)
    pairs = [(posed[row].float(), torch.from_numpy(exact[row]).float()) for row in rows]
    sums = SimilaritySums.of(*pairs[0])
    for pair in pairs[1:]:
        sums = sums.add(*pair)
    similarity, face = sums.solve(), scene.model.regions["face"]
    distances = [vertex_distance_mm(similarity.apply(one), other)[face].mean() for one, other in pairs]
    jitter = jitter_mm(torch.stack([one for one, _ in pairs])) if len(pairs) > 2 else float("nan")
    return {"face": float(torch.stack(distances).mean()), "jitter": float(jitter), "frames": len(rows)}


def _cells(errors: dict[str, float], offline: float | None) -> list[str]:
    ratio = "" if offline is None else f"{errors['face'] / offline:.2f}"
    return [f"{errors['frames']:.0f}", f"{errors['face']:.2f}", ratio, f"{errors['jitter']:.2f}"]


if __name__ == "__main__":
    main()
