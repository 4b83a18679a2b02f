"""Error against seconds on a film whose truth is known: this engine, its landmark stages alone, and the schedules of
public first-order trackers over this package's own renderer, one after the other in one process.

    python bench/time_to_accuracy.py --output OUT                        # some 15 minutes on 2 cores
    python bench/time_to_accuracy.py --output OUT --frames 60 --size 512 --seconds 36000

The Adam loop is bench/first_order_tracker.py: same capture, same landmarks, same threads. Time counts from the open
capture on and stands still while errors are measured. Frames that a schedule has not reached stand where its last
solved frame does. A schedule that reaches its time bound is cut there; what it would have reached later is not guessed.
Writes OUT/errors.csv and OUT/errors_face.svg, OUT/errors_head.svg, and prints the tables.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from common import FilmOptions, PreparedRun, film_data, make_film, prepared_run, run_config
from curve_plot import Line, plot_svg
from error_curve import Curve, Measure, Recorder, csv_of, truth_of
from first_order_tracker import FIFTY, THREE_HUNDRED_TEN, FirstOrderTracker, Schedule, energy_of
from run_all import write_text
from tables import markdown_table

from vhap.cli import parse
from vhap.config.ranges import Count, Pixels, Range, Seed
from vhap.fit.checkpoint import Checkpoint
from vhap.fit.events import Callback
from vhap.fit.params import TrackParams
from vhap.fit.stages import Stage
from vhap.head.model import pose
from vhap.util.errors import exits_cleanly
from vhap.util.threads import set_threads

ENGINE, LANDMARKS = "this engine", "this engine, landmarks alone"
TOLERANCE = 0.02
MEASURES: tuple[Measure, ...] = ("face_mm", "head_mm")
SCHEDULES = {"50": FIFTY, "310": THREE_HUNDRED_TEN}


@dataclass(frozen=True)
class TimeToAccuracyConfig(FilmOptions):
    frames: Count = 20
    """Length of the film."""
    size: Pixels = 256
    """Side of its pictures."""
    seed: Seed = 0
    """Person, light, camera and motion of the film."""
    landmarks: Literal["noisy68", "noisy478"] = "noisy68"
    """Points of iBUG or of MediaPipe, written with noise."""
    schedules: tuple[Literal["50", "310"], ...] = ("50", "310")
    """First-order schedules: 50 steps a batch of 16 frames and 30 passes, or 310 steps a frame."""
    seconds: Annotated[float, Range(0, 1e7, above=True)] | None = 420.0
    """Bound on each of them. None: to their ends."""
    threads: Count | None = None
    """Of torch and of the kernels. None: as torch has by itself."""


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(TimeToAccuracyConfig, __doc__, args)
    torch.set_num_threads(config.threads or torch.get_num_threads())
    set_threads(torch.get_num_threads())
    curves = measured_curves(config)
    write_text(config.output / "errors.csv", csv_of(curves))
    for measure in MEASURES:
        path = config.output / f"errors_{measure.removesuffix('_mm')}.svg"
        write_text(path, plot_of(curves, measure, film_name(config)))
    print(f"{film_name(config)}, {torch.get_num_threads()} threads\n")
    print(ends_table(curves))
    print()
    print(ratios_table(curves))


def film_name(config: TimeToAccuracyConfig) -> str:
    size = f"{config.frames} frames of {config.size} x {config.size}"
    return f"{size}, head {config.head}, {config.landmarks}, seed {config.seed}"


def measured_curves(config: TimeToAccuracyConfig) -> list[Curve]:
    film = make_film(config, config.seed)
    data = film_data(config, film, config.landmarks)
    full = run_config(config, data, f"{film.name}_{config.landmarks}")
    full = replace(full, device="cpu")
    alone = replace(full, exp=replace(full.exp, photometric=False))
    run = prepared_run(full)
    truth = truth_of(film, run.head)
    warm_up(run)
    curves = [engine_curve(ENGINE, run, Recorder(truth, Curve(ENGINE)))]
    curves.append(engine_curve(LANDMARKS, prepared_run(alone), Recorder(truth, Curve(LANDMARKS))))
    for name in config.schedules:
        schedule = cut_short(SCHEDULES[name], config.steps)
        recorder = Recorder(truth, Curve(schedule.name), config.seconds)
        curves.append(first_order_curve(schedule, prepared_run(full), recorder, config.seed))
    return curves


def cut_short(schedule: Schedule, steps: int | None) -> Schedule:
    """For trying the program out."""
    if steps is None:
        return schedule
    return replace(schedule, init_steps=steps, frame_steps=steps, epochs=min(steps, schedule.epochs))


def warm_up(run: PreparedRun) -> None:
    """Kernels are compiled and loaded before any time counts."""
    schedule = Schedule("warm up", batch=1, frame_steps=1, epochs=1, init_steps=1)
    energy = energy_of(run.head, run.capture.landmark_set, 0)
    FirstOrderTracker(energy, run.capture, schedule, lambda stage, vertices: stage != "rgb_sequential_tracking").run()


@dataclass
class EngineWatch(Callback):
    """Measures after every unit of work and after every stage."""

    run: PreparedRun
    recorder: Recorder
    stage: str = ""

    def on_stage_begin(self, stage: Stage) -> None:
        self.stage = stage.name

    def on_stage_end(self, stage: Stage, params: TrackParams) -> None:
        self.recorder.add(stage.name, lambda: pose(self.run.head, params.head()))

    def on_checkpoint(self, checkpoint: Checkpoint) -> None:
        self.recorder.after_step(self.stage, lambda: pose(self.run.head, checkpoint.params.head()))


def engine_curve(name: str, run: PreparedRun, recorder: Recorder) -> Curve:
    recorder.start()
    tracker = run.tracker()
    recorder.add("first_guess", lambda: pose(run.head, tracker.params.head()))
    tracker.callbacks = (EngineWatch(run, recorder),)
    tracker.run(run.stages)
    return recorder.curve


def first_order_curve(schedule: Schedule, run: PreparedRun, recorder: Recorder, seed: int) -> Curve:
    recorder.start()
    energy = energy_of(run.head, run.capture.landmark_set, seed)
    tracker = FirstOrderTracker(energy, run.capture, schedule, recorder.after_step)
    if tracker.run():
        recorder.add("end", tracker.vertices)
    return recorder.curve


def named(curve: Curve) -> str:
    return curve.name if curve.finished else f"{curve.name} (cut at {curve.end.seconds:.0f} s)"


def plot_of(curves: Sequence[Curve], measure: Measure, film: str) -> str:
    lines = [
        Line(named(curve), [(s.seconds, value) for s in curve.samples if (value := getattr(s, measure)) > 0])
        for curve in curves
    ]
    what = "face" if measure == "face_mm" else "head"
    return plot_svg(f"Error of the {what}: {film}", "seconds", f"mean vertex error of the {what}, mm", lines)


def ends_table(curves: Sequence[Curve]) -> str:
    rows = []
    for curve in curves:
        end = curve.end
        numbers = [f"{end.face_mm:.3f}", f"{end.head_mm:.3f}", f"{end.seconds:.1f}", f"{end.processor_seconds:.1f}"]
        rows.append([named(curve), *numbers])
    return markdown_table(["run", "face at its end, mm", "head, mm", "seconds", "processor seconds"], rows)


def ratios_table(curves: Sequence[Curve]) -> str:
    """Seconds until the last error of each schedule, and of the engine: the time from which on a run's error never is
    more than TOLERANCE above it. A start that happens to be good does not count, nor does the last digit."""
    engine, *others = curves
    rows = []
    for schedule in (curve for curve in others if curve.name != LANDMARKS):
        for measure, goal in itertools.product(MEASURES, (schedule, engine)):
            whose = "its own" if goal is schedule else "this engine's"
            name = f"{whose} {measure.removesuffix('_mm')}, {getattr(goal.end, measure):.3f} mm"
            rows.append([named(schedule), name, *_times(measure, getattr(goal.end, measure), schedule, engine)])
    header = ["schedule", "until the final accuracy", "schedule, s", "this engine, s", "ratio", "of processor seconds"]
    return markdown_table(header, rows)


def _times(measure: Measure, error: float, schedule: Curve, engine: Curve) -> list[str]:
    """Both runs' seconds until this error, their ratio, and that of their processor seconds."""
    slow, fast = (curve.from_then_within(measure, (1 + TOLERANCE) * error) for curve in (schedule, engine))
    cells = [
        f"not reached in {curve.end.seconds:.0f}" if sample is None else f"{sample.seconds:.1f}"
        for sample, curve in ((slow, schedule), (fast, engine))
    ]
    if slow is None or fast is None:
        return [*cells, "-", "-"]
    processor = slow.processor_seconds / fast.processor_seconds
    return [*cells, f"{slow.seconds / fast.seconds:.1f}", f"{processor:.1f}"]


if __name__ == "__main__":
    main()
