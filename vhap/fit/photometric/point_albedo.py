"""The albedo of the surface's points: what explains all pictures of them best, and what holds it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vhap.fit.photometric.surface_points import SurfacePoints, View
from vhap.geometry.robust import Cauchy

ROUNDS = 4
CELLS = 16
BASE_LOSS = Cauchy(1.5)
"""Of differences to the base texture, in standard deviations."""
LEAST_COLOUR, HIDDEN = 0.01, 3.0
"""Errors of neighbouring pixels and of neighbouring frames are correlated, and weigh more than residuals show."""
OUTLIER, OUTLIER_TIMES = 0.03, 5.0
"""A picture shows something else where the median difference is beyond both: this much grey, and so many times that of
pictures in which the head was found."""


@dataclass(frozen=True)
class PointPrior:
    """Standard deviations of grey values. colour: a picture's against albedo times shading, at most; base: a person's
    skin against the base texture, colour_offset: the same, of a sixteenth of the texture's side; light: the
    coefficients of the light against those at the start. robust: in standard deviations, from which difference on one
    counts less (Cauchy).
    count: points on the surface; correlation: so many of them count as one, and as many of outlines."""

    colour: float = 0.05
    base: float = 0.1
    colour_offset: float = 0.3
    light: float = 0.3
    robust: float = 3.0
    count: int = 4000
    correlation: float = 10.0


@dataclass(frozen=True)
class PointAlbedo:
    """value (M,): albedo; prior_precision, precision (M,): of expectation and of pictures; cost ():
    robust, of pictures and expectation."""

    value: Tensor
    prior_precision: Tensor
    precision: Tensor
    cost: Tensor


@dataclass(frozen=True)
class _Expected:
    """value (M,), precision (M,) and what deviating from it costs."""

    value: Tensor
    precision: Tensor
    cost: Tensor


def fit_albedo(
    points: SurfacePoints, views: Sequence[View], prior: PointPrior, known: PointAlbedo | None = None
) -> PointAlbedo:
    """Least squares, reweighted a few times.

    known: the albedo of the same points by other pictures; else the base texture is expected, with a colour offset
    of each large patch, and counts as one picture does.
    """
    right, sure = _gather(points, views, prior, None)
    value = torch.where(sure > 0, right / sure.clamp(min=1e-9), points.grey) if known is None else known.value
    for _ in range(ROUNDS):
        right, sure = _gather(points, views, prior, value)
        expected = _near_fixed(known, value) if known else _near_base_texture(points, views, prior, value, right, sure)
        value = (right + expected.precision * expected.value) / (sure + expected.precision)
    expected = _near_fixed(known, value) if known else _near_base_texture(points, views, prior, value, right, sure)
    cost, loss = expected.cost, Cauchy(prior.robust)
    for seen in views:
        squared = (_difference(seen, value) / prior.colour).square()
        cost = cost + (seen.share * loss.cost(squared)).sum()
    return PointAlbedo(value, expected.precision, sure, cost)


def with_noise_level(
    points: SurfacePoints, views: Sequence[View], prior: PointPrior, known: PointAlbedo | None = None
) -> PointPrior:
    """The prior with the standard deviation that differences between these pictures have (by their median)."""
    value = fit_albedo(points, views, prior, known).value
    length = torch.cat([_difference(seen, value).abs() for seen in views]).median()
    return replace(prior, colour=min(prior.colour, max(LEAST_COLOUR, HIDDEN * 1.4826 * float(length))))


def outlier_frames(views: Sequence[tuple[Sequence[int], View]], value: Tensor, found: Sequence[bool]) -> set[int]:
    """Frames without any landmark (found: False) whose pictures are far from the albedo value (M,): the head has left
    them, and must not be drawn to what they show. views: with the frame of each picture."""
    off = [
        (frame, float(each.median()))
        for frames, seen in views
        for frame, each in zip(frames, _of_pictures(seen, _difference(seen, value).abs()), strict=True)
    ]
    usual = sorted(length for frame, length in off if found[frame])
    limit = max(OUTLIER, OUTLIER_TIMES * usual[len(usual) // 2] if usual else 0.0)
    return {frame for frame, length in off if not found[frame] and length > limit}


def _of_pictures(seen: View, values: Tensor) -> Sequence[Tensor]:
    """(N,) picture by picture."""
    return values.split([len(shown.index) for shown in seen.shown.each])


def patches(uv: Tensor) -> Tensor:
    """(M,) which of 16 x 16 patches of the texture points (M, 2) lie in."""
    column, row = (uv * CELLS).floor().clamp(0, CELLS - 1).long().unbind(-1)
    return row * CELLS + column


def difference_weight(seen: View, value: Tensor, prior: PointPrior) -> tuple[Tensor, Tensor]:
    """Render minus picture (n,) in standard deviations at albedo value (M,), and how much each counts (n,)."""
    difference = _difference(seen, value) / prior.colour
    return difference, seen.share * Cauchy(prior.robust).weight(difference.square())


def _difference(seen: View, value: Tensor) -> Tensor:
    return seen.shading * value[seen.index] - seen.value


def _gather(
    points: SurfacePoints, views: Sequence[View], prior: PointPrior, value: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Right-hand side and precision (M,) of the albedo by all pictures, weighed at value."""
    right, sure = torch.zeros_like(points.grey), torch.zeros_like(points.grey)
    for seen in views:
        weight = seen.share if value is None else difference_weight(seen, value, prior)[1]
        weight = weight / prior.colour**2
        right.index_add_(0, seen.index, weight * seen.shading * seen.value)
        sure.index_add_(0, seen.index, weight * seen.shading.square())
    return right, sure


def _near_fixed(known: PointAlbedo, value: Tensor) -> _Expected:
    precision = known.prior_precision + known.precision
    return _Expected(known.value, precision, (precision * (value - known.value).square()).sum())


def _near_base_texture(
    points: SurfacePoints, views: Sequence[View], prior: PointPrior, value: Tensor, right: Tensor, sure: Tensor
) -> _Expected:
    """The base texture plus a colour offset of each patch, which itself is the one that costs least."""
    patch, count = patches(points.uv), CELLS * CELLS
    if points.recording is not None:
        # Each recording has its own light, and so its own colour offsets.
        patch, count = patch + count * points.recording, count * (int(points.recording.max()) + 1)
    empty = points.grey.new_zeros(count)
    pictures = [shown for seen in views for shown in seen.shown.each]
    share = sum(shown.counts.points / len(shown.index) for shown in pictures) / max(1, len(pictures))

    def held_by(offset: Tensor) -> Tensor:
        deviation = (value - points.grey - offset[patch]) / prior.base
        return share / prior.base**2 * BASE_LOSS.weight(deviation.square())

    offset = empty
    for _ in range(2):
        held = held_by(offset)
        both = held * sure / (held + sure)
        wish = torch.where(sure > 0, right / sure.clamp(min=1e-9) - points.grey, 0.0)
        offset = empty.index_add(0, patch, both * wish) / (
            empty.index_add(0, patch, both) + share / prior.colour_offset**2
        )
    deviation = (value - points.grey - offset[patch]) / prior.base
    cost = BASE_LOSS.cost(deviation.square()).sum() + (offset / prior.colour_offset).square().sum()
    return _Expected(points.grey + offset[patch], held_by(offset), share * cost)
