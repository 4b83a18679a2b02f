"""Levenberg-Marquardt on landmarks: camera, identity and every frame's pose and expression at once.

The normal equations have an arrow shape (frames meet only in the shared unknowns, and their neighbours), so each step
solves one small system a frame, or a banded one, and one for the shared unknowns (Schur complement; Triggs et al. 2000,
section 6.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from vhap.fit.landmarks.mean_expression import MeanExpression, mean_expression
from vhap.fit.landmarks.motion import N_MOTION, Motion, factored_chain, motion_of, no_motion
from vhap.fit.landmarks.problem import LandmarkProblem
from vhap.fit.landmarks.rows import LandmarkRows, Place, landmark_rows
from vhap.fit.landmarks.teeth_gaps import TeethGaps
from vhap.fit.params import (
    CAMERA,
    CAMERA_DISTANCE_M,
    N_CAMERA,
    PER_FRAME,
    TrackParams,
    as_vectors,
    from_vectors,
)
from vhap.util.threads import in_threads

CHUNK_PICTURES = 16
FREE = 100.0
CONVERGED_GAIN = 1e-5
DEPTH = 5
"""Of a frame's unknowns: the translation towards the camera."""
LANDMARK_UNKNOWNS = (*PER_FRAME, *CAMERA, "shape")


def solve_landmarks(
    problem: LandmarkProblem,
    params: TrackParams,
    shared: bool,
    iterations: int = 40,
    smooth: bool = False,
    names: Sequence[str] = LANDMARK_UNKNOWNS,
) -> TrackParams:
    """Improves params (B frames, the problem's) on the landmarks.

    shared: solve the camera and the identity too, else only each frame's own unknowns. smooth: frames that follow
    each other move smoothly, else each stands for itself. names: the unknowns that move. Returns new params; a frame
    without landmarks keeps its place, held by the priors. Stops when a step gains less than 1e-5 of the cost.
    """
    common, local = as_vectors(params)
    sigma = problem.sigma_px()
    anchor, damping = local.clone(), 1e-3
    cost = _cost(problem, common, local, sigma, anchor, smooth, shared)
    for _ in range(iterations):
        equations = normal_equations(problem, common, local, sigma, anchor, shared)
        system, free, _ = hold(equations, params, names)
        system = with_mean(system, mean_of(problem, local), free) if shared else system
        motion = _motion(problem, local).only(free) if smooth else None
        improved = False
        for _ in range(6):
            try:
                step_common, step_local = solve_step(system, damping, shared, motion)
            except torch.linalg.LinAlgError:  # pyright: ignore[reportPrivateImportUsage]
                # Rounding has made the equations indefinite: damping makes up for it.
                damping *= 8
                continue
            trial = moved_by(problem, common, local, step_common if shared else torch.zeros_like(common), step_local)
            trial_cost = _cost(problem, *trial, sigma, anchor, smooth, shared)
            if bool(trial_cost < cost):
                improved = True
                break
            if float(_promised(system, motion, step_common, step_local)) < CONVERGED_GAIN * float(cost):
                # What is left is less than what costs are rounded to.
                break
            damping *= 8
        if not improved:
            break
        gain = float((cost - trial_cost) / cost)
        (common, local), cost, damping = trial, trial_cost, max(damping / 8, 1e-9)
        if gain < CONVERGED_GAIN:
            break
    return from_vectors(params, common, local)


def _promised(system: NormalEquations, motion: Motion | None, step_common: Tensor, step_local: Tensor) -> Tensor:
    """() by how much a step lowers the cost at least, where the equations hold."""
    right = system.right_local if motion is None else system.right_local - motion.gradient
    return (right * step_local).sum() + (system.right_shared * step_common).sum()


def moved_by(
    problem: LandmarkProblem, common: Tensor, local: Tensor, step_common: Tensor, step_local: Tensor
) -> tuple[Tensor, Tensor]:
    """The unknowns after a step. A focal length and the distance from the camera replace each other as a product, of
    which a step knows the linear part: heads keep their size in the picture in all orders, else the valley that both
    share is followed in short steps only."""
    common, moved = common + step_common[: len(common)], local + step_local
    if problem.given is None:
        grown = step_common[0]
        further = (CAMERA_DISTANCE_M - local[:, DEPTH]) * (grown.exp() - 1 - grown)
        # A distance that is held makes no step at all.
        moved[:, DEPTH] -= torch.where(step_local[:, DEPTH] == 0, 0.0, further)
    return common, moved


def landmark_cost(problem: LandmarkProblem, params: TrackParams) -> Tensor:
    """() what solve_landmarks makes small, frames taken one by one."""
    common, local = as_vectors(params)
    return _cost(problem, common, local, problem.sigma_px(), local, smooth=False, shared=False)


def _motion(problem: LandmarkProblem, local: Tensor) -> Motion:
    return motion_of(problem.prior.motion, local, problem.timesteps, problem.head.expr_names)


def mean_of(problem: LandmarkProblem, local: Tensor) -> MeanExpression:
    """The prior of the mean expression over the frames with landmarks."""
    counted = (problem.weight > 0).flatten(1).any(1)
    return mean_expression(local, counted, problem.prior.mean_jaw_rad, problem.prior.mean_expr)


def _prior_scales(problem: LandmarkProblem, local: Tensor) -> Tensor:
    """(..., P) standard deviations; the pose's is a whisper that holds frames without landmarks in place."""
    prior, expr = problem.prior, local[..., N_MOTION:]
    joints = [FREE] * 6 + [prior.neck_rad] * 3 + [prior.jaw_rad] * 3 + [prior.eyes_rad] * 6
    names = problem.head.expr_names
    spread = expr.new_tensor([prior.blink if "blink" in name.lower() else prior.activation for name in names])
    if names:
        spreads = torch.where(expr < 0, spread.clamp(max=prior.below_zero), spread)
    else:
        spreads = torch.full_like(expr, prior.expr)
    return torch.cat([local.new_tensor(joints).expand(*local.shape[:-1], -1), spreads], -1)


def _prior_residuals(problem: LandmarkProblem, local: Tensor, anchor: Tensor) -> Tensor:
    """(B, P): joints and expression against zero, the pose against its anchor."""
    centre = torch.cat([anchor[:, :6], torch.zeros_like(anchor[:, 6:])], -1)
    return (local - centre) / _prior_scales(problem, local)


def _shared_prior(problem: LandmarkProblem, common: Tensor) -> tuple[Tensor, Tensor]:
    """Residuals of the shared unknowns and their scales: focal length around 1.5 .. 2.5, a rig's unit around that of a
    mean head, identity around the mean."""
    scale = torch.full_like(common, problem.prior.shape)
    scale[:N_CAMERA] = common.new_tensor([problem.prior.log_focal, problem.prior.log_scale])
    centre = torch.zeros_like(common)
    centre[0] = common.new_tensor(problem.prior.focal).log()
    if problem.shape is not None:
        centre[N_CAMERA:] = problem.shape
    return (common - centre) / scale, scale


def _cost(
    problem: LandmarkProblem,
    common: Tensor,
    local: Tensor,
    sigma: Tensor,
    anchor: Tensor,
    smooth: bool,
    shared: bool,
) -> Tensor:
    cost = frame_costs(problem, common, local, sigma, anchor).double().sum() + shared_cost(problem, common)
    cost = cost + mean_of(problem, local).cost.double() if shared else cost
    return cost + _motion(problem, local).cost.double().sum() if smooth else cost


def frame_costs(problem: LandmarkProblem, common: Tensor, local: Tensor, sigma: Tensor, anchor: Tensor) -> Tensor:
    """(B,) robust landmark residuals and priors of each frame. sigma: (B, C) px."""
    residual = problem.in_deviations(problem.project(common, local) - problem.detected_px, sigma)
    squared = residual.square().sum(-1)
    robust = problem.prior.robust**2 * torch.log1p(squared / problem.prior.robust**2)
    own = _prior_residuals(problem, local, anchor)
    cost = (problem.weights() * robust).sum((-2, -1)) + own.square().sum(-1)
    if problem.teeth is None:
        return cost
    return cost + problem.teeth.shortfall(common[N_CAMERA:], local[:, N_MOTION:])[0].square().sum(-1)


def shared_cost(problem: LandmarkProblem, common: Tensor) -> Tensor:
    """() what the shared unknowns cost by themselves."""
    return _shared_prior(problem, common)[0].square().sum()


@dataclass(frozen=True)
class NormalEquations:
    """Blocks of the normal equations: local (B, P, P), coupling (B, P, Q), shared (Q, Q), and right-hand sides."""

    local: Tensor
    coupling: Tensor
    shared: Tensor
    right_local: Tensor
    right_shared: Tensor


def empty_equations(frames: int, n_own: int, n_shared: int, device: torch.device) -> NormalEquations:
    """Zeros, to which the equations of single pictures are added."""

    def zeros(*shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.double, device=device)

    return NormalEquations(
        local=zeros(frames, n_own, n_own),
        coupling=zeros(frames, n_own, n_shared),
        shared=zeros(n_shared, n_shared),
        right_local=zeros(frames, n_own),
        right_shared=zeros(n_shared),
    )


def normal_equations(
    problem: LandmarkProblem, common: Tensor, local: Tensor, sigma: Tensor, anchor: Tensor, shared: bool = True
) -> NormalEquations:
    """Of landmarks and priors, in double precision. Unless shared they are without the shared unknowns: Q = 0.

    The frames are split by their number alone, so that the bits do not depend on the number of threads.
    """
    n_shared = len(common) if shared else 0
    sums = empty_equations(len(local), local.shape[1], n_shared, local.device)
    place = Place.of(problem, common, local)

    @torch.no_grad()
    def add(frames: slice) -> tuple[Tensor, Tensor]:
        rows = landmark_rows(problem.part(frames), place.rows(frames), sigma[frames], shared)
        return _add_rows(sums, frames, rows)

    size = max(1, CHUNK_PICTURES // problem.weight.shape[1])
    chunks = [slice(first, first + size) for first in range(0, len(local), size)]
    for of_shared, right_shared in in_threads(add, chunks) if local.device.type == "cpu" else map(add, chunks):
        sums.shared.add_(of_shared)
        sums.right_shared.add_(right_shared)
    _add_priors(problem, sums, common, local, anchor)
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
    own, motion = sums.local[frames], slice(0, N_MOTION)
    own[:, motion, motion] = exact[:, motion, motion]
    own[:, motion, N_MOTION:] = few_expr[:, motion]
    own[:, N_MOTION:, motion] = few_expr[:, motion].mT
    own[:, N_MOTION:, N_MOTION:] = _products(expr, expr)
    right = sums.right_local[frames]
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


def _add_priors(problem: LandmarkProblem, sums: NormalEquations, common: Tensor, local: Tensor, anchor: Tensor) -> None:
    """Priors of single unknowns, and teeth. In double: one that holds next to nothing is lost beside landmarks."""
    residual, precision = _prior_residuals(problem, local, anchor), 1 / _prior_scales(problem, local)
    sums.local.diagonal(dim1=1, dim2=2).add_(precision.double().square())
    sums.right_local.sub_((residual * precision).double())
    shared = len(sums.right_shared) > 0
    if shared:
        of_shared, scale = _shared_prior(problem, common)
        sums.shared.diagonal().add_(1 / scale.double().square())
        sums.right_shared.sub_((of_shared / scale).double())
    if problem.teeth is None:
        return
    short, by_shared, by_own = _teeth_rows(problem.teeth, common, local)
    sums.local.add_(by_own.mT @ by_own)
    sums.right_local.sub_((by_own.mT @ short[..., None])[..., 0])
    if shared:
        sums.coupling.add_(by_own.mT @ by_shared)
        every = by_shared.flatten(0, 1)
        sums.shared.add_(every.mT @ every)
        sums.right_shared.sub_(short.flatten() @ every)


def _teeth_rows(teeth: TeethGaps, common: Tensor, local: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Shortfalls (B, K) of the gaps before teeth, their derivatives by shared (B, K, Q) and own unknowns (B, K, P)."""
    short, nearest = teeth.shortfall(common[N_CAMERA:], local[:, N_MOTION:])
    by_shape, by_expr = teeth.slopes(short, nearest)
    return short.double(), pad(by_shape, (N_CAMERA, 0)).double(), pad(by_expr, (N_MOTION, 0)).double()


def free_unknowns(params: TrackParams, names: Sequence[str], n_lights: int = 0) -> tuple[Tensor, Tensor]:
    """1 for each unknown that may move, 0 for the others: a frame's own (P,), and shared ones: camera
    (N_CAMERA), shape (S,), lights."""
    own = [(name, getattr(params, name).shape[1]) for name in PER_FRAME]
    shared = [*((name, 1) for name in CAMERA), ("shape", len(params.shape)), ("lights", n_lights)]
    like = params.shape.double()
    free = [torch.cat([like.new_full((width,), name in names) for name, width in part]) for part in (own, shared)]
    return free[0], free[1]


def hold(
    equations: NormalEquations, params: TrackParams, names: Sequence[str], n_lights: int = 0
) -> tuple[NormalEquations, Tensor, Tensor]:
    """The equations with the unknowns that are not in names kept where they are, and 1 for each that is free: of a
    frame's own (P,), of the shared ones."""
    own, common = free_unknowns(params, names, n_lights)
    common = common[: len(equations.right_shared)]
    if bool(own.all()) and bool(common.all()):
        return equations, own, common
    held = NormalEquations(
        local=equations.local * torch.outer(own, own) + torch.diag(1 - own),
        coupling=equations.coupling * torch.outer(own, common),
        shared=equations.shared * torch.outer(common, common) + torch.diag(1 - common),
        right_local=equations.right_local * own,
        right_shared=equations.right_shared * common,
    )
    return held, own, common


def with_mean(equations: NormalEquations, mean: MeanExpression, free: Tensor) -> NormalEquations:
    """The equations with the prior of the mean expression, whose K multipliers stand behind the shared unknowns;
    free (P,): 0 for a frame's unknowns that are held."""
    count = len(mean.columns)
    shared = pad(equations.shared, (0, count, 0, count))
    shared[-count:, -count:] = mean.curvature()
    return NormalEquations(
        local=equations.local,
        coupling=torch.cat([equations.coupling, mean.coupling(free)], -1),
        shared=shared,
        right_local=equations.right_local - mean.gradient(len(free)).double() * free,
        right_shared=pad(equations.right_shared, (0, count)),
    )


def solve_step(
    system: NormalEquations, damping: float, shared: bool, motion: Motion | None = None
) -> tuple[Tensor, Tensor]:
    """Marquardt step of the shared unknowns (zero where they are held) and of every frame's own.

    Raises torch.linalg.LinAlgError where the frames' equations are not positive definite."""
    motion = no_motion(system.right_local) if motion is None else motion
    own = system.right_local - motion.gradient
    band = factored_chain(system.local, motion, damping * system.local.diagonal(dim1=1, dim2=2))
    if not shared:
        return torch.zeros_like(system.right_shared).float(), band.solve(own[..., None])[..., 0].float()
    # With A = L L^T of the frames and C the coupling, of which L^-1 C is enough.
    solved = band.forward(torch.cat([system.coupling, own[..., None]], -1))
    by_coupling, by_own = solved[..., :-1], solved[..., -1]
    both = solved.flatten(0, 1)
    products = both[:, :-1].T @ both
    reduced = system.shared + damping * torch.diag(system.shared.diagonal().clamp(min=0)) - products[:, :-1]
    step_shared = torch.linalg.solve(reduced, system.right_shared - products[:, -1])
    step_local = band.backward((by_own - by_coupling @ step_shared)[..., None]).reshape(-1, own.shape[1])[: len(own)]
    return step_shared.float(), step_local.float()
