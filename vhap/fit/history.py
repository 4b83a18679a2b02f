"""The losses and seconds of a run by stage, kept in `losses.json` and `seconds.json` for the report."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated, TypedDict

from msgspec import Meta

from vhap.fit.events import Callback, StepEvent
from vhap.fit.params import TrackParams
from vhap.fit.stages import Stage
from vhap.util.cached import read_cached
from vhap.util.errors import InputError, shown
from vhap.util.files import read_json, write_json

MOST_POINTS = 120
"""Steps kept of a stage."""

Real = Annotated[float, Meta(gt=-1e100, lt=1e100)]
Steps = Annotated[int, Meta(ge=0, lt=1 << 31)]


class StoredStage(TypedDict):
    """The fields of `StageLosses`."""

    name: str
    steps: list[Steps]
    total: list[Real | None]
    stride: Annotated[int, Meta(ge=1, lt=1 << 31)]
    count: Steps


class StoredLosses(TypedDict):
    """Of all stages that ran."""

    stages: list[StoredStage]


@dataclass
class StageLosses:
    """Every stride-th round of a stage. steps: counted from the stage's first, 1; total: what the state costs after
    it, None where that was not finite."""

    name: str
    steps: list[int] = field(default_factory=list)
    total: list[float | None] = field(default_factory=list)
    stride: int = 1
    count: int = 0

    def add(self, event: StepEvent) -> None:
        """One more step; steps between strides are only counted."""
        self.count += 1
        if (self.count - 1) % self.stride:
            return
        self.steps.append(self.count)
        self.total.append(event.cost if math.isfinite(event.cost) else None)
        if len(self.steps) > MOST_POINTS:
            self._thin()

    def _thin(self) -> None:
        self.stride *= 2
        self.steps, self.total = self.steps[::2], self.total[::2]


class LossHistory(Callback):
    """Callback: writes `{"stages": [fields of StageLosses]}` when a stage ends.

    A file that is there already is continued: of its stages those that run again are replaced; a damaged one is begun
    anew. Memory and file are bounded by the number of stages, whatever the number of rounds.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        names = [f.name for f in fields(StageLosses)]
        # A damaged file must not end a run: only the page shows it.
        stored = read_cached(path, read_losses)
        stages = [] if stored is None else stored["stages"]
        self.stages = [StageLosses(**{name: stage[name] for name in names}) for stage in stages]
        self.current: StageLosses | None = None

    def on_step(self, event: StepEvent) -> None:
        if self.current is None:
            self.current = StageLosses(event.stage.name)
        self.current.add(event)

    def on_stage_end(self, stage: Stage, params: TrackParams) -> None:
        if self.current is None:
            return
        self.stages = [kept for kept in self.stages if kept.name != stage.name] + [self.current]
        self.current = None
        write_json(self.path, {"stages": [asdict(kept) for kept in self.stages]})


def read_losses(path: Path) -> StoredLosses:
    """Nothing of a run that has no such file, as those of other programs. InputError where it holds something else."""
    if not path.is_file():
        return {"stages": []}
    content: StoredLosses = read_json(path, StoredLosses)
    for stage in content["stages"]:
        if len(stage["steps"]) != len(stage["total"]):
            raise InputError(
                f"expected a value of the loss for each step in {path}, found {len(stage['total'])} for "
                f"{len(stage['steps'])} in stage {shown(stage['name'])}; remove the file, which only the page shows"
            )
    return content


def read_seconds(path: Path) -> dict[str, float]:
    """Seconds by stage; empty where a run has no such file. InputError where it holds something else."""
    return read_json(path, dict[str, Real]) if path.is_file() else {}
