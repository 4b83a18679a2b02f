"""The equations of landmarks and priors, and what these cost."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from vhap.fit.normal_equations import NormalEquations, empty_equations
from vhap.fit.params import N_CAMERA
from vhap.fit.residuals.landmark_problem import LandmarkProblem
from vhap.fit.residuals.landmarks import LandmarkRows, LinearisationPoint, landmark_rows
from vhap.fit.residuals.motion import N_MOTION
from vhap.fit.residuals.priors import frame_priors, shared_priors
from vhap.fit.residuals.teeth_gaps import TeethGaps
from vhap.util.threads import in_threads

CHUNK_PICTURES = 16
"""Whose equations one thread makes at a time."""


def frame_costs(problem: LandmarkProblem, shared: Tensor, per_frame: Tensor, sigma: Tensor, anchor: Tensor) -> Tensor:
    """(B,) robust landmark residuals and priors of each frame. sigma: (B, C) px."""
    residual = problem.in_deviations(problem.project(shared, per_frame) - problem.detected_px, sigma)
    squared = residual.square().sum(-1)
    prior = frame_priors(problem, per_frame, anchor)[0]
    cost = (problem.weights() * problem.loss.cost(squared)).sum((-2, -1)) + prior.square().sum(-1)
    if problem.teeth is None:
        return cost
    return cost + problem.teeth.shortfall(shared[N_CAMERA:], per_frame[:, N_MOTION:])[0].square().sum(-1)


def normal_equations(
    problem: LandmarkProblem, shared: Tensor, per_frame: Tensor, sigma: Tensor, anchor: Tensor, with_shared: bool = True
) -> NormalEquations:
    """Of landmarks and priors, in double precision. Unless with_shared they are without the shared unknowns: Q = 0.

    The frames are split by their number alone, so that the bits do not depend on the number of threads.
    """
    n_shared = len(shared) if with_shared else 0
    sums = empty_equations(len(per_frame), per_frame.shape[1], n_shared, per_frame.device)
    point = LinearisationPoint.of(problem, shared, per_frame, with_shared)

    @torch.no_grad()
    def add(frames: slice) -> tuple[Tensor, Tensor]:
        rows = landmark_rows(problem.part(frames), point.rows(frames), sigma[frames], with_shared)
        return _add_rows(sums, frames, rows)

    size = max(1, CHUNK_PICTURES // problem.weight.shape[1])
    chunks = [slice(first, first + size) for first in range(0, len(per_frame), size)]
    for of_shared, right_shared in in_threads(add, chunks) if per_frame.device.type == "cpu" else map(add, chunks):
        sums.shared.add_(of_shared)
        sums.right_shared.add_(right_shared)
    _add_priors(problem, sums, shared, per_frame, anchor)
    return sums


def _add_rows(sums: NormalEquations, frames: slice, rows: LandmarkRows) -> tuple[Tensor, Tensor]:
    """Writes what frames have of their own, and returns what they add to the shared block (Q, Q) and to its right-hand
    side (Q,).

    Products of rows may be single precision: what they lose is small beside priors. Not so between motion and camera,
    where focal length and distance replace each other: these few are in double.
    """
    last, expr, shape = N_MOTION + N_CAMERA, rows.by_expr, rows.by_shape
    # Few columns that meet all others: motion, camera, and the residual with its other sign.
    few = torch.cat([rows.by_motion, rows.by_camera, -rows.value[..., None]], -1)
    exact = _products(few.double(), few.double())
    few_expr = _products(few, expr)
    own, motion = sums.frames[frames], slice(0, N_MOTION)
    own[:, motion, motion] = exact[:, motion, motion]
    own[:, motion, N_MOTION:] = few_expr[:, motion]
    own[:, N_MOTION:, motion] = few_expr[:, motion].mT
    own[:, N_MOTION:, N_MOTION:] = _products(expr, expr)
    right = sums.right_frames[frames]
    right[:, motion], right[:, N_MOTION:] = exact[:, motion, last], few_expr[:, last]
    if shape is None:
        return sums.shared, sums.right_shared
    few_shape, coupling, camera = _products(few, shape), sums.coupling[frames], slice(N_MOTION, last)
    coupling[:, motion, :N_CAMERA], coupling[:, motion, N_CAMERA:] = exact[:, motion, camera], few_shape[:, motion]
    coupling[:, N_MOTION:, :N_CAMERA] = few_expr[:, camera].mT
    coupling[:, N_MOTION:, N_CAMERA:] = _products(expr, shape)
    # In whatever order of points and frames the rows stand.
    every = shape.permute(2, 0, 1, 3).flatten(0, 2)
    exact, few_shape = exact.sum(0), few_shape.double().sum(0)
    by_camera = few_shape[camera]
    return (
        torch.cat(
            [
                torch.cat([exact[camera, camera], by_camera], 1),
                torch.cat([by_camera.mT, (every.mT @ every).double()], 1),
            ]
        ),
        torch.cat([exact[camera, last], few_shape[last]]),
    )


def _products(one: Tensor, other: Tensor) -> Tensor:
    """Rows (B, R, N, K) and (B, R, N, M) -> (B, K, M), without a copy of rows that stand point by point."""
    each = one.flatten(0, 1).mT @ other.flatten(0, 1)
    return each.unflatten(0, one.shape[:2]).sum(1)


def _add_priors(
    problem: LandmarkProblem, sums: NormalEquations, shared: Tensor, per_frame: Tensor, anchor: Tensor
) -> None:
    """Priors of single unknowns, and teeth. In double: one that holds next to nothing is lost beside landmarks."""
    residual, scale = frame_priors(problem, per_frame, anchor)
    precision = 1 / scale
    sums.frames.diagonal(dim1=1, dim2=2).add_(precision.double().square())
    sums.right_frames.sub_((residual * precision).double())
    with_shared = len(sums.right_shared) > 0
    if with_shared:
        of_shared, scale = shared_priors(problem, shared)
        sums.shared.diagonal().add_(1 / scale.double().square())
        sums.right_shared.sub_((of_shared / scale).double())
    if problem.teeth is None:
        return
    short, by_shared, by_own = _teeth_rows(problem.teeth, shared, per_frame)
    sums.frames.add_(by_own.mT @ by_own)
    sums.right_frames.sub_((by_own.mT @ short[..., None])[..., 0])
    if with_shared:
        sums.coupling.add_(by_own.mT @ by_shared)
        every = by_shared.flatten(0, 1)
        sums.shared.add_(every.mT @ every)
        sums.right_shared.sub_(short.flatten() @ every)


def _teeth_rows(teeth: TeethGaps, shared: Tensor, per_frame: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Shortfalls (B, K) of the gaps before teeth, their derivatives by shared (B, K, Q) and own unknowns (B, K, P)."""
    short, nearest = teeth.shortfall(shared[N_CAMERA:], per_frame[:, N_MOTION:])
    by_shape, by_expr = teeth.slopes(short, nearest)
    return short.double(), pad(by_shape, (N_CAMERA, 0)).double(), pad(by_expr, (N_MOTION, 0)).double()
