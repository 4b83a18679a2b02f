"""Robust losses: what a residual costs, and the weight with which its square stands for that in least squares.

A loss rho(r^2) is minimised by repeated least squares with the weights rho'(r^2) (iteratively reweighted least squares;
Zhang 1997, Parameter estimation techniques, section 9). All are r^2 near zero. Residuals may be vectors: `squared` is
their squared length, in squared standard deviations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


class RobustLoss(Protocol):
    def cost(self, squared: Tensor) -> Tensor:
        """rho of squared residuals, any shape."""
        ...

    def weight(self, squared: Tensor) -> Tensor:
        """The derivative of rho, in [0, 1]."""
        ...


@dataclass(frozen=True)
class Cauchy:
    """scale^2 log(1 + r^2 / scale^2): far residuals still pull, the less the farther they are."""

    scale: float

    def cost(self, squared: Tensor) -> Tensor:
        return self.scale**2 * (squared / self.scale**2).log1p()

    def weight(self, squared: Tensor) -> Tensor:
        return 1 / (1 + squared / self.scale**2)


@dataclass(frozen=True)
class GemanMcClure:
    """r^2 / (1 + r^2 / scale^2), at most scale^2: far residuals are let go (Geman and McClure 1987)."""

    scale: float

    def cost(self, squared: Tensor) -> Tensor:
        return squared / (1 + squared / self.scale**2)

    def weight(self, squared: Tensor) -> Tensor:
        return (1 + squared / self.scale**2) ** -2
