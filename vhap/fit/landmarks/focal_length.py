"""How well landmarks determine the focal length: its standard deviation a posteriori, and a line for the log."""

from __future__ import annotations

import math

import torch

from vhap.fit.landmarks.equations import normal_equations
from vhap.fit.landmarks.solver import LANDMARK_UNKNOWNS
from vhap.fit.normal_equations import hold, with_mean
from vhap.fit.params import TrackParams, as_vectors
from vhap.fit.residuals.landmark_problem import LandmarkProblem
from vhap.fit.residuals.motion import factored_chain, motion_of
from vhap.fit.residuals.priors import mean_of

HELD_SHARE = 0.5
"""A posterior that is not narrower than this share of the prior owes more to the prior than to the frames."""


@torch.no_grad()
def log_focal_spread(problem: LandmarkProblem, params: TrackParams) -> float:
    """Standard deviation of the logarithm of the focal length at the solved params (B frames, the problem's), all
    other unknowns marginalised: from the inverse of the normal equations."""
    shared, per_frame = as_vectors(params)
    equations = normal_equations(problem, shared, per_frame, problem.sigma_px(), per_frame)
    held, free, _ = hold(equations, params, LANDMARK_UNKNOWNS)
    system = with_mean(held, mean_of(problem, per_frame), free)
    motion = motion_of(problem.prior.motion, per_frame, problem.timesteps, problem.head.expr_names)
    chain = factored_chain(system.frames, motion, system.frames.new_zeros(()))
    by_coupling = chain.forward(system.coupling).flatten(0, 1)
    reduced = system.shared - by_coupling.T @ by_coupling
    # A known camera's unknowns have no equations but their priors'.
    first = torch.zeros_like(reduced[0])
    first[0] = 1
    return math.sqrt(max(0.0, float(torch.linalg.solve(reduced, first)[0])))


def describe_focal(focal: float, spread: float, problem: LandmarkProblem) -> str:
    """One line: value, standard deviation, prior, and whether the prior holds it."""
    prior = problem.prior
    line = (
        f"focal length {focal:.3f} picture sides, standard deviation {100 * spread:.0f} % "
        f"(prior {prior.focal:.1f}, {100 * prior.log_focal:.0f} %)"
    )
    held = spread > HELD_SHARE * prior.log_focal
    return line + ("; held by the prior, since the frames do not determine it: give --data.fx" if held else "")
