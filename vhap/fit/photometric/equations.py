"""The normal equations of pictures that are compared with each other, without the albedo of the surface's points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vhap.fit.landmarks.equations import normal_equations
from vhap.fit.normal_equations import NormalEquations, empty_equations, hold
from vhap.fit.params import CAMERA, as_vectors
from vhap.fit.photometric.pictures import GreyPicture
from vhap.fit.photometric.point_albedo import difference_weight
from vhap.fit.photometric.posed_heads import PosedHead, posed_heads
from vhap.fit.photometric.problem import PhotometricProblem, State, Task, for_each, light_change, outline_distance
from vhap.fit.photometric.surface_points import View, outline_derivatives, point_derivatives
from vhap.fit.photometric.system import System
from vhap.fit.residuals.outlines import Outline
from vhap.fit.scene import N_LIGHT

SHARED = (*CAMERA, "shape", "lights")
"""Unknowns that all frames share."""


@dataclass(frozen=True)
class Rows:
    """n residuals of a frame. shared (n, Q'), own (n, P): weighted derivatives by the first Q' shared unknowns and by
    the frame's own; by_albedo (n,): derivatives by the points' albedo; weight (n,); of_own, coupling, of_shared,
    right_own, right_shared: what they add to the normal equations."""

    shared: Tensor
    own: Tensor
    by_albedo: Tensor
    weight: Tensor
    of_own: Tensor
    coupling: Tensor
    of_shared: Tensor
    right_own: Tensor
    right_shared: Tensor

    @classmethod
    def of(cls, by_shared: Tensor, by_own: Tensor, by_albedo: Tensor, weight: Tensor, residual: Tensor) -> Rows:
        shared, own = by_shared * weight[:, None], by_own * weight[:, None]
        return cls(
            shared=shared,
            own=own,
            by_albedo=by_albedo,
            weight=weight,
            of_own=own.T @ by_own,
            coupling=own.T @ by_shared,
            of_shared=shared.T @ by_shared,
            right_own=own.T @ residual,
            right_shared=shared.T @ residual,
        )

    def add_to(self, sums: NormalEquations, frame: int) -> None:
        count = self.shared.shape[1]
        sums.frames[frame] += self.of_own.double()
        sums.coupling[frame, :, :count] += self.coupling.double()
        sums.right_frames[frame] -= self.right_own.double()
        sums.shared[:count, :count] += self.of_shared.double()
        sums.right_shared[:count] -= self.right_shared.double()


def equations_of(task: Task, now: State, names: Sequence[str]) -> System:
    """Equations of pictures, landmarks, priors and motion, without the points' albedo."""
    shared, per_frame = as_vectors(now.params.rows(task.rows))
    n_shared, (frames, n_own), count = len(shared) + N_LIGHT, per_frame.shape, len(task.points.grey)
    sums = empty_equations(frames, n_own, n_shared, per_frame.device)
    by_shared = torch.zeros(count, n_shared, device=per_frame.device)
    by_frame = torch.zeros(frames, count, n_own, device=per_frame.device)
    sure = now.albedo.prior_precision.clone()
    # Most of the work is for what frames share: in the sequential pass it is held.
    with_shared = any(name in names for name in SHARED)

    heads = posed_heads(task.problem.scene.head, now.params.rows(task.rows))

    @torch.no_grad()
    def rows_at(index: tuple[int, int]) -> tuple[Rows, Rows | None]:
        seen, posed = now.views[index], heads[index[0]]
        picture = task.pictures[index[0]][index[1]]
        points = Rows.of(*point_equations(task, now, posed, picture, seen, with_shared))
        if seen.outline is None:
            return points, None
        return points, Rows.of(*_outline_equations(task.problem, posed, picture, seen.outline, with_shared))

    indices = list(now.views)
    for (frame, camera), (points, outline) in zip(indices, for_each(rows_at, indices, per_frame.device)):
        index, by_albedo = now.views[frame, camera].index, points.by_albedo
        points.add_to(sums, frame)
        if with_shared:
            by_shared.index_add_(0, index, points.shared * by_albedo[:, None])
        by_frame[frame].index_add_(0, index, points.own * by_albedo[:, None])
        sure.index_add_(0, index, points.weight * by_albedo.square())
        if outline is not None:
            outline.add_to(sums, frame)
    _add_landmarks(task, now, sums)
    scale = sure.rsqrt()[:, None]
    held, own, shared_free = hold(sums, now.params, names, N_LIGHT)
    by_frame.mul_(scale * own.float())
    return System(held, task.motion(now.params).only(own), by_shared * scale * shared_free.float(), by_frame)


def point_equations(
    task: Task, now: State, posed: PosedHead, picture: GreyPicture, seen: View, shared: bool = True
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """One picture's: derivatives of its n differences by shared (n, N_CAMERA + S + N_LIGHT), (n, 0) unless shared, by
    own unknowns (n, 18 + E) and by albedo (n,), weights and differences (n,)."""
    prior, albedo = task.problem.prior, now.albedo.value
    by_shared, by_own = point_derivatives(
        task.problem.scene, posed, picture, task.points, seen, albedo[seen.index], shared, prior.colour
    )
    residual, weight = difference_weight(seen, albedo, prior)
    return by_shared, by_own, seen.shading / prior.colour, weight, residual


def _outline_equations(
    problem: PhotometricProblem, posed: PosedHead, picture: GreyPicture, outline: Outline, shared: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """As `point_equations`, of an outline's distances, which the albedo does not change."""
    by_shared, by_own = outline_derivatives(problem.scene, posed, picture, outline, shared, problem.outline_spread_px)
    residual = outline_distance(problem, outline)
    weight = problem.outline_share * outline.share * problem.outlines.weight(residual)
    return by_shared, by_own, torch.zeros_like(residual), weight, residual


def _add_landmarks(task: Task, now: State, sums: NormalEquations) -> None:
    """Adds the equations of landmarks and priors, and of the light."""
    landmarks, sigma = task.landmarks()
    shared, per_frame = as_vectors(now.params.rows(task.rows))
    landmark_rows = normal_equations(landmarks, shared, per_frame, sigma, as_vectors(task.start.rows(task.rows))[1])
    sums.frames.add_(landmark_rows.frames)
    sums.right_frames.add_(landmark_rows.right_frames)
    sums.coupling[:, :, :-N_LIGHT] += landmark_rows.coupling
    sums.shared[:-N_LIGHT, :-N_LIGHT] += landmark_rows.shared
    sums.right_shared[:-N_LIGHT] += landmark_rows.right_shared
    light = task.problem.prior.light
    sums.shared.diagonal()[-N_LIGHT:] += 1 / light**2
    sums.right_shared[-N_LIGHT:] -= light_change(task, now.params).double() / light
