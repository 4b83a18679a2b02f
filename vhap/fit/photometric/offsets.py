"""Offsets of the surface from all pictures at once: one sparse system in the lengths along the normals.

The head stays where it is. A vertex that moves along its normal shifts points in pictures from the side and turns the
normals around it. The albedo of each point is eliminated (variable projection, Golub and Pereyra 1973): only what
pictures from several sides, or under changing shading, agree on moves the surface. The rest stays where it is expected,
on the identity of the head.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csc_array, csr_array, diags_array
from scipy.sparse.linalg import splu
from torch import Tensor

from vhap.fit.params import TrackParams
from vhap.fit.photometric.offset_lengths import ExpectedLengths, LengthUnknowns, embedded
from vhap.fit.photometric.point_albedo import difference_weight
from vhap.fit.photometric.problem import State, Task, evaluate, for_each, outline_distance
from vhap.fit.photometric.surface_points import gradients_of, outline_slopes
from vhap.fit.residuals.surface_derivatives import vertex_derivatives
from vhap.render.warp_surface_points import PointList

SHORTER = (1.0, 0.5, 0.25)
"""Parts of a step that are tried."""
CONVERGED_GAIN = 1e-3

Numbers = np.ndarray


@dataclass(frozen=True)
class OffsetTask:
    """task: pictures and points; unknowns, expected: the lengths; put: the unknowns of all frames with an offset
    (V, 3) in place."""

    task: Task
    unknowns: LengthUnknowns
    expected: ExpectedLengths
    put: Callable[[Tensor], TrackParams]

    def state(self, x: Numbers) -> tuple[State, float]:
        """With lengths and regions' moves x (H + 3 R,), and what it costs in all."""
        lengths = x[: len(self.unknowns.vertices)]
        state = evaluate(self.task, self.put(self.unknowns.offset(lengths)))
        return state, state.cost + self.expected.cost(x)


@dataclass(frozen=True)
class _Rows:
    """Residuals of some pictures: derivatives (N, H) by the lengths, weights and residuals (N,); of points also which
    they are (N,), derivatives by their albedo (N,)."""

    by_length: csr_array
    weight: Numbers
    residual: Numbers
    index: Numbers | None = None
    by_albedo: Numbers | None = None


@torch.no_grad()
def solve_offsets(
    offsets: OffsetTask, start: Numbers, rounds: int, report: Callable[[int, float], None] = lambda index, cost: None
) -> Numbers:
    """Lengths and regions' moves (H + 3 R,) after at most so many rounds of Gauss-Newton from start."""
    x = start
    now, cost = offsets.state(x)
    report(0, cost)
    for index in range(rounds):
        normal, right = _equations(offsets, now, x)
        step = splu(normal, permc_spec="MMD_AT_PLUS_A", options={"SymmetricMode": True}).solve(right)
        better = None
        for part in SHORTER:
            trial, trial_cost = offsets.state(x + part * step)
            if trial_cost < cost:
                better = (x + part * step, trial, trial_cost)
                break
        if better is None:
            break
        gain = (cost - better[2]) / cost
        x, now, cost = better
        report(index + 1, cost)
        if gain < CONVERGED_GAIN:
            break
    return x


def _equations(offsets: OffsetTask, now: State, x: Numbers) -> tuple[csc_array, Numbers]:
    """Normal equations (H + 3 R) of a step from x, the albedo eliminated."""
    task, unknowns = offsets.task, offsets.unknowns

    @torch.no_grad()
    def rows_of(number: int) -> list[_Rows]:
        moves = unknowns.turned(now.posed[number].turned)
        outline = [] if now.views[number].outline is None else [_outline_rows(task, now, number, unknowns, moves)]
        return [_point_rows(task, now, number, unknowns, moves), *outline]

    count = len(unknowns.vertices)
    normal, right = csr_array((count, count)), np.zeros(count)
    crossed, sure = csr_array((count, len(task.points.grey))), now.albedo.prior_precision.cpu().double().numpy()
    for found in for_each(rows_of, list(range(len(task.batches))), task.points.grey.device):
        for rows in found:
            weighted = (diags_array(rows.weight) @ rows.by_length).T
            normal, right = normal + weighted @ rows.by_length, right - weighted @ rows.residual
            if rows.index is not None and rows.by_albedo is not None:
                line = np.arange(len(rows.index))
                by_albedo = csr_array((rows.by_albedo, (line, rows.index)), shape=(len(line), len(sure)))
                crossed = crossed + weighted @ by_albedo
                sure = sure + np.bincount(rows.index, rows.weight * rows.by_albedo**2, len(sure))
    normal = normal - crossed @ diags_array(1 / np.maximum(sure, 1e-12)) @ crossed.T
    expected = offsets.expected
    whole = embedded(csr_array(normal), expected.count) + expected.precision(x)
    return csc_array(whole), np.pad(right, (0, expected.count - count)) - expected.gradient(x)


def _point_rows(task: Task, now: State, number: int, unknowns: LengthUnknowns, moves: Tensor) -> _Rows:
    seen, prior, posed = now.views[number], task.problem.prior, now.posed[number]
    points, batch = seen.shown.points.points, task.batches[number].of(posed)
    found = gradients_of(task.problem.scene, batch, seen, now.albedo.value[seen.index], prior.colour)
    line, vertex, slope = vertex_derivatives(posed, points, found.by_point, found.by_normal).entries()
    residual, weight = difference_weight(seen, now.albedo.value, prior)
    return _Rows(
        unknowns.by_length(line, vertex, slope, moves[_heads(points)[line], vertex], len(seen.index)),
        _numbers(weight),
        _numbers(residual),
        seen.index.cpu().numpy(),
        _numbers(seen.shading / prior.colour),
    )


def _outline_rows(task: Task, now: State, number: int, unknowns: LengthUnknowns, moves: Tensor) -> _Rows:
    problem, seen, posed = task.problem, now.views[number], now.posed[number]
    assert seen.outline is not None
    assert seen.shown.outline is not None
    points, batch = seen.shown.outline.points, task.batches[number].of(posed)
    slope = outline_slopes(problem.scene, batch, points, seen.outline) / problem.outline_spread_px
    line = torch.arange(len(slope)).repeat_interleave(3)
    vertex = points.corners.flatten().long()
    residual = outline_distance(problem, seen.outline)
    weight = problem.outline_share * seen.shown.outline.share * problem.outlines.weight(residual)
    moved = moves[_heads(points)[line], vertex]
    by_length = unknowns.by_length(line, vertex, slope.flatten(0, 1), moved, len(slope))
    return _Rows(by_length, _numbers(weight), _numbers(residual))


def _heads(points: PointList) -> Tensor:
    """(N,) which head each point is of."""
    return points.heads[points.pictures.long()].long()


def _numbers(values: Tensor) -> Numbers:
    return values.cpu().double().numpy()
