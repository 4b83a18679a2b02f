"""Second-order stages in the loop: which stages they are, what they gain, and clips that are awkward."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from tracked_heads import FilmedCapture, builtin_head, frame_batch, in_picture, moving_params

from vhap.config.data import DataConfig
from vhap.config.track import ExperimentConfig, LossWeightConfig, ModelConfig, PipelineConfig, TrackConfig
from vhap.fit.checkpoint import Checkpoint
from vhap.fit.events import Callback, StepEvent
from vhap.fit.loop import Tracker
from vhap.fit.params import TrackParams
from vhap.fit.photometric import problem, solver
from vhap.fit.photometric.point_albedo import PointPrior
from vhap.fit.stages import Stage, build_stages, fine_factor
from vhap.head.regions import faces_of_region
from vhap.pipeline.track import build_tracker

SIZE, FRAMES, TEXTURE = (96, 96), 5, 128


def options(**changes) -> TrackConfig:
    chosen = {
        "data": DataConfig(Path("root"), "clip", landmark_source="face-alignment"),
        "exp": ExperimentConfig(Path("out")),
        "model": ModelConfig(head="builtin", tex_resolution=TEXTURE),
        "batch_size": 2,
        "device": "cpu",
    }
    return TrackConfig(**(chosen | changes))


def second_order(config: TrackConfig) -> list[Stage]:
    return [stage for stage in build_stages(config) if stage.kind in ("identity", "frames")]


def calm_motion() -> TrackParams:
    return moving_params(40, TEXTURE).rows(torch.arange(18, 18 + FRAMES))


def biased_film(truth: TrackParams, undetected: tuple[int, ...] = ()) -> FilmedCapture:
    """Landmarks two pixels off to the right and up, all alike: what a detector's bias looks like. They count little,
    for a picture this small has few pixels to set against them."""
    batch = frame_batch(truth, SIZE)
    wrong = batch.landmarks_px + torch.tensor([2.0, -1.0])
    batch = replace(batch, landmarks_px=wrong, confidence=0.05 * batch.confidence)
    for row in undetected:
        batch.confidence[row] = 0
        batch.landmarks_px[row] = 0
    return FilmedCapture(batch)


@dataclass
class Notes(Callback):
    """What the loop told, with the unknowns at the end of each stage."""

    ended: list[tuple[str, TrackParams]] = field(default_factory=list)
    epochs: list[int] = field(default_factory=list)
    counts: list[tuple[int, int]] = field(default_factory=list)

    def on_step(self, event: StepEvent) -> None:
        assert math.isfinite(event.cost)
        self.counts.append((event.done, event.total))

    def on_stage_end(self, stage: Stage, params: TrackParams) -> None:
        self.ended.append((stage.name, params.detached()))

    def on_epoch(self, epoch: int, params: TrackParams) -> None:
        self.epochs.append(epoch)


def make_tracker(capture: FilmedCapture, *callbacks) -> Tracker:
    tracker = build_tracker(options(), capture, builtin_head(), torch.device("cpu"))
    tracker.callbacks = callbacks
    return tracker


def error_px(params: TrackParams, truth: TrackParams) -> float:
    """Mean distance of the face's vertices in the picture."""
    face = builtin_head().regions["face"]
    found, right = (in_picture(which, SIZE)[:, face] for which in (params, truth))
    return float((found - right).norm(dim=-1).mean())


def test_stages_and_what_they_move():
    stages = [stage for stage in build_stages(options()) if stage.photometric]
    assert [(stage.name, stage.kind, stage.coarse) for stage in stages] == [
        ("rgb_init_texture", "identity", True),
        ("rgb_init_all", "identity", False),
        ("rgb_init_offset", "hair", False),
        ("rgb_sequential_tracking", "frames", False),
        ("rgb_global_tracking", "surface", False),
    ]
    assert [stage.groups for stage in stages[2:]] == [
        ("static_offset",),
        ("pose", "joints", "expr"),
        ("lights", "static_offset", "texture"),
    ]
    landmarks_only = options(exp=ExperimentConfig(Path("out"), photometric=False))
    assert not any(stage.photometric for stage in build_stages(landmarks_only))


def test_pictures_show_where_lips_are_and_not_what_is_between_them():
    """Landmarks alone would place them, and with them what identity moves along."""
    head = builtin_head()
    inside, lips = (faces_of_region(head, name) for name in ("lip_inside", "lips"))
    scene = make_tracker(FilmedCapture(frame_batch(calm_motion(), SIZE))).scene
    stages = second_order(options())
    assert stages
    for stage in stages:
        left_out = scene.faces_in(stage.fixed_texture)
        assert left_out is not None
        assert not left_out[lips & ~inside].any(), stage.name
        assert left_out[inside].all() or stage.kind == "frames", stage.name


def test_hair_grows_where_offsets_may_move_and_outlines_count():
    def grows(**changes) -> list[str]:
        return [stage.name for stage in build_stages(options(**changes)) if stage.kind == "hair" and stage.groups]

    plan = PipelineConfig()
    no_offsets = replace(plan, rgb_init_offset=replace(plan.rgb_init_offset, optimizable_params=("lights",)))
    known = ModelConfig(head="builtin", flame_params_path=Path("person.npz"), fix_shape=True)
    assert grows() == ["rgb_init_offset"]
    assert not grows(pipeline=no_offsets)
    assert not grows(model=known)
    assert not grows(model=ModelConfig(head="builtin", use_static_offset=False))
    assert not grows(w=LossWeightConfig(silhouette=0.0))


def test_how_many_points_count_as_one_is_found_with_half_the_frames_and_goes_on(monkeypatch):
    """Into the next stage, and into the checkpoint."""
    monkeypatch.setattr(problem, "MOST_PICTURES", 4)
    asked, kept = [], []

    def found(task, now) -> float:
        asked.append((task.problem.prior.correlation, task.rows.tolist()))
        return 20.0 + len(asked)

    class Keeper(Callback):
        def on_checkpoint(self, checkpoint: Checkpoint) -> None:
            kept.append(checkpoint)

    monkeypatch.setattr(solver, "correlation_at", found)
    tracker = make_tracker(biased_film(calm_motion()), Keeper())
    tracker.run(second_order(options())[:2])
    (first, few), (second, together) = asked
    assert (first, second, tracker.correlation) == (PointPrior().correlation, 21.0, 22.0)
    assert len(few) == 2
    assert len(together) == 4
    assert set(few) < set(together)
    again = make_tracker(biased_film(calm_motion()))
    again.resume(kept[0])
    assert again.correlation == 21.0


def test_moving_offsets_have_a_stage_of_their_own():
    config = options(model=ModelConfig(head="builtin", use_dynamic_offset=True))
    names = [stage.name for stage in build_stages(config)]
    assert names.index("rgb_sequential_offset") == names.index("rgb_sequential_tracking") + 1
    (stage,) = (stage for stage in build_stages(config) if stage.name == "rgb_sequential_offset")
    assert (stage.groups, stage.kind) == (("dynamic_offset",), "moving_offset")
    assert "rgb_sequential_offset" not in [stage.name for stage in build_stages(options())]


def test_pictures_overcome_the_bias_of_landmarks():
    truth = calm_motion()
    notes = Notes()
    tracker = make_tracker(biased_film(truth), notes)
    before = error_px(tracker.params, truth)
    tracker.run(second_order(options()))
    names, (_, aligned, refined) = zip(*notes.ended)
    assert names == ("rgb_init_texture", "rgb_init_all", "rgb_sequential_tracking")
    assert notes.epochs == [0]
    assert all(0 < done <= total for done, total in notes.counts)
    assert before > 1.5
    assert error_px(aligned, truth) < 0.7 * before
    assert error_px(refined, truth) < 0.7 * before


@pytest.mark.parametrize("undetected", [(), (2,)], ids=["all detected", "one undetected"])
def test_every_frame_stays_finite_and_in_place(undetected):
    truth = calm_motion()
    params = make_tracker(biased_film(truth, undetected), Notes()).run(second_order(options()))
    for row in range(FRAMES):
        rows = torch.tensor([row])
        assert error_px(params.rows(rows), truth.rows(rows)) < 1.5
    params.mapped(lambda name, value: pytest.fail(name) if not value.isfinite().all() else value)


def test_clip_of_one_frame():
    truth = calm_motion().rows(torch.tensor([2]))
    tracker = make_tracker(biased_film(truth), Notes())
    before = error_px(tracker.params, truth)
    assert error_px(tracker.run(second_order(options())), truth) < before


def test_equal_runs_give_equal_bits():
    truth = calm_motion()
    once, again = (make_tracker(biased_film(truth), Notes()).run(second_order(options())) for _ in range(2))
    for name in ("rotation", "translation", "expr", "shape", "focal_length", "lights", "residual_texture"):
        assert torch.equal(getattr(once, name), getattr(again, name)), name


def test_offsets_stay_as_they_are_and_landmarks_lie_on_them():
    """Landmarks count a thousand times as much as usual, so that every frame goes where they are."""
    truth = calm_motion()
    offset = 0.01 * torch.sin(15 * builtin_head().template + 1)
    right = replace(truth, static_offset=offset)
    config = options(w=LossWeightConfig(landmark=1e4))
    tracker = build_tracker(config, FilmedCapture(frame_batch(right, SIZE)), builtin_head(), torch.device("cpu"))
    start = {name: getattr(truth, name).clone() for name in ("expr", "shape", "focal_length", "rotation")}
    shifted = truth.translation + torch.tensor([0.004, 0.0, 0.0])
    tracker.params = replace(tracker.params, **start, static_offset=offset.clone(), translation=shifted)
    before = error_px(tracker.params, right)
    params = tracker.run([stage for stage in second_order(config) if stage.kind == "frames"])
    assert params.static_offset is not None
    assert torch.equal(params.static_offset, offset)
    assert error_px(params, right) < 0.3 * before


@pytest.mark.parametrize(("face_px", "factor"), [(0.0, 1), (639.0, 1), (640.0, 2), (1400.0, 4)])
def test_pictures_are_shrunk_while_faces_stay_large_enough(face_px, factor):
    assert fine_factor(face_px) == factor
