"""Gauss-Newton on pictures: it comes back to the truth, makes nothing worse, and moves only what it is asked to."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from tracked_heads import builtin_head, exact_problem, frame_batch, in_picture, moving_params, scene

from vhap.data.sample import FrameBatch
from vhap.model.head import pose
from vhap.tracking.landmark_solver import frame_costs, shared_cost
from vhap.tracking.motion import OFF, MotionPrior
from vhap.tracking.params import PER_FRAME, TrackParams
from vhap.tracking.photometric_pixels import PixelPrior, pixel_system
from vhap.tracking.photometric_solver import PhotometricProblem, solve_frames, solve_shared

SIZE, TEXTURE = (96, 96), 128
EVERYTHING = (*PER_FRAME, "focal_length", "shape", "lights")
FOCAL = torch.tensor([1.7280701398849487])
"""exp(log(f)) is another float than f."""
ANY_MOTION = MotionPrior(OFF, OFF, OFF, OFF, OFF, OFF, OFF)


def clip_of(frames: int) -> TrackParams:
    """Neighbouring frames of a person in calm motion."""
    return moving_params(40, TEXTURE).rows(torch.arange(18, 18 + frames))


def perturbed(truth: TrackParams) -> TrackParams:
    random = torch.Generator().manual_seed(7)

    def noise(like: Tensor, scale: float) -> Tensor:
        return like + scale * torch.randn(like.shape, generator=random)

    return replace(
        truth,
        rotation=noise(truth.rotation, 0.02),
        translation=noise(truth.translation, 0.003),
        jaw_pose=truth.jaw_pose + torch.tensor([0.03, 0.0, 0.0]),
        expr=noise(truth.expr, 0.1),
        shape=noise(truth.shape, 0.3),
        focal_length=truth.focal_length * 1.05,
    )


def film(truth: TrackParams) -> FrameBatch:
    return frame_batch(truth, SIZE)


def problem_of(
    truth: TrackParams, batch: FrameBatch | None = None, motion: MotionPrior | None = None
) -> PhotometricProblem:
    shown = film(truth) if batch is None else batch
    names = ("timesteps", "cameras", "rgb", "alpha", "landmarks_px", "confidence")

    def load(rows: Tensor) -> FrameBatch:
        return replace(shown, **{name: getattr(shown, name)[rows] for name in names})

    landmarks = exact_problem(truth, SIZE)
    prior = landmarks.prior if motion is None else replace(landmarks.prior, motion=motion)
    return PhotometricProblem(scene(SIZE, TEXTURE), replace(landmarks, prior=prior), load)


def blind(problem: PhotometricProblem, *frames: int) -> PhotometricProblem:
    """The problem without the landmarks of some frames."""
    weight = problem.landmarks.weight.clone()
    weight[list(frames)] = 0
    return replace(problem, landmarks=replace(problem.landmarks, weight=weight))


def keep_texture(params: TrackParams) -> Tensor:
    return params.residual_texture


def solved(problem: PhotometricProblem, start: TrackParams, rounds: int = 8, names=EVERYTHING) -> TrackParams:
    return solve_shared(problem, start, torch.arange(start.n_timesteps), names, keep_texture, rounds)


def error_mm(params: TrackParams, truth: TrackParams) -> Tensor:
    """(B,) mean distance of the face's vertices, heads laid over each other."""
    face = builtin_head().regions["face"]
    found, right = (pose(builtin_head(), which.head())[:, face] for which in (params, truth))
    found, right = found - found.mean(1, keepdim=True), right - right.mean(1, keepdim=True)
    return 1000 * (found - right).norm(dim=-1).mean(1)


def error_px(params: TrackParams, truth: TrackParams) -> Tensor:
    """(B,) mean distance of the face's vertices in the picture."""
    face = builtin_head().regions["face"]
    found, right = (in_picture(which, SIZE)[:, face] for which in (params, truth))
    return (found - right).norm(dim=-1).mean(1)


def cost_of(problem: PhotometricProblem, params: TrackParams, anchor: TrackParams) -> float:
    """What is minimised, without the motion."""
    local, before = (torch.cat([getattr(which, name) for name in PER_FRAME], -1) for which in (params, anchor))
    common = torch.cat([params.focal_length.log(), params.shape])
    sigma = problem.landmarks.sigma_px(beside_pixels=True)
    total = frame_costs(problem.landmarks, common, local, sigma, before).sum() + shared_cost(problem.landmarks, common)
    for row in torch.arange(params.n_timesteps).split(1):
        pixels = pixel_system(problem.scene, params.rows(row), problem.load(row), problem.pixels, columns=False)
        total = total + (0 if pixels is None else pixels.cost)
    return float(total)


def assert_equal_but(found: TrackParams, start: TrackParams, *names: str) -> None:
    for field in fields(start):
        value, before = getattr(found, field.name), getattr(start, field.name)
        if field.name not in names and before is not None:
            assert torch.equal(value, before), field.name


def test_it_comes_back_to_the_truth_in_few_rounds():
    truth = clip_of(4)
    start = perturbed(truth)
    found = solved(problem_of(truth), start)
    assert error_px(start, truth).mean() > 1.5
    assert error_px(found, truth).max() < 0.15
    assert error_mm(found, truth).mean() < 0.5 * error_mm(start, truth).mean()
    assert float(found.focal_length) == pytest.approx(float(truth.focal_length), rel=0.1)


def test_pictures_alone_are_enough():
    truth = clip_of(3)
    start = perturbed(truth)
    found = solved(blind(problem_of(truth), 0, 1, 2), start)
    assert error_px(found, truth).max() < 0.25
    assert error_mm(found, truth).mean() < 0.9 * error_mm(start, truth).mean()


def test_brightness_is_found():
    """Grey values tell nothing of the light's colour."""
    truth = clip_of(2)
    brightness = 0.2 * torch.randn(9, 1, generator=torch.Generator().manual_seed(1))
    lit = replace(truth, lights=truth.lights + brightness)
    problem = problem_of(lit)
    found = solved(problem, truth, 6, ("lights",))
    assert_equal_but(found, truth, "lights")
    before, after, right = (cost_of(problem, params, truth) for params in (truth, found, lit))
    assert after - right < 0.02 * (before - right)


@pytest.mark.parametrize("noisy", [False, True], ids=["pictures of the head", "noise"])
def test_cost_never_rises(noisy):
    truth = clip_of(3)
    batch = film(truth)
    if noisy:
        batch = replace(batch, rgb=torch.rand(batch.rgb.shape, generator=torch.Generator().manual_seed(0)))
    problem = problem_of(truth, batch, motion=ANY_MOTION)
    start = perturbed(truth)
    costs = [cost_of(problem, solved(problem, start, rounds), start) for rounds in range(5)]
    assert all(after <= before * (1 + 1e-6) for before, after in pairwise(costs))
    assert costs[0] == pytest.approx(cost_of(problem, start, start), rel=1e-6)
    assert costs[-1] < costs[0]


@pytest.mark.parametrize("names", [("rotation", "translation"), ("shape",), ("focal_length", "expr")], ids="-".join)
def test_names_that_are_not_asked_stay_bit_for_bit(names):
    truth = clip_of(3)
    start = replace(perturbed(truth), focal_length=FOCAL)
    found = solved(problem_of(truth), start, 2, names)
    assert_equal_but(found, start, *names)
    assert all(not torch.equal(getattr(found, name), getattr(start, name)) for name in names)


def test_frames_alone_leave_what_all_share_and_other_frames():
    truth = clip_of(4)
    start = replace(perturbed(truth), focal_length=FOCAL)
    rows = torch.tensor([1, 3])
    found, _ = solve_frames(problem_of(truth), start, rows, EVERYTHING)
    assert_equal_but(found, start, *PER_FRAME)
    for name in PER_FRAME:
        assert torch.equal(getattr(found, name)[[0, 2]], getattr(start, name)[[0, 2]]), name
    assert (found.rotation[rows] != start.rotation[rows]).all()


def test_frames_alone_come_back_to_the_truth():
    truth = clip_of(3)
    start = replace(perturbed(truth), shape=truth.shape, focal_length=truth.focal_length)
    problem, found = problem_of(truth), start
    for _ in range(4):
        found, _ = solve_frames(problem, found, torch.arange(3), PER_FRAME)
    assert error_px(start, truth).min() > 0.5
    assert error_px(found, truth).max() < 0.2


def test_a_frame_without_landmarks_does_no_harm():
    truth = clip_of(4)
    start = perturbed(truth)
    problem = blind(problem_of(truth), 1)
    problem.landmarks.detected_px[1] = 0
    found = solved(problem, start)
    assert error_px(found, truth).max() < 0.2


def test_a_frame_out_of_sight_does_no_harm():
    truth = clip_of(4)
    shifted = truth.translation.clone()
    shifted[3] += torch.tensor([5.0, 0.0, 0.0])
    start = perturbed(truth)
    away = replace(start, translation=torch.where(torch.arange(4)[:, None] == 3, shifted, start.translation))
    problem = blind(problem_of(truth, motion=ANY_MOTION), 3)
    assert pixel_system(problem.scene, away.rows(torch.tensor([3])), film(truth), PixelPrior()) is None
    together = solved(problem, away)
    assert error_px(together, truth)[:3].max() < 0.2
    assert all(getattr(together, name).isfinite().all() for name in EVERYTHING)
    alone, _ = solve_frames(problem, away, torch.arange(4), PER_FRAME)
    expected, _ = solve_frames(problem, away, torch.arange(3), PER_FRAME)
    torch.testing.assert_close(alone.rotation[:3], expected.rotation[:3])
    assert alone.translation[3, 0] == pytest.approx(float(shifted[3, 0]), abs=0.01)


@pytest.mark.parametrize("seed", [4, 11, 23])
def test_no_step_takes_a_head_out_of_sight(seed):
    """There pixels cost nothing, which is no gain. A head at the picture's border, drawn away by what it is not."""
    truth = clip_of(1)
    random = torch.Generator().manual_seed(seed)
    shift = torch.tensor([0.30 + 0.02 * float(torch.rand(1, generator=random)), 0.0, 0.0])
    start, spots = replace(truth, translation=truth.translation + shift), torch.rand(1, 3, 4, 4, generator=random)
    rgb = torch.nn.functional.interpolate(spots, size=SIZE, mode="bicubic").permute(0, 2, 3, 1).clamp(0, 1)
    batch = replace(film(truth), rgb=rgb, alpha=torch.ones(1, *SIZE))
    problem = blind(problem_of(truth, batch, motion=ANY_MOTION), 0)
    alone, _ = solve_frames(problem, start, torch.tensor([0]), PER_FRAME)
    for params in (start, alone, solved(problem, start, 4, PER_FRAME)):
        assert pixel_system(problem.scene, params, batch, PixelPrior()) is not None


def test_a_clip_of_one_frame():
    truth = clip_of(1)
    start = perturbed(truth)
    found = solved(problem_of(truth), start)
    assert error_px(found, truth).max() < 0.15 < error_px(start, truth).min()
    again, _ = solve_frames(problem_of(truth), start, torch.tensor([0]), PER_FRAME)
    assert error_px(again, truth).max() < error_px(start, truth).max()


def test_neighbours_hold_a_frame_that_nothing_else_holds():
    truth = clip_of(3)
    batch = film(truth)
    batch = replace(batch, alpha=torch.zeros_like(batch.rgb[..., 0]))
    start = replace(truth, rotation=truth.rotation + torch.tensor([[0.0], [0.2], [0.0]]))
    found, _ = solve_frames(blind(problem_of(truth, batch), 1), start, torch.tensor([1]), PER_FRAME)
    middle = (truth.rotation[0] + truth.rotation[2]) / 2
    assert (found.rotation[1] - middle).norm() < 0.1 * (start.rotation[1] - middle).norm()


def test_the_same_start_gives_the_same_bits():
    truth = clip_of(2)
    start = perturbed(truth)
    once, again = (solved(problem_of(truth), start, 3) for _ in range(2))
    assert_equal_but(once, again)


def test_texture_is_baked_anew_where_the_head_stands():
    truth = clip_of(2)
    start, places = perturbed(truth), []

    def bake(params: TrackParams) -> Tensor:
        places.append(params.rotation.clone())
        return torch.full_like(params.residual_texture, 0.001 * len(places))

    found = solve_shared(problem_of(truth), start, torch.arange(2), EVERYTHING, bake, 3)
    assert len(places) == 4
    assert torch.equal(places[0], start.rotation)
    kept = [index for index, place in enumerate(places) if torch.equal(place, found.rotation)]
    assert float(found.residual_texture[0, 0, 0, 0]) == pytest.approx(0.001 * (kept[0] + 1))
