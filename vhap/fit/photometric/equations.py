"""The normal equations of pictures that are compared with each other, without the albedo of the surface's points."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vhap.fit.landmarks.solver import NormalEquations, empty_equations, hold, normal_equations
from vhap.fit.params import as_vectors
from vhap.fit.photometric.outlines import Outline
from vhap.fit.photometric.point_albedo import difference_weight
from vhap.fit.photometric.problem import PhotometricProblem, State, Task, for_each_place, light_change, outline_distance
from vhap.fit.photometric.surface_derivatives import PosedHead
from vhap.fit.photometric.surface_points import GreyPicture, View, outline_derivatives, point_derivatives
from vhap.fit.photometric.system import System
from vhap.fit.scene import N_LIGHT


def equations_of(task: Task, now: State, names: Sequence[str]) -> System:
    """Equations of pictures, landmarks, priors and motion, without the points' albedo."""
    common, local = as_vectors(now.params.rows(task.rows))
    n_shared, n_own, frames, count = len(common) + N_LIGHT, local.shape[1], len(task.rows), len(task.points.grey)
    sums = empty_equations(frames, n_own, n_shared, local.device)
    by_shared = torch.zeros(count, n_shared, device=local.device)
    by_frame = torch.zeros(frames, count, n_own, device=local.device)
    sure = now.albedo.prior_precision.clone()

    @torch.no_grad()
    def columns(place: tuple[int, int]) -> list[tuple[Tensor, ...]]:
        seen, posed = now.views[place], posed_at(task, now, place[0])
        picture = task.pictures[place[0]][place[1]]
        outline = [] if seen.outline is None else [_outline_derivatives(task.problem, posed, picture, seen.outline)]
        return [point_equations(task, now, posed, picture, seen), *outline]

    places = list(now.views)
    for (frame, camera), (points, *outline) in zip(places, for_each_place(columns, places, local.device)):
        seen, (moved_by_shared, moved_by_own, by_albedo, weight, residual) = now.views[frame, camera], points
        shared, own = _add_rows(sums, frame, moved_by_shared, moved_by_own, weight, residual)
        by_shared[seen.index] += shared * by_albedo[:, None]
        by_frame[frame].index_add_(0, seen.index, own * by_albedo[:, None])
        sure.index_add_(0, seen.index, weight * by_albedo.square())
        for equations in outline:
            _add_rows(sums, frame, *equations)
    _add_landmarks(task, now, sums)
    scale = sure.rsqrt()[:, None]
    held, own, shared = hold(sums, now.params, names, N_LIGHT)
    by_frame.mul_(scale * own.float())
    return System(held, task.motion(now.params).only(own), by_shared * scale * shared.float(), by_frame)


def posed_at(task: Task, now: State, frame: int) -> PosedHead:
    """The head of one of the frames."""
    return PosedHead.of(task.problem.scene.head, now.params.rows(task.rows[frame : frame + 1]))


def _outline_derivatives(
    problem: PhotometricProblem, posed: PosedHead, picture: GreyPicture, outline: Outline
) -> tuple[Tensor, ...]:
    """Derivatives of an outline's distances by shared and own unknowns, weights and distances."""
    by_shared, by_own = outline_derivatives(problem.scene, posed, picture, outline)
    by_shared, by_own = by_shared / problem.outline_spread_px, by_own / problem.outline_spread_px
    residual = outline_distance(problem, outline)
    weight = problem.outline_share * outline.share * problem.outlines.weight(residual)
    return by_shared, by_own, weight, residual


def _add_rows(
    sums: NormalEquations, frame: int, by_shared: Tensor, by_own: Tensor, weight: Tensor, residual: Tensor
) -> tuple[Tensor, Tensor]:
    """Adds a frame's residuals (n,), weights (n,), and derivatives by the first Q' shared unknowns (n, Q') and its own
    (n, P). Returns the weighted derivatives."""
    shared, own = by_shared * weight[:, None], by_own * weight[:, None]
    count = by_shared.shape[1]
    sums.local[frame] += (own.T @ by_own).double()
    sums.coupling[frame, :, :count] += (own.T @ by_shared).double()
    sums.right_local[frame] -= (own.T @ residual).double()
    sums.shared[:count, :count] += (shared.T @ by_shared).double()
    sums.right_shared[:count] -= (shared.T @ residual).double()
    return shared, own


def point_equations(task: Task, now: State, posed: PosedHead, picture: GreyPicture, seen: View) -> tuple[Tensor, ...]:
    """One picture's: derivatives of its n differences by shared (n, N_CAMERA + S + 9) and own unknowns (n, 18 + E) and
    by albedo (n,), weights and differences (n,)."""
    colour, albedo = task.problem.prior.colour, now.albedo.value[seen.index]
    by_shared, by_own = point_derivatives(task.problem.scene, posed, picture, task.points, seen, albedo)
    residual, weight = difference_weight(seen, now.albedo.value, task.problem.prior)
    return by_shared / colour, by_own / colour, seen.shading / colour, weight, residual


def _add_landmarks(task: Task, now: State, sums: NormalEquations) -> None:
    """Adds the equations of landmarks and priors, and of the light."""
    landmarks, sigma = task.landmarks()
    common, local = as_vectors(now.params.rows(task.rows))
    landmark_rows = normal_equations(landmarks, common, local, sigma, as_vectors(task.start.rows(task.rows))[1])
    sums.local.add_(landmark_rows.local)
    sums.right_local.add_(landmark_rows.right_local)
    sums.coupling[:, :, :-N_LIGHT] += landmark_rows.coupling
    sums.shared[:-N_LIGHT, :-N_LIGHT] += landmark_rows.shared
    sums.right_shared[:-N_LIGHT] += landmark_rows.right_shared
    light = task.problem.prior.light
    sums.shared.diagonal()[-N_LIGHT:] += 1 / light**2
    sums.right_shared[-N_LIGHT:] -= light_change(task, now.params).double() / light
