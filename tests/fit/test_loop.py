from dataclasses import dataclass, field, fields, replace
from itertools import groupby
from pathlib import Path

import pytest
import torch
from tracked_heads import FilmedCapture, builtin_head, frame_batch, landmarks_px, moving_params

from vhap.config.data import DataConfig
from vhap.config.track import (
    ExperimentConfig,
    ModelConfig,
    PipelineConfig,
    TrackConfig,
)
from vhap.fit import loop
from vhap.fit.checkpoint import Progress
from vhap.fit.events import Callback, StepEvent
from vhap.fit.loop import Tracker
from vhap.fit.params import PER_FRAME, TrackParams
from vhap.fit.photometric import problem
from vhap.fit.stages import Stage, build_stages, lines_of_unmoved
from vhap.geometry.cameras import camera_from_focal
from vhap.pipeline.track import build_tracker, report_detections
from vhap.util.log import get_logger

SIZE, FRAMES, BATCH = (96, 96), 6, 4
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


def options(steps: int = 2, epochs: int = 1, photometric: bool = True, **changes) -> TrackConfig:
    plan = PipelineConfig()
    counts = {f.name: {"num_epochs": epochs} if "global" in f.name else {"num_steps": steps} for f in fields(plan)}
    return TrackConfig(
        **{
            "data": DataConfig(Path("root"), "clip", landmark_source="face-alignment"),
            "exp": ExperimentConfig(Path("out"), photometric=photometric),
            "model": ModelConfig(head="builtin", tex_resolution=64),
            "pipeline": replace(plan, **{name: replace(getattr(plan, name), **c) for name, c in counts.items()}),
            "batch_size": BATCH,
            "device": "cpu",
            **changes,
        }
    )


def filmed(truth: TrackParams | None = None, undetected: tuple[int, ...] = ()) -> FilmedCapture:
    batch = frame_batch(moving_params(FRAMES) if truth is None else truth, SIZE)
    for row in undetected:
        batch.confidence[row] = 0
        batch.landmarks_px[row] = 0
    return FilmedCapture(batch)


def make_tracker(config: TrackConfig, capture: FilmedCapture, *callbacks, device: str = "cpu") -> Tracker:
    tracker = build_tracker(config, capture, builtin_head().to(device), torch.device(device))
    tracker.callbacks = callbacks
    return tracker


def track(config: TrackConfig, capture: FilmedCapture, *callbacks, device: str = "cpu") -> TrackParams:
    return make_tracker(config, capture, *callbacks, device=device).run(build_stages(config))


def assert_finite(name: str, value: torch.Tensor) -> torch.Tensor:
    assert value.isfinite().all(), name
    return value


@dataclass
class Recorder(Callback):
    """Losses and touched frames of every step, by stage; epochs as they were told."""

    losses: dict[str, list[float]] = field(default_factory=dict)
    rows: list[tuple[str, list[int]]] = field(default_factory=list)
    counts: list[tuple[int, int]] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    epochs: list[int] = field(default_factory=list)

    def on_step(self, event: StepEvent) -> None:
        self.losses.setdefault(event.stage.name, []).append(event.cost)
        self.rows.append((event.stage.name, event.timesteps.tolist()))
        self.counts.append((event.done, event.total))
        self.steps.append(event.step)

    def on_stage_end(self, stage: Stage, params: TrackParams) -> None:
        self.ended.append(stage.name)

    def on_epoch(self, epoch: int, params: TrackParams) -> None:
        self.epochs.append(epoch)


@dataclass
class StillFrames(Callback):
    """Notes every frame that moved in a step although it was not in the step's batch."""

    past: dict[str, torch.Tensor] = field(default_factory=dict)
    moved: list[tuple[str, int]] = field(default_factory=list)

    def on_step(self, event: StepEvent) -> None:
        for name in PER_FRAME:
            value = getattr(event.params, name)
            if name in self.past:
                changed = ((value - self.past[name]).abs() > 1e-6).any(1).nonzero().flatten().tolist()
                self.moved += [(name, row) for row in changed if row not in event.timesteps.tolist()]
            self.past[name] = value.clone()

    def on_stage_end(self, stage: Stage, params: TrackParams) -> None:
        self.past.clear()

    def on_epoch(self, epoch: int, params: TrackParams) -> None:
        return None


def test_counts_are_bounds_and_every_stage_and_epoch_is_reported():
    config, recorder = options(steps=2, epochs=3), Recorder()
    track(config, filmed(), recorder)
    counts = {name: len(losses) for name, losses in recorder.losses.items()}
    assert {name: counts.pop(name) for name in ("lmk_init_rigid", "lmk_init_all")} == {
        "lmk_init_rigid": 1,
        "lmk_init_all": 1,
    }
    bounds = {"rgb_init_texture": 2, "rgb_init_all": 2, "rgb_sequential_tracking": 2, "rgb_global_tracking": 3}
    assert counts.keys() == bounds.keys()
    assert all(1 <= counts[name] <= 1 + bound for name, bound in bounds.items())
    assert recorder.ended == [stage.name for stage in build_stages(config)]
    assert recorder.epochs == [0, 3]
    assert recorder.steps == list(range(1, len(recorder.steps) + 1))
    assert all(0 < done <= total for done, total in recorder.counts)


def test_windows_are_consecutive(monkeypatch):
    monkeypatch.setattr(problem, "MOST_PICTURES", 4)
    recorder = Recorder()
    track(options(steps=1, epochs=2), filmed(), recorder)
    sequential = [rows for name, rows in recorder.rows if name == "rgb_sequential_tracking"]
    assert [rows for rows, _ in groupby(sequential)] == [[0, 1, 2, 3], [4, 5]]


def test_a_count_of_zero_leaves_a_stage_out_but_not_light_and_texture():
    config = options(steps=0, epochs=0)
    tracker = make_tracker(config, filmed())
    place, texture = tracker.params.translation.clone(), tracker.params.residual_texture.clone()
    params = tracker.run([stage for stage in build_stages(config) if stage.photometric])
    assert torch.equal(params.translation, place)
    assert params.static_offset is not None
    assert not params.static_offset.any()
    assert not torch.equal(params.residual_texture, texture)


def test_groups_that_a_stage_cannot_move_are_named():
    plan = options().pipeline
    plan = replace(plan, rgb_global_tracking=replace(plan.rgb_global_tracking, optimizable_params=("pose", "texture")))
    (line,) = lines_of_unmoved(options(pipeline=plan))
    assert line.startswith("--pipeline.rgb_global_tracking.optimizable_params pose has no effect")
    assert lines_of_unmoved(options()) == []


def test_loss_falls_where_the_place_is_looked_for():
    """Losses of one look at the points; the next look weighs them anew. Pictures so small are shrunk no further, so
    that rgb_init_all finds nothing left to do."""
    plan = PipelineConfig()
    plan = replace(
        options(epochs=1).pipeline,
        rgb_init_texture=replace(plan.rgb_init_texture, num_steps=12),
        rgb_init_all=replace(plan.rgb_init_all, num_steps=15),
    )
    recorder = Recorder()
    capture = filmed()
    tracker = make_tracker(options(pipeline=plan), capture, recorder)
    tracker.params.expr += 0.5
    tracker.params.lights = tracker.params.lights * 0.8
    params = tracker.run(build_stages(options(pipeline=plan)))
    first, second, *_ = recorder.losses["rgb_init_texture"]
    assert second < 0.97 * first
    params.mapped(assert_finite)
    error = (landmarks_px(params, SIZE) - capture.batch.landmarks_px).norm(dim=-1).mean()
    assert float(error) < 1


def test_few_pictures_spread_over_the_clip_tell_the_texture(monkeypatch):
    tracker = make_tracker(options(), filmed(undetected=(3,)))
    assert tracker.texture_frames() == [0, 1, 2, 4, 5]
    monkeypatch.setattr(loop, "MOST_TEXTURED", 3)
    assert tracker.texture_frames() == [0, 2, 5]
    monkeypatch.setattr(loop, "MOST_TEXTURED", 128)
    monkeypatch.setattr(loop, "KEPT_PIXELS", 4 * SIZE[0] * SIZE[1])
    monkeypatch.setattr(loop, "LEAST_TEXTURED", 2)
    assert tracker.texture_frames() == [0, 1, 4, 5]
    monkeypatch.setattr(loop, "LEAST_TEXTURED", 5)
    assert tracker.texture_frames() == [0, 1, 2, 4, 5]


def test_landmark_stages_fit_what_they_may_move():
    config, recorder = options(steps=10, photometric=False), Recorder()
    truth = moving_params(FRAMES)
    capture = filmed(truth)
    tracker = make_tracker(config, capture, recorder)
    tracker.params.translation += 0.02
    before = tracker.params.mapped(lambda _, value: value.clone())
    rigid, *others = build_stages(config)
    after = tracker.run([rigid])
    assert torch.equal(after.shape, before.shape)
    assert torch.equal(after.expr, before.expr)
    assert (after.translation - before.translation).abs().max() > 0.01
    tracker.progress = Progress()
    tracker.params.expr += 0.3
    params = tracker.run(others)
    assert float((landmarks_px(params, SIZE) - capture.batch.landmarks_px).norm(dim=-1).mean()) < 0.5
    assert recorder.ended == [stage.name for stage in build_stages(config)]
    assert recorder.epochs == [0, 1]
    assert [rows for _, rows in recorder.rows] == [list(range(FRAMES))] * 4


@pytest.mark.parametrize("batch_size", [1, 4])
def test_frames_not_solved_together_start_beside_their_landmarks(monkeypatch, batch_size):
    """As far beside them as the frames solved together stand."""
    monkeypatch.setattr(problem, "MOST_PICTURES", 1)
    tracker = make_tracker(options(batch_size=batch_size), filmed())
    assert tracker.together.tolist() == sorted(tracker.init_frames)
    assert len(tracker.together) == batch_size
    guess = tracker.params.mapped(lambda _, value: value.clone())
    shift = torch.tensor([0.03, -0.02, 0.01])
    tracker.params.translation[tracker.together] += shift
    tracker.params.jaw_pose[tracker.together, 0] += 0.2
    (stage,) = (stage for stage in build_stages(options()) if stage.kind == "frames")
    tracker._bring_others(stage, tracker.together)
    params = tracker.params
    torch.testing.assert_close(params.translation - guess.translation, shift.expand(FRAMES, 3), atol=2e-3, rtol=0)
    torch.testing.assert_close(
        params.jaw_pose[:, 0] - guess.jaw_pose[:, 0], torch.full((FRAMES,), 0.2), atol=2e-2, rtol=0
    )


def test_windows_are_tied_to_the_frames_before_and_keep_only_their_own(monkeypatch):
    """Each window's solver moves all frames that it is given; on small pictures first where one has no landmarks."""
    calls = []

    def push(problem, params, rows, names, rounds, known, before, tell):
        calls.append((rows.tolist(), list(before)))
        moved = params.mapped(lambda _, value: value.clone())
        moved.translation[rows] += 0.01
        return moved

    monkeypatch.setattr(problem, "MOST_PICTURES", 2)
    tracker = make_tracker(options(batch_size=2), filmed())
    (stage,) = (stage for stage in build_stages(options()) if stage.kind == "frames")
    lost = next(row for row in range(FRAMES) if row not in tracker.together.tolist())
    tracker.frames_found[lost] = False
    start = tracker.params.translation.clone()
    monkeypatch.setattr(Tracker, "_bring_others", lambda *_: None)
    monkeypatch.setattr(loop, "solve_jointly", push)
    while not tracker._advance(stage):
        tracker.progress.done += 1
    windows = [([0, 1, 2, 3], []), ([2, 3, 4, 5], [0, 1]), ([4, 5], [2, 3])]
    far = [lost // 2 == index for index in range(3)]
    assert calls == [call for call, twice in zip(windows, far) for _ in range(1 + twice)]
    expected = 0.01 + 0.01 * torch.tensor(far).repeat_interleave(2)[:, None].expand(FRAMES, 3)
    torch.testing.assert_close(tracker.params.translation - start, expected)


def test_frames_outside_a_batch_do_not_move():
    """Under a known camera: with a focal length to solve, all heads may follow it away from the camera."""
    truth, watcher = moving_params(FRAMES), StillFrames()
    known = replace(filmed(truth), camera=camera_from_focal(truth.focal_length, *SIZE))
    track(options(steps=2, epochs=2, batch_size=2), known, watcher)
    assert not watcher.moved


def test_frames_without_a_face_are_tracked_through():
    truth, undetected = moving_params(FRAMES), (0, 2, 5)
    params = track(options(steps=3), filmed(truth, undetected))
    params.mapped(assert_finite)
    error = (landmarks_px(params, SIZE) - landmarks_px(truth, SIZE)).norm(dim=-1).mean(1)
    assert error[[1, 3, 4]].max() < 1.5
    assert error.max() < 12


def test_clip_of_one_frame_is_tracked():
    truth = moving_params(3).rows(torch.tensor([1]))
    params = track(options(), filmed(truth))
    assert params.n_timesteps == 1
    assert float((landmarks_px(params, SIZE) - landmarks_px(truth, SIZE)).norm(dim=-1).mean()) < 1.5


def test_equal_runs_give_equal_bits():
    runs = [track(options(steps=2, epochs=2), filmed()) for _ in range(2)]
    for f in fields(TrackParams):
        first, second = (getattr(run, f.name) for run in runs)
        assert first is second or torch.equal(first, second), f.name


def test_known_camera_stays_and_constant_light_stays():
    truth = moving_params(FRAMES)
    camera = camera_from_focal(truth.focal_length, *SIZE)
    config = options()
    config = replace(config, render=replace(config.render, lighting_type="constant"))
    tracker = make_tracker(config, replace(filmed(truth), camera=camera))
    focal, lights = tracker.params.focal_length.clone(), tracker.params.lights.clone()
    params = tracker.run(build_stages(config))
    assert torch.equal(params.focal_length, focal)
    assert torch.equal(params.lights, lights)
    shown = replace(params, focal_length=truth.focal_length)
    assert float((landmarks_px(shown, SIZE) - landmarks_px(truth, SIZE)).norm(dim=-1).mean()) < 1.5


@pytest.mark.gpu
@needs_cuda
def test_run_on_the_gpu_ends_where_one_on_the_cpu_does():
    config = options(steps=4)
    on_cpu, on_gpu = track(config, filmed()), track(config, filmed(), device="cuda")
    cpu_px = landmarks_px(on_cpu, SIZE)
    moved = on_gpu.mapped(lambda _, value: value.cpu())
    assert on_gpu.rotation.is_cuda
    assert on_gpu.static_offset is not None
    assert on_gpu.static_offset.is_cuda
    assert float((landmarks_px(moved, SIZE) - cpu_px).norm(dim=-1).mean()) < 0.3


def test_a_face_that_is_not_the_heads_counts_as_undetected_everywhere():
    capture = filmed()
    capture.batch.landmarks_px[2] = 48 + 15 * torch.randn(70, 2, generator=torch.Generator().manual_seed(0))
    tracker = make_tracker(options(), capture)
    assert 2 not in tracker.init_frames
    assert (tracker.problem.weight > 0).any((1, 2)).tolist() == [row != 2 for row in range(FRAMES)]
    assert (tracker.load(torch.arange(FRAMES)).confidence > 0).any(1).tolist() == [row != 2 for row in range(FRAMES)]


def test_frames_without_the_head_are_named_by_what_was_wrong_with_them(monkeypatch):
    capture, lines = filmed(undetected=(1, 4)), []
    monkeypatch.setattr(get_logger(), "info", lambda text, *values: lines.append(text % values))
    report_detections(capture, torch.tensor([True, False, False, True, False, True])[:, None])
    assert [line.split(" in ")[0] for line in lines] == ["no face found", "landmarks that are not the head's"]
    assert [line.split(": ")[1] for line in lines] == ["000001 000004", "000002"]
