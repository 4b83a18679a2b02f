"""The normal equations of pictures that are compared with each other, without the albedo of the surface's points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from vhap.fit.landmarks.equations import normal_equations
from vhap.fit.normal_equations import NormalEquations, empty_equations, hold
from vhap.fit.params import CAMERA, as_vectors
from vhap.fit.photometric.point_albedo import difference_weight
from vhap.fit.photometric.problem import State, Task, for_each, light_change, outline_distance
from vhap.fit.photometric.surface_points import outline_derivatives, point_derivatives
from vhap.fit.photometric.system import System
from vhap.fit.scene import N_LIGHT
from vhap.util.threads import beside

SHARED = (*CAMERA, "shape", "lights")
"""Unknowns that all frames share."""


@dataclass(frozen=True)
class Rows:
    """N residuals. by_shared (N, Q'), by_own (N, P): derivatives by the first Q' shared unknowns, of which none may be,
    and by the frame's own; by_albedo (N,): by the points' albedo; weight, residual (N,)."""

    by_shared: Tensor
    by_own: Tensor
    by_albedo: Tensor
    weight: Tensor
    residual: Tensor


@dataclass(frozen=True)
class Products:
    """What the residuals of one picture add to the normal equations. coupling, of_shared and right_shared have no
    columns where shared unknowns are held."""

    of_own: Tensor
    coupling: Tensor
    of_shared: Tensor
    right_own: Tensor
    right_shared: Tensor

    @classmethod
    def of(cls, rows: Rows, part: slice) -> Products:
        by_own, by_shared, residual = rows.by_own[part], rows.by_shared[part], rows.residual[part]
        weight = rows.weight[part, None]
        own, shared = by_own * weight, by_shared * weight
        return cls(
            of_own=own.T @ by_own,
            coupling=own.T @ by_shared,
            of_shared=shared.T @ by_shared,
            right_own=own.T @ residual,
            right_shared=shared.T @ residual,
        )

    def add_to(self, sums: NormalEquations, frame: int) -> None:
        count = len(self.right_shared)
        sums.frames[frame] += self.of_own
        sums.right_frames[frame] -= self.right_own
        if count:
            sums.coupling[frame, :, :count] += self.coupling
            sums.shared[:count, :count] += self.of_shared
            sums.right_shared[:count] -= self.right_shared


@dataclass(frozen=True)
class BatchRows:
    """Of a batch's points and outlines: the former's weighted derivatives by shared (N, Q'), own unknowns (N, P) times
    those by albedo, and precision (N,) of the albedo; and the products of each of its pictures."""

    by_shared: Tensor
    by_own: Tensor
    precision: Tensor
    products: list[list[Products]]


def equations_of(task: Task, now: State, names: Sequence[str]) -> System:
    """Equations of pictures, landmarks, priors and motion, without the points' albedo."""
    shared, per_frame = as_vectors(now.params.rows(task.rows))
    n_shared, (frames, n_own), count = len(shared) + N_LIGHT, per_frame.shape, len(task.points.grey)
    sums = empty_equations(frames, n_own, n_shared, per_frame.device)
    by_shared = torch.zeros(count, n_shared, device=per_frame.device)
    by_frame = torch.zeros(count, frames, n_own, device=per_frame.device)
    sure = now.albedo.prior_precision.clone()
    # Most of the work is for what frames share: in the sequential pass it is held.
    with_shared = any(name in names for name in SHARED)

    @torch.no_grad()
    def rows_of(number: int) -> BatchRows:
        return _batch_rows(task, now, number, with_shared)

    numbers = list(range(len(task.batches)))
    with beside(partial(_of_landmarks, task, now, with_shared)) as of_landmarks:
        for number, found in zip(numbers, for_each(rows_of, numbers, per_frame.device)):
            batch, index = task.batches[number], now.views[number].index
            of_frames = torch.tensor([frame for frame, _ in batch.indices], device=index.device)
            places = index * frames + of_frames[batch.shown.points.points.pictures.long()]
            by_frame.view(-1, n_own).index_add_(0, places, found.by_own)
            sure.index_add_(0, index, found.precision)
            if with_shared:
                by_shared.index_add_(0, index, found.by_shared)
            for (frame, _), products in zip(batch.indices, found.products):
                for each in products:
                    each.add_to(sums, frame)
        _add_landmarks(task, now, sums, of_landmarks(), with_shared)
    scale = sure.rsqrt()[:, None]
    held, own, shared_free = hold(sums, now.params, names, N_LIGHT)
    by_frame.mul_(scale[..., None]).mul_(own.float())
    return System(held, task.motion(now.params).only(own), by_shared * scale * shared_free.float(), by_frame)


def _batch_rows(task: Task, now: State, number: int, with_shared: bool) -> BatchRows:
    view, points = now.views[number], point_rows(task, now, number, with_shared)
    products = [[Products.of(points, slice(*part))] for part in view.shown.points.ranges]
    if view.outline is not None and view.shown.outline is not None:
        outline = _outline_rows(task, now, number, with_shared)
        for each, part in zip(products, view.shown.outline.ranges):
            each.append(Products.of(outline, slice(*part)))
    mixed = (points.weight * points.by_albedo)[:, None]
    precision = points.weight * points.by_albedo.square()
    return BatchRows(points.by_shared * mixed, points.by_own * mixed, precision, products)


def point_rows(task: Task, now: State, number: int, shared: bool = True) -> Rows:
    """Of a batch's differences: by shared (N, N_CAMERA + S + N_LIGHT), (N, 0) unless shared, by own unknowns
    (N, 18 + E) and by albedo."""
    prior, albedo, seen = task.problem.prior, now.albedo.value, now.views[number]
    batch = task.batches[number].of(now.posed[number])
    by_shared, by_own = point_derivatives(task.problem.scene, batch, seen, albedo[seen.index], shared, prior.colour)
    residual, weight = difference_weight(seen, albedo, prior)
    return Rows(by_shared, by_own, seen.shading / prior.colour, weight, residual)


def _outline_rows(task: Task, now: State, number: int, shared: bool) -> Rows:
    """As `point_rows`, of outlines' distances, which the albedo does not change."""
    problem, seen = task.problem, now.views[number]
    assert seen.outline is not None
    assert seen.shown.outline is not None
    batch = task.batches[number].of(now.posed[number])
    by_shared, by_own = outline_derivatives(problem.scene, batch, seen, shared, problem.outline_spread_px)
    residual = outline_distance(problem, seen.outline)
    weight = problem.outline_share * seen.shown.outline.share * problem.outlines.weight(residual)
    return Rows(by_shared, by_own, torch.zeros_like(residual), weight, residual)


@torch.no_grad()
def _of_landmarks(task: Task, now: State, with_shared: bool) -> NormalEquations:
    """Of landmarks and priors."""
    landmarks, sigma = task.landmarks()
    shared, per_frame = as_vectors(now.params.rows(task.rows))
    anchor = as_vectors(task.start.rows(task.rows))[1]
    return normal_equations(landmarks, shared, per_frame, sigma, anchor, with_shared)


def _add_landmarks(
    task: Task, now: State, sums: NormalEquations, landmark_rows: NormalEquations, with_shared: bool
) -> None:
    """Adds the equations of landmarks and priors, and those of the light."""
    sums.frames.add_(landmark_rows.frames)
    sums.right_frames.add_(landmark_rows.right_frames)
    if not with_shared:
        return
    sums.coupling[:, :, :-N_LIGHT] += landmark_rows.coupling
    sums.shared[:-N_LIGHT, :-N_LIGHT] += landmark_rows.shared
    sums.right_shared[:-N_LIGHT] += landmark_rows.right_shared
    light = task.problem.prior.light
    sums.shared.diagonal()[-N_LIGHT:] += 1 / light**2
    sums.right_shared[-N_LIGHT:] -= light_change(task, now.params).double() / light
