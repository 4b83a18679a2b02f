"""What a run reports while it goes on, and what may listen."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vhap.data.sample import FrameBatch
from vhap.fit.checkpoint import Checkpoint
from vhap.fit.energy import EnergyValue
from vhap.fit.light_views import SeparatedLight
from vhap.fit.params import TrackParams
from vhap.fit.stages import Stage


@dataclass(frozen=True)
class StepEvent:
    """What a callback sees after a step. step counts all steps of the run; done and total those of the stage. batch:
    None where nothing was rendered."""

    stage: Stage
    step: int
    done: int
    total: int
    timesteps: Tensor
    energy: EnergyValue
    params: TrackParams
    batch: FrameBatch | None


class Callback:
    """What may hang on the loop; each does nothing unless it is overridden."""

    def on_stage_begin(self, stage: Stage) -> None:
        """Before every stage, or what is left of it."""

    def on_step(self, event: StepEvent) -> None:
        """After every round of a second-order stage and every first-order step."""

    def on_stage_end(self, stage: Stage, params: TrackParams) -> None:
        """After every stage."""

    def on_light(self, light: SeparatedLight) -> None:
        """Where the light has been separated from the albedo."""

    def on_epoch(self, epoch: int, params: TrackParams) -> None:
        """After the sequential pass (epoch 0) and after every global epoch."""

    def on_checkpoint(self, checkpoint: Checkpoint) -> None:
        """After every unit of work: where the run stands."""
