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
from vhap.config.track import EpochStageConfig, ExperimentConfig, ModelConfig, PipelineConfig, TrackConfig
from vhap.fit import energy
from vhap.fit.events import Callback
from vhap.fit.loop import Tracker
from vhap.fit.params import TrackParams
from vhap.fit.photometric import problem, solver
from vhap.fit.stages import JOINT_ROUNDS, REFINING_ROUNDS, Stage, build_stages
from vhap.pipeline import estimate
from vhap.pipeline.track import build_tracker

SIZE, FRAMES, TEXTURE = (96, 96), 12, 64
SECOND_ORDER_PICTURE, FIRST_ORDER_PICTURE = 1.0, 0.25


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
    monkeypatch.setattr(solver, "_moved", lambda task, now, *_: solver.evaluate(task, now.params))
    monkeypatch.setattr(problem.State, "better_than", lambda one, other: True)
    monkeypatch.setattr(solver, "CONVERGED_GAIN", -math.inf)

    def priced(function, seconds_of):
        def run(*args, **options):
            clock.now += seconds_of(args)
            return function(*args, **options)

        return run

    view, render = problem.view_of, energy.render_head
    monkeypatch.setattr(problem, "view_of", priced(view, lambda args: SECOND_ORDER_PICTURE))
    monkeypatch.setattr(energy, "render_head", priced(render, lambda args: FIRST_ORDER_PICTURE * len(args[1])))
    monkeypatch.setattr(estimate, "monotonic", lambda: clock.now)
    return clock


def few_steps() -> PipelineConfig:
    """First-order stages with explicit counts, so that no plateau ends them."""
    plan = PipelineConfig()
    offset = replace(plan.rgb_init_offset, num_steps=5)
    everything: EpochStageConfig = replace(plan.rgb_global_tracking, num_epochs=2)
    return replace(plan, rgb_init_offset=offset, rgb_global_tracking=everything)


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
    assert clock.seconds["rgb_sequential_tracking"] >= 3 * frames * SECOND_ORDER_PICTURE
    assert clock.seconds["rgb_sequential_offset"] == 3 * frames * FIRST_ORDER_PICTURE
    assert said == pytest.approx(clock.seconds, rel=0.01)


def test_rounds_are_counted_by_windows(monkeypatch):
    monkeypatch.setattr(problem, "MOST_PICTURES", 5)
    tracker = tracker_of()
    counts = {stage.name: estimate.steps_of(tracker, stage) for stage in build_stages(tracker.config)}
    assert (counts["rgb_init_all"], counts["rgb_sequential_tracking"]) == (JOINT_ROUNDS, 3 * REFINING_ROUNDS)


def test_estimating_moves_nothing(clock):
    tracker = tracker_of()
    before, random = tracker.params.mapped(lambda _, value: value.clone()), tracker.random.get_state()
    for stage in build_stages(tracker.config):
        assert estimate.stage_seconds(tracker, stage) >= 0
    for name in ("rotation", "expr", "shape", "residual_texture", "lights"):
        assert torch.equal(getattr(tracker.params, name), getattr(before, name)), name
    assert torch.equal(tracker.random.get_state(), random)
    assert (tracker.step, tracker.progress.stage) == (0, 0)


def test_stages_that_are_switched_off_take_nothing(clock):
    plan = few_steps()
    off = replace(plan, rgb_init_all=replace(plan.rgb_init_all, num_steps=0))
    off = replace(off, rgb_global_tracking=replace(plan.rgb_global_tracking, num_epochs=0))
    tracker = tracker_of(plan=off)
    stages = {stage.name: stage for stage in build_stages(tracker.config)}
    for name in ("rgb_init_all", "rgb_global_tracking"):
        assert estimate.stage_seconds(tracker, stages[name]) == 0
        assert estimate.steps_of(tracker, stages[name]) == 0
