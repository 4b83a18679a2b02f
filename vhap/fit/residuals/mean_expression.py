"""A person's mean expression over a sequence is near rest: else identity and mean expression trade places where a clip
shows few expressions, and the neutral head is wrong although every posed one is right.

The mean couples all frames, but with one number an unknown only. It enters the equations as that many more shared
unknowns (the multipliers of a constraint that gives way: a saddle point system, Benzi et al. 2005, section 2), so that
the time stays linear in the number of frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vhap.fit.residuals.motion import N_MOTION

JAW = slice(9, 12)
"""Of a frame's unknowns."""


@dataclass(frozen=True)
class MeanExpression:
    """The prior at unknowns (B, P): K rows, of jaw and expression. residual (K,): means in standard deviations; columns
    (K,): which unknowns they are; share (B,): of each frame in the mean; scales (K,): standard deviations."""

    residual: Tensor
    columns: Tensor
    share: Tensor
    scales: Tensor

    @property
    def cost(self) -> Tensor:
        """()"""
        return self.residual.square().sum()

    def gradient(self, width: int) -> Tensor:
        """(B, P): half the first derivative of the cost."""
        pull = self.residual.new_zeros(width).index_copy(0, self.columns, self.residual / self.scales)
        return self.share[:, None] * pull

    def coupling(self, free: Tensor) -> Tensor:
        """(B, P, K): how the means move with every frame's unknowns; free (P,): 0 for those that are held."""
        each = torch.eye(len(free), dtype=torch.double, device=free.device)[:, self.columns] * free.double()[:, None]
        return self.share.double()[:, None, None] * each

    def curvature(self) -> Tensor:
        """(K, K) of the multipliers: negative, since they maximise."""
        return -torch.diag(self.scales.double().square())


def mean_expression(per_frame: Tensor, counted: Tensor, jaw_rad: float, expr: float) -> MeanExpression:
    """Of per_frame (B, P). counted (B,) bool: frames whose landmarks count; jaw_rad, expr: standard deviations of the
    mean."""
    columns = torch.tensor([*range(JAW.start, JAW.stop), *range(N_MOTION, per_frame.shape[1])], device=per_frame.device)
    scales = torch.full_like(per_frame[0, columns], expr)
    scales[: JAW.stop - JAW.start] = jaw_rad
    share = counted.to(per_frame) / counted.sum().clamp(min=1)
    return MeanExpression((share[:, None] * per_frame[:, columns]).sum(0) / scales, columns, share, scales)
