"""What a run reports while it goes on, and what may listen."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vhap.fit.checkpoint import Checkpoint
from vhap.fit.light_views import SeparatedLight
from vhap.fit.params import TrackParams
from vhap.fit.stages import Stage


@dataclass(frozen=True)
class StepEvent:
    """What a callback sees after a round. step counts all rounds of the run; done and total those of the stage."""

    stage: Stage
    step: int
    done: int
    total: int
    timesteps: Tensor
    cost: float
    params: TrackParams


class Callback:
    """What may hang on the loop; each does nothing unless it is overridden."""

    def on_stage_begin(self, stage: Stage) -> None:
        """Before every stage, or what is left of it."""

    def on_step(self, event: StepEvent) -> None:
        """After every round of a stage."""

    def on_stage_end(self, stage: Stage, params: TrackParams) -> None:
        """After every stage."""

    def on_light(self, light: SeparatedLight) -> None:
        """Where the light has been separated from the albedo."""

    def on_epoch(self, epoch: int, params: TrackParams) -> None:
        """Where a result stands: of the sequential pass (0), of the finished run (30, or as many as num_epochs)."""

    def on_checkpoint(self, checkpoint: Checkpoint) -> None:
        """After every unit of work: where the run stands."""
