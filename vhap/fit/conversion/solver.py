"""Levenberg-Marquardt on points in space: identity, and every frame's pose and expression, within their bounds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vhap.fit.conversion.problem import ConversionProblem
from vhap.fit.landmarks.solver import ChainEquations
from vhap.fit.levenberg_marquardt import Schedule, descend
from vhap.fit.normal_equations import NormalEquations, empty_equations, hold
from vhap.fit.params import N_CAMERA, TrackParams, as_vectors, from_vectors
from vhap.fit.residuals.motion import N_MOTION, Motion, motion_of, no_motion
from vhap.head.joints import PosedJoints
from vhap.head.model import HeadParams
from vhap.head.points import JointDerivatives, JointMotion, row_derivatives

SCHEDULE = Schedule(damping=1e-4, least=1e-9, raised=10.0, lowered=1 / 10, tries=5, converged=1e-4, promise=1e-5)
CHUNK = 8
"""Frames whose rows are made at a time."""


def solve(
    problem: ConversionProblem, start: TrackParams, names: Sequence[str], rounds: int, smooth: bool = False
) -> TrackParams:
    """Moves the unknowns in names (`shape` is one for all frames) towards the problem's goals. smooth: frames that
    follow each other move smoothly."""
    fit = _Fit(problem, start, names, smooth)
    shared, frames = as_vectors(start)
    low, high = problem.bounds()
    solved = descend(fit.at(shared, frames.clamp(low, high)), fit.equations, rounds, SCHEDULE).state
    return from_vectors(start, solved.shared, solved.frames)


@dataclass(frozen=True)
class _State:
    """shared (Q,), frames (T, P), as `as_vectors`."""

    shared: Tensor
    frames: Tensor
    cost: float


@dataclass(frozen=True)
class _Fit:
    problem: ConversionProblem
    start: TrackParams
    names: Sequence[str]
    smooth: bool

    @property
    def with_shape(self) -> bool:
        return "shape" in self.names

    def at(self, shared: Tensor, frames: Tensor) -> _State:
        cost = 0.0
        for part in _chunks(len(frames)):
            problem = self.problem.rows(part)
            value = _values(problem, self._head(shared, frames[part]))
            cost += float((value.double().square().flatten(1).sum(1) * problem.emphasis).sum())
        prior, _ = _frame_priors(self.problem, frames)
        cost += float(prior.double().square().sum())
        cost += float((shared[N_CAMERA:] / self.problem.prior.shape).double().square().sum())
        if self.smooth:
            cost += float(self._motion(frames).cost.double().sum())
        return _State(shared, frames, cost)

    def equations(self, now: _State) -> _Equations:
        problem, shared = self.problem, now.shared
        count, width = now.frames.shape
        sums = empty_equations(count, width, len(shared) if self.with_shape else 0, shared.device)
        for part in _chunks(len(now.frames)):
            _add(sums, part, problem.rows(part), self._head(shared, now.frames[part]), self.with_shape)
        value, scale = _frame_priors(problem, now.frames)
        sums.frames.diagonal(dim1=1, dim2=2).add_(scale.double() ** -2)
        sums.right_frames.sub_((value / scale).double())
        if self.with_shape:
            sums.shared.diagonal()[N_CAMERA:].add_(problem.prior.shape**-2)
            sums.right_shared[N_CAMERA:].sub_((shared[N_CAMERA:] / problem.prior.shape**2).double())
        system, free, _ = hold(sums, self.start, self.names)
        motion = self._motion(now.frames).only(free) if self.smooth else no_motion(now.frames)
        moving = ~problem.held & ~self._leaving(now.frames, system.right_frames - motion.gradient)
        return _Equations(*_without(system, motion, moving.double()), self, now)

    def _leaving(self, frames: Tensor, right: Tensor) -> Tensor:
        """(T, P) bool: unknowns at a bound, which the cost pulls beyond it."""
        low, high = self.problem.bounds()
        return ((frames <= low) & (right < 0)) | ((frames >= high) & (right > 0))

    def _motion(self, frames: Tensor) -> Motion:
        problem = self.problem
        return motion_of(problem.prior.motion, frames, problem.timesteps, problem.head.expr_names)

    def _head(self, shared: Tensor, frames: Tensor) -> HeadParams:
        count = len(frames)
        rows = self.start.rows(torch.arange(count))
        return replace(from_vectors(rows, shared, frames).head(), static_offset=None)


@dataclass(frozen=True)
class _Equations(ChainEquations):
    fit: _Fit
    now: _State

    def after(self, step: tuple[Tensor, Tensor]) -> _State:
        shared = self.now.shared + step[0] if self.fit.with_shape else self.now.shared
        low, high = self.fit.problem.bounds()
        return self.fit.at(shared, (self.now.frames + step[1]).clamp(low, high))


def _chunks(count: int) -> list[slice]:
    return [slice(first, min(first + CHUNK, count)) for first in range(0, count, CHUNK)]


def _values(problem: ConversionProblem, params: HeadParams) -> Tensor:
    """(B, N, 3) residuals in standard deviations."""
    points = problem.points.with_shape(params.shape)
    motion = JointMotion.of(PosedJoints.of(problem.head, params))
    places = motion.place(points, motion.local(points))
    return (problem.axes @ (places - problem.goals)[..., None])[..., 0]


def _add(sums: NormalEquations, part: slice, problem: ConversionProblem, params: HeadParams, shared: bool) -> None:
    points = problem.points.with_shape(params.shape)
    joints = PosedJoints.of(problem.head, params)
    motion = JointMotion.of(joints)
    local = motion.local(points)
    value = (problem.axes @ (motion.place(points, local) - problem.goals)[..., None])[..., 0]
    by_point = problem.axes.transpose(1, 2)
    rows = row_derivatives(points, local, motion, JointDerivatives.of(joints, shared), by_point, shared)
    own = torch.cat([rows.by_motion, rows.by_expr], -1).flatten(1, 2)
    weighted = own.mT * problem.emphasis[:, None, None].to(own)
    residual = value.transpose(1, 2).flatten(1)
    sums.frames[part] += (weighted @ own).double()
    sums.right_frames[part] -= (weighted @ residual[..., None])[..., 0].double()
    if rows.by_shape is not None:
        by_shape = rows.by_shape.flatten(1, 2)
        sums.coupling[part, :, N_CAMERA:] += (weighted @ by_shape).double()
        heavy = by_shape.mT * problem.emphasis[:, None, None].to(own)
        sums.shared[N_CAMERA:, N_CAMERA:] += (heavy @ by_shape).sum(0).double()
        sums.right_shared[N_CAMERA:] -= (heavy @ residual[..., None])[..., 0].sum(0).double()


def _frame_priors(problem: ConversionProblem, frames: Tensor) -> tuple[Tensor, Tensor]:
    """Residuals (T, P) in standard deviations, and these."""
    prior, head = problem.prior, problem.head
    centre = torch.zeros_like(frames)
    centre[:, 6:9] = problem.neck
    spread = prior.activation if head.has_activations else prior.expr
    jaw = [prior.jaw_rad, prior.jaw_side_rad, prior.jaw_side_rad]
    joints = [1e3] * 6 + [prior.neck_rad] * 3 + jaw + [1e3] * 6
    scale = frames.new_tensor([*joints, *[spread] * (frames.shape[1] - N_MOTION)]).expand_as(frames)
    return (frames - centre) / scale, scale


def _without(system: NormalEquations, motion: Motion, moving: Tensor) -> tuple[NormalEquations, Motion]:
    """The equations with only the unknowns of frames that have 1 in moving (T, P)."""
    frames = system.frames * moving[:, :, None] * moving[:, None]
    frames.diagonal(dim1=1, dim2=2).add_(1 - moving)
    kept = replace(
        system,
        frames=frames,
        coupling=system.coupling * moving[..., None],
        right_frames=system.right_frames * moving,
    )
    both = moving.to(motion.own)
    following, after = (torch.cat([both[step:], torch.zeros_like(both[:step])]) for step in (1, 2))
    return kept, Motion(
        own=motion.own * both,
        next_frame=motion.next_frame * both * following,
        after_next=motion.after_next * both * after,
        gradient=motion.gradient * both,
        cost=motion.cost,
    )
