"""The priors that hold what landmarks leave open: the focal length, and a person's mean expression."""

from dataclasses import replace

import pytest
import torch
from tracked_heads import builtin_head, exact_problem, landmarks_px, moving_params, problem_of, still_params

from vhap.fit.landmarks.first_guess import guess_from_landmarks
from vhap.fit.landmarks.focal_length import describe_focal
from vhap.fit.landmarks.solver import moved_by, solve_landmarks, solve_step
from vhap.fit.normal_equations import empty_equations, with_mean
from vhap.fit.params import N_CAMERA, TrackParams, as_vectors
from vhap.fit.residuals.landmark_problem import LandmarkPrior
from vhap.fit.residuals.mean_expression import mean_expression
from vhap.fit.residuals.motion import no_motion
from vhap.fit.residuals.priors import mean_of

SIZE = (512, 512)


def filmed(frames: int, turning: float, focal: float = 2.0) -> TrackParams:
    """Turned by that share of 29 degrees to both sides; activations as faces have them."""
    params = moving_params(frames, focal=focal)
    translation = params.translation + torch.tensor([0, 0, 1 - focal / 2])
    return replace(params, rotation=turning * params.rotation, translation=translation, expr=params.expr.abs() / 2)


def noisy_problem(truth: TrackParams, noise_px: float = 0.7):
    pixels = landmarks_px(truth, SIZE)
    noise = noise_px * torch.randn(pixels.shape, generator=torch.Generator().manual_seed(0))
    problem = problem_of(builtin_head(), pixels + noise, SIZE)
    return replace(problem, timesteps=2 * problem.timesteps)


def test_gradient_of_the_mean_is_that_of_its_cost():
    local = 0.3 * torch.randn(5, 30, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    counted = torch.tensor([True, True, False, True, True])
    local.requires_grad_()
    mean = mean_expression(local, counted, 0.03, 0.1)
    mean.cost.backward()
    assert local.grad is not None
    torch.testing.assert_close(2 * mean.gradient(30).detach(), local.grad)
    assert not local.grad[2].any()
    assert not local.grad[:, :9].any()
    assert not local.grad[:, 12:18].any()


def test_multipliers_solve_the_dense_equations():
    """A + U D U^T formed and solved, against the step with the multipliers."""
    random = torch.Generator().manual_seed(0)
    frames, own, shared = 4, 24, 5
    local = 0.3 * torch.randn(frames, own, generator=random, dtype=torch.double)
    mean = mean_expression(local, torch.ones(frames, dtype=torch.bool), 0.03, 0.1)
    root = torch.randn(frames * own + shared, frames * own + shared, generator=random, dtype=torch.double)
    whole = torch.zeros_like(root)
    plain = empty_equations(frames, own, shared, torch.device("cpu"))
    for frame in range(frames):
        rows = torch.cat([torch.arange(own) + frame * own, torch.arange(shared) + frames * own])
        block = root[:, rows].T @ root[:, rows]
        whole[rows[:, None], rows] += block
        plain.frames[frame], plain.coupling[frame] = block[:own, :own], block[:own, own:]
        plain.shared.add_(block[own:, own:])
    moves = torch.cat([mean.coupling(torch.ones(own)).flatten(0, 1), torch.zeros(shared, len(mean.columns))])
    whole += moves @ torch.diag(1 / mean.scales.double() ** 2) @ moves.T
    right = -torch.cat([mean.gradient(own).flatten(), torch.zeros(shared)]).double()
    expected = torch.linalg.solve(whole, right)
    by_shared, by_local = solve_step(with_mean(plain, mean, torch.ones(own)), 0.0, no_motion(torch.zeros(frames, own)))
    found = torch.cat([by_local.flatten(), by_shared[:shared]])
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-3)


def test_a_longer_lens_moves_heads_away_at_the_same_size():
    truth = filmed(3, 1.0)
    problem = exact_problem(truth, SIZE)
    common, local = as_vectors(truth)
    step = torch.zeros_like(common)
    step[0] = 0.5
    linear = torch.zeros_like(local)
    linear[:, 5] = -0.5 * (1 - local[:, 5])
    common, local = moved_by(problem, common, local, step, linear)
    assert float(common[0].exp()) == pytest.approx(2 * torch.tensor(0.5).exp().item())
    torch.testing.assert_close(1 - local[:, 5], (1 - truth.translation[:, 2]) * torch.tensor(0.5).exp())


def test_a_long_lens_is_reached_from_a_short_one():
    """Focal length and distance grow by 2.5 together: the valley in which steps were short."""
    truth = filmed(8, 1.0, focal=5.0)
    problem = noisy_problem(truth)
    found = [
        float(
            solve_landmarks(problem, guess_from_landmarks(problem, still_params(8), 8).params, True, count).focal_length
        )
        for count in (1, 200)
    ]
    assert found[0] == pytest.approx(found[1], rel=0.01), found


@pytest.mark.parametrize("focal", [1.5, 2.5])
def test_focal_length_of_a_head_that_turns(focal):
    guess = guess_from_landmarks(noisy_problem(filmed(24, 1.0, focal)), still_params(24), 24)
    assert float(guess.params.focal_length) == pytest.approx(focal, rel=0.05)


def test_prior_holds_the_focal_length_of_a_head_that_does_not_turn():
    """Where the points lie elsewhere on the face than the head's, by 1 % of its size, as a detector's do."""
    truth = filmed(8, 0.05)
    problem = noisy_problem(truth)
    elsewhere = 2.0 * torch.randn(70, 2, generator=torch.Generator().manual_seed(3))
    problem = replace(problem, detected_px=problem.detected_px + elsewhere)
    guess = guess_from_landmarks(problem, still_params(8), 8)
    assert 1.0 < float(guess.params.focal_length) < 4.0
    turning = guess_from_landmarks(noisy_problem(filmed(24, 1.0)), still_params(24), 24)
    assert guess.log_focal_spread is not None
    assert turning.log_focal_spread is not None
    assert turning.log_focal_spread < 0.5 * guess.log_focal_spread < 0.5 * LandmarkPrior().log_focal


def test_log_says_when_the_prior_holds_the_focal_length():
    problem = noisy_problem(filmed(2, 1.0))
    assert describe_focal(2.2, 0.4, problem).startswith(
        "focal length 2.200 picture sides, standard deviation 40 % (prior 2.0, 50 %); held by the prior"
    )
    assert describe_focal(2.2, 0.1, problem).endswith("(prior 2.0, 50 %)")


def test_mean_expression_is_held_near_rest():
    truth = filmed(12, 0.7)
    problem = noisy_problem(truth)
    free = replace(problem, prior=replace(problem.prior, mean_expr=1e4, mean_jaw_rad=1e4))
    start = guess_from_landmarks(problem, still_params(12), 12).params
    held, loose = (solve_landmarks(which, start, with_shared=True) for which in (problem, free))
    costs = [float(mean_of(problem, as_vectors(params)[1]).cost) for params in (held, loose)]
    assert costs[0] < 0.8 * costs[1]
    assert len(as_vectors(held)[0]) == N_CAMERA + len(truth.shape)
