"""What the benchmarks share: films whose truth is known, tracking with the error after every stage, tables."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import torch
from tables import number

from vhap.config.data import DataConfig
from vhap.config.evaluate import EvaluateConfig
from vhap.config.loading import load_config, save_config
from vhap.config.synthetic import SyntheticConfig
from vhap.config.track import ExperimentConfig, ModelConfig, PipelineConfig, TrackConfig
from vhap.data.results import TrackResult, save_result
from vhap.data.sample import Capture
from vhap.evaluate.run_scene import RunScene
from vhap.fit.callbacks import StageProgress
from vhap.fit.events import Callback
from vhap.fit.loop import Tracker
from vhap.fit.params import TrackParams, to_result
from vhap.fit.stages import Stage, build_stages
from vhap.head.model import HeadModel
from vhap.pipeline import evaluate_tracking
from vhap.pipeline.heads import resolved
from vhap.pipeline.make_synthetic_capture import run as make_capture
from vhap.pipeline.open_run import scene_of
from vhap.pipeline.track import build_tracker, choose_device, open_capture, open_textured_head
from vhap.util.files import read_json, write_json

ROOT = Path(__file__).resolve().parents[1]
RESULT = "tracked_flame_params_0.npz"
NOISE_PX = 0.7
"""Standard deviation of the noise on landmarks that are written, not detected."""
FACE_ERROR = "face_vertex_error_mm_mean"
MEASURES = {
    "face mean, mm": (FACE_ERROR,),
    "face p95, mm": ("face_vertex_error_mm_p95",),
    "head mean, mm": ("head_vertex_error_mm_mean",),
    "focal error, %": ("focal_error_percent",),
    "psnr_head_db": ("psnr_head_db",),
    "psnr_face_db": ("psnr_face_db",),
    "NME, %": ("landmark_nme_percent",),
    "jitter / true, mm": ("jitter_mm", "jitter_mm_truth"),
    "seconds": ("seconds",),
}
"""Column of a table -> the measures in its cells."""
Landmarks = Literal["noisy478", "noisy68", "detector"]


@dataclass(frozen=True)
class FilmOptions:
    """Options of all benchmarks on synthetic films."""

    output: Path
    """Where everything is written; finished runs are kept and not done again."""
    head: Literal["builtin", "ict", "gnm", "flame"] = "builtin"
    """Head model that is filmed and tracked."""
    frames: int = 60
    """Length of a film."""
    size: int = 512
    """Side of its pictures."""
    steps: int | None = None
    """Steps (or epochs) of every stage. None: as users run it; 1 is for trying the program out."""


def film_config(options: FilmOptions, seed: int) -> SyntheticConfig:
    name = f"{options.head}_{options.frames}x{options.size}_seed{seed}"
    return SyntheticConfig(
        options.output / "films" / name,
        head=options.head,
        frames=options.frames,
        size=options.size,
        seed=seed,
        landmark_noise_px=NOISE_PX,
    )


def make_film(options: FilmOptions, seed: int) -> Path:
    """The capture of a seed, with noisy landmarks of both kinds; left alone where it is there."""
    return make_capture(film_config(options, seed))


def film_data(options: FilmOptions, film: Path, landmarks: Landmarks) -> DataConfig:
    """The film's own folder with the landmarks in it, or its video preprocessed elsewhere, as a user's would be."""
    if landmarks != "detector":
        source = "mediapipe" if landmarks == "noisy478" else "face-alignment"
        return DataConfig(film.parent, film.name, landmark_source=source)
    place = options.output / "detected" / f"{film.name}.mp4"
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.exists():
        shutil.copyfile(film.with_name(place.name), place)
    timed("preprocess_video.py", "--input", str(place))
    return DataConfig(place.parent, film.name)


def timed(script: str, *options: str) -> float:
    """Runs one of the package's scripts and returns its seconds; stops where it fails."""
    started = time.monotonic()
    subprocess.run([sys.executable, str(ROOT / "vhap" / script), *options], check=True)
    return time.monotonic() - started


def stage_counts(steps: int | None) -> dict[str, dict[str, int]]:
    """Stage -> its option num_steps or num_epochs; empty where users' defaults are wanted."""
    if steps is None:
        return {}
    plan = PipelineConfig()
    names = [stage.name for stage in fields(plan)]
    return {name: {"num_steps" if hasattr(getattr(plan, name), "num_steps") else "num_epochs": steps} for name in names}


def run_config(options: FilmOptions, data: DataConfig, name: str) -> TrackConfig:
    """A run into OUTPUT/runs/NAME with the defaults that users have."""
    plan = PipelineConfig()
    changed = {stage: replace(getattr(plan, stage), **count) for stage, count in stage_counts(options.steps).items()}
    return TrackConfig(
        data=data,
        exp=ExperimentConfig(options.output / "runs" / name),
        model=resolved(ModelConfig(head=options.head)),
        pipeline=replace(plan, **changed),
    )


def track(config: TrackConfig, film: Path, prepare: Callable[[Tracker], None] | None = None) -> dict[str, Any]:
    """Tracks in this process and measures against the film's truth, unless that was done with the same options.

    prepare: changes the tracker after the first guess. Returns the clip's measures by name, its `seconds` and
    `processor_seconds` (first guess and stages), and under `stages` the mean vertex error of the face in mm after each
    of them.
    """
    folder = config.exp.output_folder
    evaluation = folder / "evaluation.json"
    if not evaluation.is_file() or load_config(folder / "config.yml", TrackConfig) != config:
        evaluation.unlink(missing_ok=True)
        save_config(folder / "config.yml", config)
        write_json(folder / "benchmark.json", _track_anew(config, film, prepare))
        evaluate_tracking.run(EvaluateConfig(folder, film))
    return {**evaluate_tracking.clip_values(read_json(evaluation)), **read_json(folder / "benchmark.json")}


@dataclass(frozen=True)
class PreparedRun:
    """What is open before a run's time begins to count."""

    config: TrackConfig
    capture: Capture
    head: HeadModel
    stages: list[Stage]

    def tracker(self) -> Tracker:
        """Makes the first guess, which is part of a run's time."""
        return build_tracker(self.config, self.capture, self.head, self.head.template.device)


def prepared_run(config: TrackConfig) -> PreparedRun:
    capture = open_capture(config)
    head = open_textured_head(config, capture.landmark_set, choose_device(config.device))
    return PreparedRun(config, capture, head, build_stages(config))


def _track_anew(config: TrackConfig, film: Path, prepare: Callable[[Tracker], None] | None) -> dict[str, Any]:
    """Writes the result and returns seconds and stages."""
    run = prepared_run(config)
    head, capture = run.head, run.capture
    started, used = time.monotonic(), time.process_time()
    tracker = run.tracker()
    if prepare is not None:
        prepare(tracker)
    measured = StageErrors(film, config, head, capture)
    measured.add("first_guess", tracker.params)
    tracker.callbacks = (StageProgress(), measured)
    tracker.run(run.stages)
    seconds = time.monotonic() - started - measured.seconds
    used = time.process_time() - used - measured.processor_seconds
    result = result_of(config, head, capture, tracker.params)
    if any(stage.photometric for stage in run.stages):
        albedo = tracker.scene.albedo(tracker.params.residual_texture)
        result = result_of(config, head, capture, tracker.params, albedo)
    save_result(config.exp.output_folder / RESULT, result)
    return {"seconds": seconds, "processor_seconds": used, "stages": measured.errors}


def result_of(
    config: TrackConfig,
    head: HeadModel,
    capture: Capture,
    params: TrackParams,
    albedo: torch.Tensor | None = None,
) -> TrackResult:
    return to_result(
        params,
        head_identity=head.identity,
        timestep_ids=capture.timestep_ids,
        timestep_indices=capture.timestep_indices,
        image_size=capture.size,
        albedo=albedo,
        calibrated=capture.given_camera() is not None,
        sh_lights=config.render.lighting_type == "SH",
    )


@dataclass
class StageErrors(Callback):
    """errors: stage -> mean vertex error of the face in mm, None where it is not finite.

    seconds, processor_seconds: what measuring took, which is no part of tracking.
    """

    film: Path
    config: TrackConfig
    head: HeadModel
    capture: Capture
    errors: dict[str, float | None] = field(default_factory=dict)
    seconds: float = 0.0
    processor_seconds: float = 0.0

    def add(self, name: str, params: TrackParams) -> None:
        started, used = time.monotonic(), time.process_time()
        result = result_of(self.config, self.head, self.capture, params)
        path = self.config.exp.output_folder / RESULT
        error = face_error_mm(scene_of(path, 0, self.config, self.head, self.capture, result), self.film)
        self.errors[name] = error if math.isfinite(error) else None
        self.seconds += time.monotonic() - started
        self.processor_seconds += time.process_time() - used

    def on_stage_end(self, stage: Stage, params: TrackParams) -> None:
        self.add(stage.name, params)


@torch.no_grad()
def face_error_mm(scene: RunScene, film: Path, left_out: Sequence[str] = ()) -> float:
    """Mean vertex error of the face, aligned as in an evaluation, over all frames but those of some names."""
    truth = evaluate_tracking.open_truth(EvaluateConfig(scene.folder, film), scene)
    assert truth is not None, film
    kept = {name: row for name, row in truth.row_of.items() if name not in left_out}
    return float(evaluate_tracking.compare_with_truth(scene, replace(truth, row_of=kept))[FACE_ERROR])


def mean_measures(runs: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Mean of every measure of MEASURES over the runs that have it; NaN where none has."""
    means = {}
    for name in (name for names in MEASURES.values() for name in names):
        known = [run[name] for run in runs if run.get(name) is not None]
        means[name] = sum(known) / len(known) if known else math.nan
    return means


def measure_cells(values: dict[str, Any]) -> list[str]:
    """The cells of the columns MEASURES."""
    return [" / ".join(number(values.get(name)) for name in names) for names in MEASURES.values()]
