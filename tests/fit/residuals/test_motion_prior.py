"""The motion prior: its derivatives, the banded solver against a dense one, and frames that are held."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from vhap.config.track import LossWeightConfig
from vhap.fit.residuals.motion import OFF, Motion, MotionPrior, Spreads, motion_of, motion_prior, solve_chain

FRAMES, WIDTH = 7, 21
NAMES = ("eyeBlink_L", "jawOpen", "smile")


def some_motion(timesteps: Tensor | None = None, seed: int = 0) -> tuple[Tensor, Motion, Tensor]:
    times = torch.arange(FRAMES) if timesteps is None else timesteps
    random = torch.Generator().manual_seed(seed)
    local = 0.01 * torch.randn(FRAMES, WIDTH, generator=random, dtype=torch.float64)
    return local, motion_of(MotionPrior(), local, times, NAMES), times


def dense(motion: Motion) -> Tensor:
    """(B P, B P) of what solve_chain takes as bands."""
    matrix = torch.zeros(FRAMES, WIDTH, FRAMES, WIDTH, dtype=torch.float64)
    index = torch.arange(WIDTH)
    for step, values in enumerate((motion.own, motion.next_frame, motion.after_next)):
        for frame in range(len(motion.own) - step):
            matrix[frame, index, frame + step, index] += values[frame]
            if step:
                matrix[frame + step, index, frame, index] += values[frame]
    frames = len(motion.own)
    return matrix[:frames, :, :frames].reshape(frames * WIDTH, frames * WIDTH)


def test_gradient_is_half_the_derivative_of_the_cost():
    local, motion, times = some_motion()
    leaf = local.clone().requires_grad_(True)
    motion_of(MotionPrior(), leaf, times, NAMES).cost.sum().backward()
    assert leaf.grad is not None
    torch.testing.assert_close(2 * motion.gradient, leaf.grad)


def test_bands_are_the_second_derivatives_where_nothing_is_robust():
    times = torch.tensor([0, 1, 2, 3, 7, 8, 9])
    local = some_motion()[0]
    prior = replace(MotionPrior(), robust=1e6)
    hessian = torch.autograd.functional.hessian(
        lambda x: motion_of(prior, x.view(FRAMES, WIDTH), times, NAMES).cost.sum(), local.flatten()
    )
    torch.testing.assert_close(dense(motion_of(prior, local, times, NAMES)), hessian / 2, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rows", [list(range(FRAMES)), [0, 2, 3, 6], [1, 2, 5]], ids=str)
def test_chain_is_solved_as_the_whole_matrix_is(rows):
    _, motion, _ = some_motion()
    kept, count = torch.tensor(rows), len(rows)
    part = motion.rows(kept)
    random = torch.Generator().manual_seed(1)
    root = torch.randn(count, WIDTH, WIDTH, generator=random, dtype=torch.float64)
    blocks, right = root @ root.mT, torch.randn(count, WIDTH, 3, generator=random, dtype=torch.float64)
    places = (kept[:, None] * WIDTH + torch.arange(WIDTH)).flatten()
    expected = dense(motion)[places][:, places] + torch.block_diag(*blocks)
    solved = torch.linalg.solve(expected, right.reshape(count * WIDTH, 3)).view(count, WIDTH, 3)
    torch.testing.assert_close(solve_chain(blocks, part, right), solved)


def test_only_frames_one_timestep_apart_hold_each_other():
    _, motion, _ = some_motion(3 * torch.arange(FRAMES))
    assert motion.cost.sum() == motion.own.sum() == motion.gradient.abs().sum() == 0
    _, motion, _ = some_motion(torch.tensor([0, 1, 2, 5, 6, 8, 9]))
    assert torch.nonzero(motion.cost).flatten().tolist() == [1]


def test_steady_motion_costs_nothing():
    local = torch.arange(FRAMES, dtype=torch.float64)[:, None] * torch.linspace(-1, 1, WIDTH, dtype=torch.float64)
    assert motion_of(MotionPrior(), local, torch.arange(FRAMES), NAMES).cost.abs().max() < 1e-12


def test_weights_of_the_energy_tighten_and_loosen_it():
    weights = LossWeightConfig()
    assert motion_prior(Spreads(weights)) == MotionPrior()
    assert motion_prior(Spreads(replace(weights, smooth_rot=0))).rotation_rad == OFF
    tight = motion_prior(Spreads(replace(weights, smooth_trans=4 * weights.smooth_trans)))
    assert tight.translation_m == pytest.approx(MotionPrior().translation_m / 2)
