"""What a dry run says of each stage is what the stage then takes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tracked_heads import FilmedCapture, builtin_head, frame_batch, moving_params

from vhap.config.data import DataConfig
from vhap.config.track import ExperimentConfig, ModelConfig, PipelineConfig, TrackConfig
from vhap.fit import surface, texture
from vhap.fit.events import Callback
from vhap.fit.loop import Tracker
from vhap.fit.params import TrackParams
from vhap.fit.photometric import problem, solver
from vhap.fit.stages import JOINT_ROUNDS, REFINING_ROUNDS, Stage, build_stages
from vhap.pipeline import estimate
from vhap.pipeline.track import build_tracker

SIZE, FRAMES, TEXTURE = (96, 96), 12, 64
PICTURE, TEXTURED_PICTURE = 1.0, 0.25


@dataclass
class Clock(Callback):
    """Stands still but for the work on pictures; notes how long each stage has taken."""

    now: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)

    def on_stage_end(self, stage: Stage, params: TrackParams) -> None:
        self.seconds[stage.name] = self.now - sum(self.seconds.values())


@pytest.fixture
def clock(monkeypatch) -> Clock:
    """Every second-order round is content with its first try, which moves nothing, so that none ends a stage."""
    clock = Clock()
    contented = SimpleNamespace(solve=lambda damping: (), gain=lambda step: math.inf)
    monkeypatch.setattr(solver, "equations_of", lambda *_: contented)

    def moved(task, now, *_):
        return replace(solver.evaluate(task, now.params), cost=now.cost - 1)

    monkeypatch.setattr(solver, "_moved", moved)
    for name in ("SCHEDULE", "ROUGH"):
        monkeypatch.setattr(solver, name, replace(getattr(solver, name), converged=-math.inf))

    def priced(function, seconds_of):
        def run(*args, **options):
            clock.now += seconds_of(args)
            return function(*args, **options)

        return run

    monkeypatch.setattr(problem, "look_at", priced(problem.look_at, lambda args: PICTURE * len(args[1].pictures)))
    uv_footprint = priced(texture.uv_footprint, lambda args: TEXTURED_PICTURE * len(args[3].face_id))
    monkeypatch.setattr(texture, "uv_footprint", uv_footprint)

    def rounds(offsets, start, count, report=None):
        for _ in range(count):
            offsets.state(start)
        return start

    monkeypatch.setattr(surface, "solve_offsets", rounds)
    monkeypatch.setattr(estimate, "monotonic", lambda: clock.now)
    return clock


def few_steps() -> PipelineConfig:
    plan = PipelineConfig()
    return replace(plan, rgb_global_tracking=replace(plan.rgb_global_tracking, num_epochs=2))


def tracker_of(batch_size: int = 4, plan: PipelineConfig | None = None, first_row: int = 0) -> Tracker:
    config = TrackConfig(
        data=DataConfig(Path("root"), "clip", landmark_source="face-alignment"),
        exp=ExperimentConfig(Path("out")),
        model=ModelConfig(head="builtin", tex_resolution=TEXTURE, use_dynamic_offset=True),
        pipeline=few_steps() if plan is None else plan,
        batch_size=batch_size,
        begin_timestep=first_row,
        device="cpu",
    )
    capture = FilmedCapture(frame_batch(moving_params(FRAMES), SIZE))
    return build_tracker(config, capture, builtin_head(), torch.device("cpu"))


def photometric(stages: list[Stage]) -> list[Stage]:
    return [stage for stage in stages if stage.photometric]


@pytest.mark.parametrize(("first_row", "most_pictures"), [(0, 64), (4, 64), (2, 4)])
def test_stages_take_what_they_were_said_to_take(clock, monkeypatch, first_row, most_pictures):
    """With so few pictures at once there are several windows, the last one shorter than the others."""
    monkeypatch.setattr(problem, "MOST_PICTURES", most_pictures)
    plan = few_steps()
    plan = replace(plan, rgb_sequential_tracking=replace(plan.rgb_sequential_tracking, num_steps=3))
    tracker = tracker_of(plan=plan, first_row=first_row)
    stages = photometric(build_stages(tracker.config))
    said = {stage.name: estimate.stage_seconds(tracker, stage) for stage in stages}
    clock.now, tracker.callbacks = 0.0, (clock,)
    tracker.run(stages)
    frames = FRAMES - first_row
    assert clock.seconds["rgb_sequential_tracking"] >= 3 * frames * PICTURE
    assert clock.seconds["rgb_sequential_offset"] >= 3 * frames * PICTURE
    assert said == pytest.approx(clock.seconds, rel=0.1)


def test_rounds_are_counted_by_windows(monkeypatch):
    monkeypatch.setattr(problem, "MOST_PICTURES", 5)
    tracker = tracker_of()
    counts = {stage.name: estimate.rounds_of(tracker, stage) for stage in build_stages(tracker.config)}
    assert (counts["rgb_init_all"], counts["rgb_sequential_tracking"]) == (JOINT_ROUNDS, 3 * REFINING_ROUNDS)


def test_estimating_moves_nothing(clock):
    tracker = tracker_of()
    before = tracker.params.mapped(lambda _, value: value.clone())
    for stage in build_stages(tracker.config):
        assert estimate.stage_seconds(tracker, stage) >= 0
    for name in ("rotation", "expr", "shape", "residual_texture", "lights"):
        assert torch.equal(getattr(tracker.params, name), getattr(before, name)), name
    assert (tracker.step, tracker.progress.stage) == (0, 0)


def test_stages_that_are_switched_off_take_nothing(clock):
    plan = few_steps()
    tracker = tracker_of(plan=replace(plan, rgb_init_all=replace(plan.rgb_init_all, num_steps=0)))
    (stage,) = (stage for stage in build_stages(tracker.config) if stage.name == "rgb_init_all")
    assert estimate.stage_seconds(tracker, stage) == 0
    assert estimate.rounds_of(tracker, stage) == 0
