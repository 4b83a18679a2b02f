"""Tracking separates the light from the albedo, bakes a texture without it and holds it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from tracked_heads import FilmedCapture, builtin_head, frame_batch, moving_params

from vhap.config.data import DataConfig
from vhap.config.track import EpochStageConfig, ExperimentConfig, ModelConfig, PipelineConfig, RenderConfig, TrackConfig
from vhap.fit.events import Callback
from vhap.fit.light_separation import PointViews
from vhap.fit.light_views import SeparatedLight, turn_of
from vhap.fit.loop import Tracker
from vhap.fit.params import TrackParams
from vhap.fit.stages import Stage, build_stages
from vhap.pipeline.track import build_tracker
from vhap.render.shading import shade, uniform_lights
from vhap.synthetic.person import _facing_normals, directional_light

SIZE, FRAMES, TEXTURE = (128, 128), 8, 128


def options(**changes) -> TrackConfig:
    chosen = {
        "data": DataConfig(Path("root"), "clip", landmark_source="face-alignment"),
        "exp": ExperimentConfig(Path("out")),
        "model": ModelConfig(head="builtin", tex_resolution=TEXTURE),
        "device": "cpu",
    }
    return TrackConfig(**(chosen | changes))


def lit_from_one_side() -> TrackParams:
    lights = 0.4 * uniform_lights() + 0.6 * directional_light(math.radians(60), math.radians(20))[:, None]
    return replace(moving_params(FRAMES, TEXTURE), lights=lights)


@dataclass
class Lights(Callback):
    told: list[SeparatedLight] = field(default_factory=list)
    epochs: list[int] = field(default_factory=list)

    def on_light(self, light: SeparatedLight) -> None:
        self.told.append(light)

    def on_epoch(self, epoch: int, params: TrackParams) -> None:
        self.epochs.append(epoch)


def tracker_of(truth: TrackParams, config: TrackConfig) -> Tracker:
    """Every unknown but light and texture is the truth."""
    tracker = build_tracker(config, FilmedCapture(frame_batch(truth, SIZE)), builtin_head(), torch.device("cpu"))
    known = replace(truth, lights=uniform_lights(), residual_texture=tracker.params.residual_texture)
    tracker.params = replace(known, static_offset=tracker.params.static_offset)
    return tracker


def global_stage(config: TrackConfig) -> Stage:
    return build_stages(config)[-1]


def likeness(found: torch.Tensor, true: torch.Tensor) -> float:
    shading = torch.stack([shade(_facing_normals(), lights).mean(-1) for lights in (found, true)])
    return float(torch.corrcoef(shading)[0, 1])


def test_the_global_stage_finds_the_light_and_holds_it():
    truth = lit_from_one_side()
    config = options(pipeline=replace(PipelineConfig(), rgb_global_tracking=EpochStageConfig(1, ("lights", "texture"))))
    tracker, lights = tracker_of(truth, config), Lights()
    tracker.callbacks = (lights,)
    params = tracker.run([global_stage(config)])
    (light,) = lights.told
    assert likeness(light.lights, truth.lights) > 0.95
    assert torch.equal(params.lights, light.lights)
    assert lights.epochs == [1]
    assert params.residual_texture.abs().max() > 0.01
    assert light.pictures == FRAMES
    assert light.views > 500
    assert 2 < light.turn_degrees < 40


def test_what_was_taken_for_the_light_before_has_no_part_in_it():
    truth = lit_from_one_side()
    tracker = tracker_of(truth, options())
    tracker.separate_light([0, 3, 7])
    first = tracker.params.lights
    tracker.params.lights = 2 * truth.lights
    tracker.separate_light([0, 3, 7])
    assert torch.equal(tracker.params.lights, first)


def test_the_light_on_a_texture_that_is_known_is_the_true_one():
    truth = lit_from_one_side()
    tracker = tracker_of(truth, options())
    tracker.params.residual_texture = truth.residual_texture
    tracker.separate_light([0, 3, 7], known_albedo=True)
    shading = [shade(_facing_normals(), lights).mean(-1) for lights in (tracker.params.lights, truth.lights)]
    assert float((shading[0] - shading[1]).abs().mean() / shading[1].mean()) < 0.05


def test_the_light_is_solved_unless_it_is_given_or_constant(tmp_path):
    constant = RenderConfig(lighting_type="constant")
    known = ModelConfig(head="builtin", light_path=tmp_path / "light.json")
    person = replace(ModelConfig(head="builtin"), flame_params_path=Path("person.npz"), fix_texture=True)
    assert {"lights", "texture"} <= {*global_stage(options()).groups}
    assert global_stage(options(model=person)).groups == ("lights", "static_offset")
    assert "lights" not in global_stage(options(render=constant)).groups
    assert not any("lights" in stage.groups for stage in build_stages(options(model=known)))


def test_how_far_normals_turn_is_told_of_points_seen_twice():
    points, angle = torch.tensor([0, 1]), math.radians(20)

    def seen(turn: float) -> PointViews:
        normal = torch.tensor([[math.sin(turn), 0.0, math.cos(turn)]]).expand(2, 3)
        return PointViews(points, torch.zeros(2, 3), normal)

    assert turn_of([seen(0.3)], 2) == 0
    assert math.isclose(turn_of([seen(-angle), seen(angle)], 2), 20, rel_tol=0.01)
