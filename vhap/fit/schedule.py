"""How fast unknowns move, and when a stage gains nothing more."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vhap.config.track import LearningRateConfig
from vhap.fit.params import CAMERA, GROUPS
from vhap.fit.stages import Stage
from vhap.head.model import HeadModel

PLATEAU_GAIN_PER_STEP = 3e-4
RATE_DIVISOR = 3.0
EXPR_DISPLACEMENT_M = 0.3e-3


@dataclass
class RateSchedule:
    """Adam moves by its rate even where the gradient says little, so a stage ends with small steps.

    A plateau divides the rates by 3; after the third one the stage ends. Over the last half of the steps they fall
    linearly. Where the counts are obeyed, plateaus do not matter.
    """

    stage: Stage
    factor: float = 1.0

    def at(self, index: int) -> float:
        remaining = (self.stage.steps - index) / max(1, self.stage.steps)
        return self.factor * self.stage.rate_factor * (min(1.0, 2 * remaining) if self.stage.steps > 1 else 1.0)

    def lower(self) -> bool:
        """After a plateau. False where the stage should end."""
        self.factor /= RATE_DIVISOR
        return self.factor > RATE_DIVISOR**-2.5


@dataclass
class Plateau:
    """Says when a stage gains nothing more: the mean of the last window of losses against the window before.

    A batch's loss falls without noise, so short windows do.
    """

    window: int
    losses: list[float]

    @classmethod
    def of(cls, stage: Stage) -> Plateau:
        return cls(min(10, max(5, stage.steps // 20)), [])

    def reached(self, loss: float) -> bool:
        self.losses.append(loss)
        n = self.window
        if len(self.losses) < 2 * n or len(self.losses) % n:
            return False
        earlier, later = sum(self.losses[-2 * n : -n]), sum(self.losses[-n:])
        return earlier - later < PLATEAU_GAIN_PER_STEP * n * abs(earlier)


def learning_rates(config: LearningRateConfig, head: HeadModel, factor: float) -> dict[str, float | Tensor]:
    """Adam's rate of every unknown; for the expression one for each coefficient (E,).

    lr.expr is given for coefficients that move the head as much as FLAME's do. Those of other heads can move it ten
    times further (an activation of 1 opens the mouth wide); they take smaller steps, equal in millimetres.
    """
    displacement = head.expr_basis.square().sum(1).mean(0).sqrt()
    special = {
        "translation": config.translation,
        "expr": config.expr * (EXPR_DISPLACEMENT_M / displacement.clamp(min=1e-9)).clamp(max=1),
        **dict.fromkeys(CAMERA, config.camera),
        "lights": config.light,
        "static_offset": config.static_offset,
        "dynamic_offset": config.dynamic_offset,
    }
    names = [name for group in GROUPS.values() for name in group]
    return {name: factor * special.get(name, config.base) for name in names}
