"""Priors of single unknowns: joints and expression of a frame, camera and identity of all."""

from __future__ import annotations

import torch
from torch import Tensor

from vhap.fit.params import N_CAMERA
from vhap.fit.residuals.landmark_problem import LandmarkProblem
from vhap.fit.residuals.mean_expression import MeanExpression, mean_expression
from vhap.fit.residuals.motion import N_MOTION

FREE = 100.0
"""Standard deviation of a frame's pose against its anchor: it holds frames without landmarks in place, no others."""


def frame_priors(problem: LandmarkProblem, per_frame: Tensor, anchor: Tensor) -> tuple[Tensor, Tensor]:
    """Residuals (B, P) in standard deviations and these standard deviations (B, P), of per_frame (B, P): joints and
    expression against zero, the pose against its anchor (B, P)."""
    centre = torch.cat([anchor[:, :6], torch.zeros_like(anchor[:, 6:])], -1)
    scales = _scales(problem, per_frame)
    return (per_frame - centre) / scales, scales


def _scales(problem: LandmarkProblem, per_frame: Tensor) -> Tensor:
    prior, expr = problem.prior, per_frame[..., N_MOTION:]
    joints = [FREE] * 6 + [prior.neck_rad] * 3 + [prior.jaw_rad] * 3 + [prior.eyes_rad] * 6
    names = problem.head.expr_names
    if problem.head.has_activations:
        spread = expr.new_tensor([prior.blink if "blink" in name.lower() else prior.activation for name in names])
        spreads = torch.where(expr < 0, spread.clamp(max=prior.below_zero), spread)
    else:
        spreads = torch.full_like(expr, prior.expr)
    return torch.cat([per_frame.new_tensor(joints).expand(*per_frame.shape[:-1], -1), spreads], -1)


def shared_priors(problem: LandmarkProblem, shared: Tensor) -> tuple[Tensor, Tensor]:
    """The same of the shared unknowns (Q,): focal length around that of usual pictures, a rig's unit around that of a
    mean head, identity around the mean."""
    scale = torch.full_like(shared, problem.prior.shape)
    scale[:N_CAMERA] = shared.new_tensor([problem.prior.log_focal, problem.prior.log_scale])
    centre = torch.zeros_like(shared)
    centre[0] = shared.new_tensor(problem.prior.focal).log()
    if problem.shape is not None:
        centre[N_CAMERA:] = problem.shape
    return (shared - centre) / scale, scale


def shared_cost(problem: LandmarkProblem, shared: Tensor) -> Tensor:
    """() what the shared unknowns (Q,) cost by themselves."""
    return shared_priors(problem, shared)[0].square().sum()


def mean_of(problem: LandmarkProblem, per_frame: Tensor) -> MeanExpression:
    """The prior of the mean expression over the frames with landmarks."""
    counted = (problem.weight > 0).flatten(1).any(1)
    return mean_expression(per_frame, counted, problem.prior.mean_jaw_rad, problem.prior.mean_expr)
