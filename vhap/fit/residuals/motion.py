"""Heads move smoothly: second differences of each frame's unknowns, and the banded systems that they make."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache

import torch
from torch import Tensor

from vhap.config.track import LossWeightConfig
from vhap.fit.block_band import BlockBand
from vhap.geometry.robust import Cauchy

N_MOTION = 18
"""Unknowns of a frame before its expression: rotation, translation, neck, jaw (3 each) and both eyes (6)."""

OFF = 1e4
"""A standard deviation that holds nothing."""


@dataclass(frozen=True)
class MotionPrior:
    """Standard deviations of a frame's unknowns against the mean of both neighbours', at 25 frames a second: a head
    that nods by 0.3 rad once in two seconds is 0.0025 rad off that mean at most. Faster motion counts less (Cauchy,
    from `robust` standard deviations on); lids and gaze jump."""

    rotation_rad: float = 0.003
    translation_m: float = 0.0005
    neck_rad: float = 0.003
    jaw_rad: float = 0.03
    eyes_rad: float = 0.15
    expr: float = 0.1
    blink: float = 0.3
    robust: float = 2.0

    def scales(self, per_frame: Tensor, expr_names: tuple[str, ...]) -> Tensor:
        """(P,) in the order of PER_FRAME."""
        return _scales(self, expr_names, per_frame.shape[1]).to(per_frame)


@lru_cache
def _scales(prior: MotionPrior, expr_names: tuple[str, ...], count: int) -> Tensor:
    """(P,) for `count` unknowns."""
    values = [prior.rotation_rad] * 3 + [prior.translation_m] * 3 + [prior.neck_rad] * 3 + [prior.jaw_rad] * 3
    blinks = [prior.blink if "blink" in name.lower() else prior.expr for name in expr_names]
    # Kept, so not one that is for inference alone where the first caller is.
    with torch.inference_mode(False):
        return torch.tensor(values + [prior.eyes_rad] * 6 + (blinks or [prior.expr] * (count - N_MOTION)))


@dataclass(frozen=True)
class Motion:
    """The motion prior about one value of the unknowns, for B frames with P unknowns each.

    own, next_frame, after_next (B, P): half its second derivatives by a frame's unknown alone, and mixed with the same
    unknown of the frames that stand one and two frames behind it; gradient (B, P): half the first derivative; cost
    (B,): of each frame against its neighbours.
    """

    own: Tensor
    next_frame: Tensor
    after_next: Tensor
    gradient: Tensor
    cost: Tensor

    def only(self, free: Tensor) -> Motion:
        """Of the unknowns with 1 in free (P,); the others, with 0, are held."""
        return Motion(self.own * free, self.next_frame * free, self.after_next * free, self.gradient * free, self.cost)

    def rows(self, rows: Tensor) -> Motion:
        """Of some frames (B,), ascending; the others are held."""
        rows = rows.to(self.own.device)
        has_next, has_after = (torch.isin(rows + step, rows)[:, None] for step in (1, 2))
        after = self.after_next[rows] * has_after
        next_row = torch.where(has_next, self.next_frame[rows], after)
        return Motion(self.own[rows], next_row, after * has_next, self.gradient[rows], self.cost[rows])


@dataclass(frozen=True)
class Spreads:
    """Standard deviations by weights: those at hand, and the usual ones, at which standard deviations stand as they
    are."""

    weights: LossWeightConfig
    usual: LossWeightConfig = field(default_factory=LossWeightConfig)

    def of(self, name: str, spread: float) -> float:
        """Smaller by the square root of a larger weight, off at 0."""
        weight, usual = getattr(self.weights, name), getattr(self.usual, name)
        return min(OFF, spread * ((usual or weight) / weight) ** 0.5) if weight > 0 else OFF


def motion_prior(spreads: Spreads) -> MotionPrior:
    """The prior that fits the temporal weights. Joints of the face follow smooth_expr."""
    prior = MotionPrior()
    return replace(
        prior,
        rotation_rad=spreads.of("smooth_rot", prior.rotation_rad),
        translation_m=spreads.of("smooth_trans", prior.translation_m),
        neck_rad=spreads.of("smooth_neck", prior.neck_rad),
        jaw_rad=spreads.of("smooth_jaw", prior.jaw_rad),
        **{name: spreads.of("smooth_expr", getattr(prior, name)) for name in ("eyes_rad", "expr", "blink")},
    )


def motion_of(prior: MotionPrior, per_frame: Tensor, timesteps: Tensor, expr_names: tuple[str, ...]) -> Motion:
    """The prior at the unknowns per_frame (B, P) of frames timesteps (B,), ascending. A frame counts where its
    neighbours are one timestep away on both sides."""
    scales = prior.scales(per_frame, expr_names)
    consecutive = torch.diff(timesteps) == 1
    middle = (torch.nonzero(consecutive[:-1] & consecutive[1:]).flatten() + 1).to(per_frame.device)
    residual = (per_frame[middle] - (per_frame[middle - 1] + per_frame[middle + 1]) / 2) / scales
    loss, squared = Cauchy(prior.robust), residual.square()
    precision = loss.weight(squared) / scales**2
    pull = precision * residual * scales
    zeros = torch.zeros_like(per_frame)
    around = (middle, middle - 1, middle + 1)
    own, gradient = zeros.clone(), zeros.clone()
    for frames, share in zip(around, (1.0, -0.5, -0.5)):
        own.index_add_(0, frames, precision * share**2)
        gradient.index_add_(0, frames, pull * share)
    return Motion(
        own=own,
        next_frame=zeros.index_add(0, middle - 1, -precision / 2).index_add(0, middle, -precision / 2),
        after_next=zeros.index_add(0, middle - 1, precision / 4),
        gradient=gradient,
        cost=zeros[:, 0].index_add(0, middle, loss.cost(squared).sum(1)),
    )


def solve_chain(blocks: Tensor, motion: Motion, right: Tensor) -> Tensor:
    """Solves (blocks + motion) x = right (B, P, K); blocks (B, P, P) of single frames, symmetric."""
    return factored_chain(blocks, motion, blocks.new_zeros(())).solve(right)


def factored_chain(blocks: Tensor, motion: Motion, extra: Tensor) -> BlockBand:
    """blocks (B, P, P) of single frames, symmetric, with motion and with extra (B, P) or () on the diagonal.

    Raises torch.linalg.LinAlgError where they are not positive definite."""
    whole = torch.empty_like(blocks, dtype=torch.double).copy_(blocks)
    whole.diagonal(dim1=1, dim2=2).add_(motion.own.double() + extra)
    return BlockBand.of(whole, motion.next_frame, motion.after_next)


def no_motion(per_frame: Tensor) -> Motion:
    """Of frames (B, P) that do not know each other."""
    zeros = torch.zeros_like(per_frame)
    return Motion(zeros, zeros, zeros, zeros, zeros[:, 0])
