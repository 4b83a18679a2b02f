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

from vhap.fit.landmarks.equations import frame_costs, normal_equations
from vhap.fit.levenberg_marquardt import Schedule, descend
from vhap.fit.normal_equations import NormalEquations, hold, with_mean
from vhap.fit.params import CAMERA, CAMERA_DISTANCE_M, PER_FRAME, TrackParams, as_vectors, from_vectors
from vhap.fit.residuals.landmark_problem import AT_ONCE, LandmarkProblem
from vhap.fit.residuals.motion import Motion, factored_chain, motion_of, no_motion
from vhap.fit.residuals.priors import mean_of, shared_cost

SCHEDULE = Schedule(damping=1e-3, least=1e-9, raised=8.0, lowered=1 / 8, tries=6, converged=1e-5, promise=1e-5)
DEPTH = 5
"""Of a frame's unknowns: the translation towards the camera."""
LANDMARK_UNKNOWNS = (*PER_FRAME, *CAMERA, "shape")


def solve_landmarks(
    problem: LandmarkProblem,
    params: TrackParams,
    with_shared: bool,
    iterations: int = 40,
    smooth: bool = False,
    names: Sequence[str] = LANDMARK_UNKNOWNS,
) -> TrackParams:
    """Improves params (B frames, the problem's) on the landmarks.

    with_shared: solve the camera and the identity too, else only each frame's own unknowns. smooth: frames that follow
    each other move smoothly, else each stands for itself. names: the unknowns that move. Returns new params; a frame
    without landmarks keeps its place, held by the priors. Stops when a step gains less than 1e-5 of the cost.
    """
    shared, per_frame = as_vectors(params)
    fit = _LandmarkFit(problem, params, problem.sigma_px(), per_frame, with_shared, smooth, names)
    solved = descend(fit.at(shared, per_frame), fit.equations, iterations, SCHEDULE).state
    return from_vectors(params, solved.shared, solved.per_frame)


def landmark_cost(problem: LandmarkProblem, params: TrackParams) -> Tensor:
    """() what solve_landmarks makes small, frames taken one by one."""
    shared, per_frame = as_vectors(params)
    total = shared_cost(problem, shared)
    for first in range(0, len(per_frame), AT_ONCE):
        part, own = problem.part(slice(first, first + AT_ONCE)), per_frame[first : first + AT_ONCE]
        total = total + frame_costs(part, shared, own, part.sigma_px(), own).double().sum()
    return total


@dataclass(frozen=True)
class _State:
    """shared (Q,), per_frame (B, P)."""

    shared: Tensor
    per_frame: Tensor
    cost: float


@dataclass(frozen=True)
class _LandmarkFit:
    """What stays while frames are solved. sigma (B, C) px; anchor (B, P): the unknowns at the start."""

    problem: LandmarkProblem
    start: TrackParams
    sigma: Tensor
    anchor: Tensor
    with_shared: bool
    smooth: bool
    names: Sequence[str]

    def at(self, shared: Tensor, per_frame: Tensor) -> _State:
        problem = self.problem
        cost = frame_costs(problem, shared, per_frame, self.sigma, self.anchor).double().sum()
        cost = cost + shared_cost(problem, shared)
        if self.with_shared:
            cost = cost + mean_of(problem, per_frame).cost.double()
        if self.smooth:
            cost = cost + self._motion(per_frame).cost.double().sum()
        return _State(shared, per_frame, float(cost))

    def equations(self, now: _State) -> _LandmarkEquations:
        found = normal_equations(self.problem, now.shared, now.per_frame, self.sigma, self.anchor, self.with_shared)
        system, free, _ = hold(found, self.start, self.names)
        if self.with_shared:
            system = with_mean(system, mean_of(self.problem, now.per_frame), free)
        motion = self._motion(now.per_frame).only(free) if self.smooth else no_motion(now.per_frame)
        return _LandmarkEquations(system, motion, self, now)

    def _motion(self, per_frame: Tensor) -> Motion:
        problem = self.problem
        return motion_of(problem.prior.motion, per_frame, problem.timesteps, problem.head.expr_names)


@dataclass(frozen=True)
class ChainEquations:
    """Of frames that the motion prior joins, and of what they share: all of a descent's equations but where a step
    leads."""

    system: NormalEquations
    motion: Motion

    def solve(self, damping: float) -> tuple[Tensor, Tensor] | None:
        """Steps of shared (Q,) and per-frame unknowns (B, P); None where they are singular."""
        try:
            return solve_step(self.system, damping, self.motion)
        except torch.linalg.LinAlgError:  # pyright: ignore[reportPrivateImportUsage]
            return None

    def gain(self, step: tuple[Tensor, Tensor]) -> float:
        """At least."""
        right = self.system.right_frames - self.motion.gradient
        return float((right * step[1]).sum() + (self.system.right_shared * step[0]).sum())


@dataclass(frozen=True)
class _LandmarkEquations(ChainEquations):
    fit: _LandmarkFit
    now: _State

    def after(self, step: tuple[Tensor, Tensor]) -> _State:
        now, (shared, frames) = self.now, step
        shared = shared if self.fit.with_shared else torch.zeros_like(now.shared)
        return self.fit.at(*moved_by(self.fit.problem, now.shared, now.per_frame, shared, frames))


def moved_by(
    problem: LandmarkProblem, shared: Tensor, per_frame: Tensor, step_shared: Tensor, step_frames: Tensor
) -> tuple[Tensor, Tensor]:
    """The unknowns after a step. A focal length and the distance from the camera replace each other as a product, of
    which a step knows the linear part: heads keep their size in the picture in all orders, else the valley that both
    share is followed in short steps only."""
    shared, moved = shared + step_shared[: len(shared)], per_frame + step_frames
    if problem.given is None:
        grown = step_shared[0]
        further = (CAMERA_DISTANCE_M - per_frame[:, DEPTH]) * (grown.exp() - 1 - grown)
        # A distance that is held makes no step at all.
        moved[:, DEPTH] -= torch.where(step_frames[:, DEPTH] == 0, 0.0, further)
    return shared, moved


def solve_step(system: NormalEquations, damping: float, motion: Motion) -> tuple[Tensor, Tensor]:
    """Marquardt step of the shared unknowns (Q,), none where the equations are without them, and of every frame's own
    (B, P).

    Raises torch.linalg.LinAlgError where the frames' equations are not positive definite."""
    own = system.right_frames - motion.gradient
    band = factored_chain(system.frames, motion, damping * system.frames.diagonal(dim1=1, dim2=2))
    if not len(system.right_shared):
        return system.right_shared.float(), band.solve(own[..., None])[..., 0].float()
    # With A = L L^T of the frames and C the coupling, of which L^-1 C is enough.
    solved = band.forward(torch.cat([system.coupling, own[..., None]], -1))
    by_coupling, by_own = solved[..., :-1], solved[..., -1]
    both = solved.flatten(0, 1)
    products = both[:, :-1].T @ both
    reduced = system.shared + damping * torch.diag(system.shared.diagonal().clamp(min=0)) - products[:, :-1]
    step_shared = torch.linalg.solve(reduced, system.right_shared - products[:, -1])
    step_frames = band.backward((by_own - by_coupling @ step_shared)[..., None]).reshape(-1, own.shape[1])[: len(own)]
    return step_shared.float(), step_frames.float()
