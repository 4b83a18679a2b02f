"""Paired landmarks, and expressions that are told to be positive: their equations against the cost's derivative."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from tracked_heads import exact_problem, moving_params

from vhap.evaluate.eyes_and_mouth import INNER_LOWER_LIP, INNER_UPPER_LIP
from vhap.fit.landmarks.equations import frame_costs, normal_equations
from vhap.fit.params import as_vectors
from vhap.fit.residuals.landmark_pairs import IBUG_PAIRS, MEDIAPIPE_PAIRS, landmark_pairs
from vhap.fit.residuals.landmark_problem import LandmarkProblem
from vhap.fit.residuals.priors import shared_cost

SIZE = (480, 640)


def pair_costs(problem: LandmarkProblem, difference: Tensor) -> Tensor:
    """What the pairs alone see of differences (B, C, L, 2), in standard deviations."""
    return problem.in_deviations(difference, problem.sigma_px())[:, :, problem.weight.shape[-1] :]


def test_pairs_are_rows_of_the_landmarks_that_a_head_has():
    everything = landmark_pairs("ibug", torch.arange(70))
    assert everything.tolist() == [list(pair) for pair in IBUG_PAIRS]
    few = torch.tensor([67, 5, 61, 62])
    assert landmark_pairs("ibug", few).tolist() == [[2, 0]]
    assert landmark_pairs("mediapipe", torch.arange(478)).tolist() == [list(pair) for pair in MEDIAPIPE_PAIRS]
    assert landmark_pairs("mediapipe", torch.tensor([7])).shape == (0, 2)


def test_what_moves_both_points_alike_costs_a_pair_nothing():
    problem = exact_problem(moving_params(2), SIZE).with_pairs()
    alike = torch.full_like(problem.detected_px, 5.0)
    assert pair_costs(problem, alike).abs().max() == 0
    opened = torch.zeros_like(alike)
    opened[:, :, list(INNER_UPPER_LIP), 1] -= 3
    opened[:, :, list(INNER_LOWER_LIP), 1] += 3
    told = pair_costs(problem, opened).norm(dim=-1)
    expected = 6 / (problem.prior.pair * problem.extent_px())
    torch.testing.assert_close(told[..., -3:], expected[..., None].expand(-1, -1, 3))
    assert told[..., :-3].max() == 0


def test_a_pair_counts_as_its_less_certain_point():
    problem = exact_problem(moving_params(1), SIZE).with_pairs()
    weight = problem.weight.clone()
    weight[..., INNER_UPPER_LIP[0]], weight[..., INNER_LOWER_LIP[1]] = 0.25, 0.0
    assert replace(problem, weight=weight).weights()[0, 0, -3:].tolist() == [0.25, 0.0, 1.0]


def test_a_pair_that_several_cameras_see_counts_once():
    problem = exact_problem(moving_params(1), SIZE).with_pairs()
    weight = problem.weight.expand(-1, 4, -1).clone()
    weight[:, 1, list(INNER_UPPER_LIP)] = 0
    counted = replace(problem, weight=weight).weights()[0, :, -3:]
    torch.testing.assert_close(counted, torch.tensor([1 / 3, 0, 1 / 3, 1 / 3])[:, None].expand(-1, 3))


@pytest.mark.parametrize("named", [False, True], ids=["anonymous", "named"])
def test_equations_are_the_slope_of_the_cost(named):
    """With pairs, and with expressions on both sides of zero."""
    truth = moving_params(2)
    problem = exact_problem(truth, SIZE).with_pairs()
    names = tuple(f"expression{index}" for index in range(truth.expr.shape[1])) if named else ()
    head = replace(problem.head, expr_names=names)
    problem = replace(problem, head=head, prior=replace(problem.prior, below_zero=0.05))
    moved = replace(truth, expr=truth.expr - 0.2, shape=truth.shape + 0.1, rotation=truth.rotation + 0.02)
    common, local = (vector.requires_grad_() for vector in as_vectors(moved))
    assert (local[:, 18:] < 0).any()
    sigma, anchor = problem.sigma_px(), local.detach()
    (frame_costs(problem, common, local, sigma, anchor).sum() + shared_cost(problem, common)).backward()
    told = normal_equations(problem, common.detach(), local.detach(), sigma, anchor)
    for right, slope in ((told.right_frames, local.grad), (told.right_shared, common.grad)):
        assert slope is not None
        torch.testing.assert_close(-2 * right.float(), slope, rtol=2e-3, atol=2e-3 * float(slope.abs().max()))


def test_a_negative_activation_costs_more_than_a_positive_one():
    truth = moving_params(1)
    problem = exact_problem(truth, SIZE)
    count = truth.expr.shape[1]
    named = replace(problem, head=replace(problem.head, expr_names=tuple(f"e{index}" for index in range(count))))
    blank = replace(named, weight=torch.zeros_like(named.weight))

    def cost(value: float) -> float:
        common, local = as_vectors(replace(truth, expr=torch.full_like(truth.expr, value)))
        rest = as_vectors(replace(truth, expr=torch.zeros_like(truth.expr)))[1]
        sigma = blank.sigma_px()
        return float(sum(sign * frame_costs(blank, common, at, sigma, at) for sign, at in ((1, local), (-1, rest))))

    prior = blank.prior
    assert cost(0.3) == pytest.approx(count * (0.3 / prior.activation) ** 2, rel=1e-3)
    assert cost(-0.3) == pytest.approx(count * (0.3 / prior.below_zero) ** 2, rel=1e-3)
