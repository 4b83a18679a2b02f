"""All pictures at once: it comes back to the truth, makes nothing worse, and moves only what it is asked to."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate, normalize
from tracked_heads import builtin_head, exact_problem, frame_batch, in_picture, moving_params, scene

from vhap.data.sample import FrameBatch
from vhap.fit.params import PER_FRAME, TrackParams
from vhap.fit.photometric import solver
from vhap.fit.photometric.pictures import Pictures, grey_pictures
from vhap.fit.photometric.point_albedo import PointPrior
from vhap.fit.photometric.posed_heads import PosedHeads
from vhap.fit.photometric.problem import FixedAlbedo, PhotometricProblem, evaluate, most_timesteps
from vhap.fit.photometric.residual_correlation import correlation_at
from vhap.fit.photometric.solver import observed_albedo, open_task, solve_jointly
from vhap.fit.photometric.surface_points import PictureBatch, choose_points, find_shown
from vhap.fit.residuals.motion import OFF, MotionPrior
from vhap.head.model import pose
from vhap.render.shading import sh_basis
from vhap.util.threads import get_threads, set_threads

SIZE, TEXTURE = (96, 96), 128
EVERYTHING = (*PER_FRAME, "focal_length", "shape", "lights")
FOCAL = torch.tensor([1.7280701398849487])
"""exp(log(f)) is another float than f."""
ANY_MOTION = MotionPrior(OFF, OFF, OFF, OFF, OFF, OFF, OFF)
POINTS = PointPrior(count=1500)


def clip_of(frames: int) -> TrackParams:
    """Neighbouring frames of a person in calm motion."""
    return moving_params(40, TEXTURE).rows(torch.arange(18, 18 + frames))


def turning_clip(frames: int) -> TrackParams:
    """Frames far apart, which show the head from many sides."""
    return moving_params(frames, TEXTURE)


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


def problem_of(
    truth: TrackParams, batch: FrameBatch | None = None, motion: MotionPrior | None = None
) -> PhotometricProblem:
    shown = frame_batch(truth, SIZE) if batch is None else batch
    names = ("timesteps", "cameras", "rgb", "alpha", "landmarks_px", "confidence")

    def load(rows: Tensor) -> FrameBatch:
        parts = {name: getattr(shown, name) for name in names}
        return replace(shown, **{name: part[rows] for name, part in parts.items() if part is not None})

    landmarks = exact_problem(truth, SIZE)
    prior = landmarks.prior if motion is None else replace(landmarks.prior, motion=motion)
    return PhotometricProblem(scene(SIZE, TEXTURE), replace(landmarks, prior=prior), Pictures(load), prior=POINTS)


def weighed(problem: PhotometricProblem, share: float, *frames: int) -> PhotometricProblem:
    """The problem with a share of the landmarks' weight in some frames."""
    weight = problem.landmarks.weight.clone()
    weight[list(frames)] *= share
    return replace(problem, landmarks=replace(problem.landmarks, weight=weight))


def solved(problem: PhotometricProblem, start: TrackParams, rounds: int = 7, names=EVERYTHING) -> TrackParams:
    return solve_jointly(problem, start, torch.arange(start.n_timesteps), names, rounds)


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


def assert_equal_but(found: TrackParams, start: TrackParams, *names: str) -> None:
    for field in fields(start):
        value, before = getattr(found, field.name), getattr(start, field.name)
        if field.name not in names and before is not None:
            assert torch.equal(value, before), field.name


def shifted(params: TrackParams, frame: int, metres: float) -> TrackParams:
    translation = params.translation.clone()
    translation[frame, 0] += metres
    return replace(params, translation=translation)


def biased(problem: PhotometricProblem, off_px: tuple[float, float]) -> PhotometricProblem:
    wrong = problem.landmarks.detected_px + torch.tensor(off_px)
    return replace(problem, landmarks=replace(problem.landmarks, detected_px=wrong))


def noise(frames: int) -> Tensor:
    return torch.rand(frames, *SIZE, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("make", [clip_of, turning_clip])
def test_it_comes_back_to_the_truth_in_few_rounds(make):
    truth = make(4)
    start = perturbed(truth)
    found = solved(problem_of(truth, motion=ANY_MOTION if make is turning_clip else None), start)
    assert error_px(start, truth).mean() > 1.5
    assert error_px(found, truth).max() < 0.2
    assert error_mm(found, truth).mean() < 0.8 * error_mm(start, truth).mean()
    assert float(found.focal_length) == pytest.approx(float(truth.focal_length), rel=0.15)


@pytest.mark.parametrize("outline_share", [0.0, 1.0])
def test_pictures_alone_are_enough(outline_share):
    truth = clip_of(3)
    start = perturbed(truth)
    problem = replace(weighed(problem_of(truth), 0.0, 0, 1, 2), outline_share=outline_share)
    found = solved(problem, start)
    assert error_px(start, truth).mean() > 1.5
    assert error_px(found, truth).max() < 0.5


def test_shares_weigh_landmarks_and_outlines():
    truth = clip_of(2)
    start, problem = perturbed(truth), biased(problem_of(truth), (3.0, 0.0))
    weak, strong = (solved(replace(problem, landmark_share=share), start) for share in (0.01, 100.0))
    assert error_px(weak, truth).mean() < 0.6
    assert error_px(strong, truth).mean() > 2
    flat = replace(frame_batch(truth, SIZE), rgb=torch.full((2, *SIZE, 3), 0.5))
    blind = weighed(problem_of(truth, flat), 0.0, 0, 1)
    aside = replace(truth, translation=truth.translation + torch.tensor([0.02, 0.0, 0.0]))
    drawn, left = (solved(replace(blind, outline_share=share), aside, 6, ("translation",)) for share in (1.0, 0.0))
    assert error_px(drawn, truth).mean() < 0.3 * error_px(aside, truth).mean()
    assert error_px(left, truth).mean() > 0.7 * error_px(aside, truth).mean()


@pytest.mark.parametrize("noisy", [False, True], ids=["pictures of the head", "noise"])
def test_cost_never_rises(noisy):
    """On the same points: others cost otherwise."""
    truth = clip_of(3)
    batch = replace(frame_batch(truth, SIZE), rgb=noise(3)) if noisy else None
    problem, start = problem_of(truth, batch), perturbed(truth)
    told: list[tuple[int, float]] = []
    rows = torch.arange(3)
    known = observed_albedo(problem, start, rows)
    found = solve_jointly(
        problem, start, rows, EVERYTHING, 6, known, (), lambda at, cost: told.append((at, float(cost)))
    )
    rounds, costs = zip(*told)
    assert rounds == tuple(range(len(told)))
    assert 3 <= len(told) <= 7
    assert all(after < before for before, after in pairwise(costs))
    assert all(getattr(found, name).isfinite().all() for name in EVERYTHING)


@pytest.mark.parametrize("names", [("rotation", "translation"), ("shape",), ("focal_length", "expr")], ids="-".join)
def test_names_that_are_not_asked_stay_bit_for_bit(names):
    truth = clip_of(3)
    start = replace(perturbed(truth), focal_length=FOCAL)
    found = solved(problem_of(truth), start, 2, names)
    assert_equal_but(found, start, *names)
    assert all(not torch.equal(getattr(found, name), getattr(start, name)) for name in names)


def test_frames_that_are_not_asked_keep_their_own_unknowns():
    truth = clip_of(4)
    start = replace(perturbed(truth), focal_length=FOCAL)
    rows = torch.tensor([1, 3])
    found = solve_jointly(problem_of(truth), start, rows, EVERYTHING, 2)
    assert_equal_but(found, start, *EVERYTHING)
    for name in PER_FRAME:
        assert torch.equal(getattr(found, name)[[0, 2]], getattr(start, name)[[0, 2]]), name
    assert (found.rotation[rows] != start.rotation[rows]).all()


def test_a_frame_without_landmarks_does_no_harm():
    truth = clip_of(4)
    start = perturbed(truth)
    problem = weighed(problem_of(truth), 0.0, 1)
    problem.landmarks.detected_px[1] = 0
    assert error_px(solved(problem, start), truth).max() < 0.25


def test_a_head_out_of_sight_does_no_harm():
    truth = clip_of(4)
    away = shifted(perturbed(truth), 3, 5.0)
    problem = weighed(problem_of(truth, motion=ANY_MOTION), 0.0, 3)
    found = solved(problem, away)
    assert error_px(found, truth)[:3].max() < 0.3
    assert all(getattr(found, name).isfinite().all() for name in EVERYTHING)
    assert found.translation[3, 0] == pytest.approx(float(away.translation[3, 0]), abs=0.02)


def test_pictures_without_the_head_change_nothing():
    truth = clip_of(2)
    away = shifted(shifted(perturbed(truth), 0, 5.0), 1, 5.0)
    problem = problem_of(truth)
    assert observed_albedo(problem, away, torch.arange(2)) is None
    assert_equal_but(solved(problem, away), away)


@pytest.mark.parametrize("seed", [4, 11, 23])
def test_no_step_takes_a_head_out_of_sight(seed):
    """There pictures cost nothing, which is no gain. The last head, at the picture's border, is drawn away by what it
    is not."""
    truth, last = clip_of(2), torch.tensor([1])
    random = torch.Generator().manual_seed(seed)
    start = shifted(truth, 1, 0.22 + 0.02 * float(torch.rand(1, generator=random)))
    spots = torch.rand(1, 3, 4, 4, generator=random)
    batch = replace(frame_batch(truth, SIZE), alpha=None)
    batch.rgb[1] = interpolate(spots, size=SIZE, mode="bicubic")[0].permute(1, 2, 0).clamp(0, 1)
    problem = weighed(problem_of(truth, batch, motion=ANY_MOTION), 0.0, 1)
    found = solved(problem, start, 6, PER_FRAME)
    assert not torch.equal(found.translation[1], start.translation[1])
    (shown,) = grey_pictures(batch, [1])
    for params in (start, found):
        batch = PictureBatch.of_one(PosedHeads.of(problem.scene, params.rows(last)), shown)
        assert choose_points(problem.scene, [batch], 100) is not None


def test_a_clip_of_one_frame():
    truth = clip_of(1)
    start = perturbed(truth)
    found = solved(problem_of(truth), start)
    assert error_px(found, truth).max() < 0.3 < error_px(start, truth).min()


def test_the_same_start_gives_the_same_bits():
    truth = clip_of(2)
    start = perturbed(truth)
    once, again = (solved(problem_of(truth), start, 3) for _ in range(2))
    assert_equal_but(once, again)


def seen_before(truth: TrackParams, start: TrackParams, solved_frames: int) -> TrackParams:
    """start with the first frames, and what all share, as they are in truth."""
    frames = torch.arange(truth.n_timesteps)[:, None] < solved_frames
    own = {name: torch.where(frames, getattr(truth, name), getattr(start, name)) for name in PER_FRAME}
    return replace(start, **own, shape=truth.shape, focal_length=truth.focal_length)


def test_a_window_stands_on_known_albedo_and_leans_on_the_frames_before():
    truth = clip_of(5)
    start = seen_before(truth, perturbed(truth), 2)
    problem, window = weighed(problem_of(truth), 0.0, 2, 3, 4), torch.tensor([2, 3, 4])
    known = observed_albedo(problem, start, torch.arange(2))
    assert known is not None

    def error(known: FixedAlbedo | None, before: tuple[int, ...]) -> Tensor:
        found = solve_jointly(problem, start, window, PER_FRAME, 5, known, before)
        assert_equal_but(found, start, *PER_FRAME)
        assert torch.equal(found.rotation[:2], start.rotation[:2])
        return error_px(found, truth)[2:]

    alone, standing, leaning = error(None, ()), error(known, ()), error(known, (0, 1))
    assert error_px(start, truth)[2:].mean() > 0.7
    assert standing.max() < 0.2
    assert standing.mean() < 0.8 * alone.mean()
    assert leaning[0] < 0.7 * standing[0]


def test_frames_before_hold_a_frame_that_nothing_else_holds():
    truth = clip_of(4)
    batch = frame_batch(truth, SIZE)
    assert batch.alpha is not None
    batch.alpha[2] = 0
    start = replace(truth, rotation=truth.rotation + torch.tensor([[0.0], [0.0], [0.05], [0.0]]))
    problem, window = weighed(problem_of(truth, batch), 0.0, 2), torch.tensor([2, 3])
    known = observed_albedo(problem, start, torch.arange(2))
    for before in ((), (0, 1)):
        found = solve_jointly(problem, start, window, PER_FRAME, 5, known, before)
        left = float((found.rotation - truth.rotation)[2].norm() / (start.rotation - truth.rotation)[2].norm())
        assert (left < 0.2) == bool(before)


def test_turning_points_aside_does_not_make_them_count_less(monkeypatch):
    """On a way to the minimum points count as they did at its beginning."""
    truth, looks = turning_clip(3), []

    def spy(task, params):
        looks.append((task, evaluate(task, params)))
        return looks[-1][1]

    monkeypatch.setattr(solver, "evaluate", spy)
    solved(problem_of(truth), perturbed(truth), 3)
    task, first = looks[0]
    later = [state for other, state in looks if other.batches is task.batches][-1]
    assert later is not first
    assert len(task.batches) == len(later.views) == 1
    for batch, posed, seen in zip(task.batches, later.posed, later.views):
        assert torch.equal(seen.share, first.views[0].share)
        afresh = find_shown(task.problem.scene, batch.of(posed), task.points)
        for one, before in zip(afresh, seen.shown.each, strict=True):
            assert one is not None
            assert (one.counts.facing - before.counts.facing).abs().max() > 1e-3


@pytest.mark.parametrize("left", [True, False], ids=["the head has left", "its landmarks are missing"])
def test_a_picture_without_the_head_draws_nothing(left):
    """The last frame has no landmarks; it shows a room, or the head a little beside its place."""
    truth = clip_of(4)
    batch, start = frame_batch(truth, SIZE), shifted(truth, 3, 0.004)
    if left:
        batch.rgb[3], batch.alpha[3] = noise(1)[0], 1.0
    problem = weighed(problem_of(truth, batch, ANY_MOTION), 0.0, 3)
    known = observed_albedo(problem, truth, torch.arange(3))
    assert known is not None
    found = solve_jointly(problem, start, torch.arange(4), ("rotation", "translation"), 8, known)
    moved = float((found.translation[3] - start.translation[3]).norm())
    assert moved < 1e-3 if left else error_px(found, truth)[3] < 0.1


def test_brightness_is_found_where_albedo_is_known():
    """Grey values tell nothing of the light's colour."""
    truth = turning_clip(3)
    known = observed_albedo(problem_of(truth), truth, torch.arange(3))
    change = 0.2 * torch.randn(9, 1, generator=torch.Generator().manual_seed(1))
    lit = replace(truth, lights=truth.lights + change)
    problem = replace(problem_of(lit), prior=replace(POINTS, light=1.0))
    found = solve_jointly(problem, truth, torch.arange(3), ("lights",), 8, known)
    assert_equal_but(found, truth, "lights")
    moved = found.lights - truth.lights
    torch.testing.assert_close(moved, moved[:, :1].expand(9, 3))
    facing = torch.randn(1000, 3, generator=torch.Generator().manual_seed(2))
    facing = normalize(facing, dim=-1)
    facing = facing[facing[:, 2] > 0.3]

    def error(params: TrackParams) -> float:
        return float((sh_basis(facing) @ (params.lights - lit.lights)).abs().mean())

    assert error(found) < 0.2 * error(truth)


def test_it_looks_again_until_nothing_moves():
    """Points chosen and weighed where the head began are not those that count where it ends."""
    truth = turning_clip(3)
    problem, rounds = problem_of(truth), []
    start = perturbed(truth)
    together = torch.arange(3)
    found = solve_jointly(problem, start, together, EVERYTHING, 40, report=lambda index, cost: rounds.append(index))
    assert rounds == list(range(len(rounds)))
    assert len(rounds) < 40
    again = solve_jointly(problem, found, together, EVERYTHING, 40)
    assert error_px(again, found).max() < 0.05 < 1 < error_px(start, found).max()


def test_threads_change_no_bit():
    truth = turning_clip(3)
    problem, start, used = problem_of(truth), perturbed(truth), get_threads()
    try:
        found = []
        for count in (1, 3):
            set_threads(count)
            found.append(solved(problem, start, 2))
    finally:
        set_threads(used)
    assert_equal_but(*found)


def test_more_frames_than_pictures_at_once_are_seen_from_a_few_sides():
    assert most_timesteps(1) == 64
    assert most_timesteps(16) * 3 <= 64 < (most_timesteps(16) + 1) * 3


def test_landmarks_that_are_all_off_alike_do_not_carry_the_head_away(monkeypatch):
    """A detector's bias of two pixels, in pictures of twice the size, at the trust that such a detector gets."""
    monkeypatch.setitem(globals(), "SIZE", (192, 192))
    truth = clip_of(3)
    start = perturbed(truth)
    problem = biased(problem_of(truth), (1.8, -0.9))
    assert error_px(start, truth).mean() > 3
    for share, most in ((0.1, 1.2), (0.005, 0.65)):
        assert error_px(solved(replace(problem, landmark_share=share), start), truth).max() < most


def test_points_count_as_fewer_where_the_head_cannot_show_what_is_seen(monkeypatch):
    """Noise of single pixels leaves points on their own; bumps that no identity has move neighbours the same way."""
    truth, frames = turning_clip(6), torch.arange(6)
    bumps = 0.01 * torch.sin(25 * builtin_head().template)
    monkeypatch.setattr("vhap.fit.photometric.residual_correlation.FEWEST", 0.0)

    def alike(shown: TrackParams) -> float:
        batch = frame_batch(shown, SIZE)
        noisy = replace(batch, rgb=batch.rgb + 0.02 * (noise(6) - 0.5))
        task = open_task(problem_of(truth, noisy), truth, frames)
        assert task is not None
        return correlation_at(task, evaluate(task, truth))

    assert 0.5 < alike(truth) < 5
    assert alike(replace(truth, static_offset=bumps)) > 3 * alike(truth)
