from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from tracked_heads import builtin_head, frame_batch, in_double, moving_params, scene, still_params

from vhap.config.data import DataConfig
from vhap.config.track import ExperimentConfig, LossWeightConfig, TrackConfig
from vhap.data.sample import FrameBatch
from vhap.fit.energy import Energy, EnergyValue, Neighbours
from vhap.fit.params import PER_FRAME, TrackParams
from vhap.fit.scene import emphasis
from vhap.fit.stages import Stage, build_stages
from vhap.geometry.cameras import camera_from_focal
from vhap.head.model import landmark_head, landmark_points, pose, yaw_in_camera

SIZE, TEXTURE = (96, 96), 64
NO_WEIGHT = ("always_enable_jawline_landmarks", "_for", "_relax_coef")
WEIGHTS = [field.name for field in fields(LossWeightConfig) if not field.name.endswith(NO_WEIGHT)]
FRAMES_OF_LANDMARKS = (*PER_FRAME, "shape", "focal_length")


def stages() -> dict[str, Stage]:
    config = TrackConfig(DataConfig(Path("root"), "clip"), ExperimentConfig(Path("out")))
    return {stage.name: stage for stage in build_stages(config)}


INITIAL = stages()["rgb_init_all"]
LAST = stages()["rgb_global_tracking"]
TRACKING = replace(LAST, temporal=True, groups=("texture", "lights", *LAST.groups))


def energy(**weights) -> Energy:
    return Energy(scene(SIZE, TEXTURE), LossWeightConfig(**weights))


def some_params() -> TrackParams:
    params = moving_params(2, TEXTURE)
    random = torch.Generator().manual_seed(3)
    lights = params.lights + 0.2 * torch.randn(9, 3, generator=random)
    residual = 0.1 * torch.rand(1, TEXTURE, TEXTURE, 3, generator=random)
    eyes = 0.1 * torch.randn(2, 6, generator=random)
    count = builtin_head().n_vertices
    return replace(
        params,
        lights=lights,
        residual_texture=residual,
        eyes_pose=eyes,
        neck_pose=eyes[:, :3] + 0.1,
        static_offset=1e-3 * torch.randn(count, 3, generator=random),
        dynamic_offset=1e-3 * torch.randn(2, count, 3, generator=random),
    )


def without_offsets(params: TrackParams) -> TrackParams:
    return replace(params, static_offset=None, dynamic_offset=None)


def neighbours(params: TrackParams) -> Neighbours:
    shifts = {"translation": lambda value: value + 0.01, "dynamic_offset": lambda value: 0.5 * value}
    moved = params.mapped(lambda name, value: shifts.get(name, lambda same: same)(value))
    return Neighbours(moved.detached(), torch.tensor([False, True]))


def evaluate(which: Energy, params: TrackParams, batch: FrameBatch, stage: Stage) -> EnergyValue:
    return which(params, neighbours(params), batch, stage)


def with_gradient(params: TrackParams) -> TrackParams:
    return params.mapped(lambda _, value: value.clone().requires_grad_(True))


@pytest.mark.parametrize("name", FRAMES_OF_LANDMARKS)
def test_energy_without_pixels_has_the_gradient_of_finite_differences(name):
    which, head = energy(), in_double(builtin_head())
    which = replace(which, scene=replace(which.scene, head=head))
    params = without_offsets(some_params()).mapped(lambda _, value: value.double())
    batch = frame_batch(moving_params(2, seed=1), SIZE)
    batch = replace(batch, landmarks_px=batch.landmarks_px.double())
    before = neighbours(params)

    def total(value: torch.Tensor) -> torch.Tensor:
        moved = replace(params, **{name: value})
        terms = which.terms_without_pixels(moved, pose(head, moved.head()), before, batch, TRACKING)
        return torch.stack([which.weight_of(term) * found for term, found in terms.items()]).sum()

    # The direction keeps away from the kinks of the L1 distance, since it moves every point by far less than a pixel.
    value = getattr(params, name).clone().requires_grad_(True)
    direction = torch.randn(value.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    (gradient,) = torch.autograd.grad(total(value), value)
    step = 1e-6
    numeric = (total(value + step * direction) - total(value - step * direction)) / (2 * step)
    assert float((gradient * direction).sum()) == pytest.approx(float(numeric.detach()), rel=1e-4, abs=1e-6)
    assert gradient.abs().max() > 0


@pytest.mark.parametrize("name", ["residual_texture", "lights"])
def test_photometric_energy_has_the_gradient_of_finite_differences(name):
    params = some_params()
    dark = frame_batch(params, SIZE)
    dark = replace(dark, rgb=torch.zeros_like(dark.rgb))
    which, before = energy(landmark=0.0), neighbours(params)

    def total(value: torch.Tensor) -> torch.Tensor:
        return which(replace(params, **{name: value}), before, dark, TRACKING).total

    value = getattr(params, name).clone().requires_grad_(True)
    (gradient,) = torch.autograd.grad(total(value), value)
    direction = gradient / gradient.norm()
    step = 0.02 * value.detach().norm() / value.numel() ** 0.5
    numeric = (total(value + step * direction) - total(value - step * direction)).detach() / (2 * step)
    assert float(gradient.norm()) == pytest.approx(float(numeric), rel=0.02)


def moved_to(x: float = 0.0, z: float = 0.0) -> TrackParams:
    params = some_params()
    return replace(params, translation=params.translation + torch.tensor([x, 0.0, z]))


PLACES = {
    "off screen": moved_to(x=30.0),
    "no pixel covered": moved_to(z=-95.0),
    "behind the camera": moved_to(z=4.0),
    "through the camera": moved_to(z=1.0),
}


@pytest.mark.parametrize("stage", [INITIAL, TRACKING], ids=lambda stage: stage.name)
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("detected", [True, False], ids=["detected", "undetected"])
def test_nothing_becomes_infinite_wherever_the_head_is(stage, place, detected):
    batch = frame_batch(moving_params(2), SIZE)
    if not detected:
        batch = replace(batch, landmarks_px=0 * batch.landmarks_px, confidence=torch.zeros_like(batch.confidence))
    params = with_gradient(PLACES[place])
    value = evaluate(energy(), params, batch, stage)
    assert value.total.isfinite()
    tensors = {f.name: tensor for f in fields(params) if (tensor := getattr(params, f.name)) is not None}
    gradients = torch.autograd.grad(value.total, list(tensors.values()), allow_unused=True)
    for name, gradient in zip(tensors, gradients):
        assert gradient is None or gradient.isfinite().all(), name


def test_head_out_of_sight_costs_no_colour():
    for place in ("off screen", "no pixel covered", "behind the camera"):
        value = evaluate(energy(), PLACES[place], frame_batch(moving_params(2), SIZE), TRACKING)
        assert float(value.terms["photo"]) == 0, place


def test_true_place_costs_less_than_places_beside_it():
    truth = moving_params(2, TEXTURE)
    batch = frame_batch(truth, SIZE)
    at_truth = evaluate(energy(), truth, batch, TRACKING).terms
    beside = evaluate(energy(), replace(truth, translation=truth.translation + 0.01), batch, TRACKING).terms
    assert float(at_truth["landmark"]) < 1e-5 < float(beside["landmark"])
    assert float(at_truth["photo"]) < 0.2 * float(beside["photo"])


def test_landmarks_of_the_reduced_head_are_those_of_the_whole_head():
    whole, params = builtin_head(), without_offsets(some_params())
    small = landmark_head(whole, "ibug")
    camera = camera_from_focal(params.focal_length[0], *SIZE)
    yaw = yaw_in_camera(params.head(), camera.T_camera_world[:3, :3])
    found, right = (landmark_points(head, pose(head, params.head()), "ibug", yaw) for head in (small, whole))
    torch.testing.assert_close(found, right, atol=1e-6, rtol=0)
    assert small.n_vertices < whole.n_vertices / 10


def test_nose_counts_ten_times_beside_the_jaw_line_and_once_without():
    ids = torch.arange(70)
    with_line, without = emphasis("ibug", ids, jaw_line=True), emphasis("ibug", ids, jaw_line=False)
    assert with_line[27:36].tolist() == [10.0] * 9
    assert with_line[:17].tolist() == [1.0] * 17
    assert without[:17].tolist() == [0.0] * 17
    assert without[27:36].tolist() == [1.0] * 9
    assert with_line[36:].tolist() == without[36:].tolist() == [1.0] * 34


def test_mediapipes_points_count_alike_and_as_much_as_ibugs_on_average():
    ids = torch.arange(478)
    with_line = emphasis("mediapipe", ids, jaw_line=True)
    assert with_line.unique().numel() == 1
    assert float(with_line.mean()) == pytest.approx(float(emphasis("ibug", torch.arange(70), jaw_line=True).mean()))
    without = emphasis("mediapipe", ids, jaw_line=False)
    # 152 is the tip of the chin, 1 that of the nose, 13 the middle of the upper lip.
    assert (without[[152, 1, 13]] > 0).tolist() == [False, True, True]
    assert 15 < (without == 0).sum() < 30


def test_landmarks_count_by_their_confidence():
    params, batch = some_params(), frame_batch(moving_params(2, seed=1), SIZE)

    def cost(confidence: float) -> float:
        trusted = replace(batch, confidence=torch.full_like(batch.confidence, confidence))
        return float(evaluate(energy(), params, trusted, TRACKING).terms["landmark"])

    assert cost(0.0) == 0
    assert cost(0.5) == pytest.approx(cost(1.0) / 2) != 0


def test_jaw_line_moves_nothing_where_a_stage_leaves_it_out():
    params, batch = some_params(), frame_batch(moving_params(2, seed=1), SIZE)
    stage = replace(TRACKING, jaw_line=False)
    plain = evaluate(energy(), params, batch, stage).terms["landmark"]
    batch.landmarks_px[:, :17] += 1000
    assert float(evaluate(energy(), params, batch, stage).terms["landmark"]) == float(plain)
    assert float(evaluate(energy(), params, batch, replace(stage, jaw_line=True)).terms["landmark"]) > float(plain)


def test_every_weight_has_a_term_and_every_term_a_weight():
    value = evaluate(energy(), some_params(), frame_batch(moving_params(2), SIZE), TRACKING)
    assert set(value.terms) == set(WEIGHTS)


def test_total_is_the_weighted_sum_and_zero_switches_a_term_off():
    params, batch = some_params(), frame_batch(moving_params(2, seed=1), SIZE)
    weights = {name: 0.5 + index for index, name in enumerate(WEIGHTS)}
    value = evaluate(energy(**weights), params, batch, TRACKING)
    expected = sum(weight * float(value.terms[name]) for name, weight in weights.items())
    assert float(value.total) == pytest.approx(expected, rel=1e-5)
    # The mean of a term that is off may be anything, even not finite, and still must not reach the total.
    for name in ("landmark", "photo", "reg_jaw", "smooth_trans"):
        without = evaluate(energy(**{**weights, name: 0.0}), params, batch, TRACKING)
        missing = float(value.total) - float(without.total)
        assert missing == pytest.approx(weights[name] * float(value.terms[name]), rel=1e-3, abs=1e-4), name


def test_texture_variation_is_weighed_by_the_pictures_scale():
    params, batch = some_params(), frame_batch(moving_params(2), SIZE)
    off = dict.fromkeys(WEIGHTS, 0.0)
    full = evaluate(energy(**{**off, "reg_tex_tv": 3.0}), params, batch, TRACKING)
    half = evaluate(replace(energy(**{**off, "reg_tex_tv": 3.0}), texture_scale=0.5), params, batch, TRACKING)
    assert float(half.total) == pytest.approx(float(full.total) / 4, rel=1e-5)


def test_smaller_pictures_give_nearly_the_same_energy():
    params = some_params()
    batch, which = frame_batch(moving_params(2, seed=1), SIZE), energy()
    full = evaluate(which, params, batch, TRACKING).terms
    coarse = evaluate(replace(which, scene=which.scene.shrunk(2)), params, batch.shrunk(2), TRACKING).terms
    assert float(coarse["landmark"]) == pytest.approx(float(full["landmark"]), rel=1e-4)
    assert float(coarse["photo"]) == pytest.approx(float(full["photo"]), rel=0.25)


def test_first_frame_has_no_temporal_cost():
    params, batch = some_params(), frame_batch(moving_params(2), SIZE)
    before = replace(neighbours(params), valid=torch.tensor([False, False]))
    terms = energy()(params, before, batch, TRACKING).terms
    smooth = [float(value) for name, value in terms.items() if name.startswith("smooth_")]
    assert smooth
    assert set(smooth) == {0.0}
    assert not any(name.startswith("smooth_") for name in evaluate(energy(), params, batch, INITIAL).terms)


def test_constant_light_leaves_the_lights_alone():
    params = with_gradient(some_params())
    which = replace(energy(), sh_lights=False)
    value = evaluate(which, params, frame_batch(still_params(2), SIZE), TRACKING)
    assert torch.autograd.grad(value.total, params.lights, allow_unused=True)[0] is None
    assert "reg_diffuse" not in value.terms


def test_terms_of_a_texture_that_rests_are_left_out():
    params = some_params()
    batch = frame_batch(params, SIZE)
    moving = energy()(params, neighbours(params), batch, TRACKING).terms
    resting = energy()(params, neighbours(params), batch, replace(TRACKING, groups=("lights", *LAST.groups))).terms
    assert moving.keys() - resting.keys() == {"reg_tex_tv", "reg_tex_res"}
