"""Where a run stands, as one file of plain tensors and numbers: read back, the run goes on bit for bit on the CPU."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vhap.tracking.optimizer import Moments, RowAdam
from vhap.tracking.params import TrackParams
from vhap.util.errors import InputError
from vhap.util.files import atomic_path

CHECKPOINT, VERSION = "checkpoint.pt", 5


@dataclass
class Progress:
    """stage: index of the stage at hand; done: its finished units (windows, batches, epochs). What lives as long as a
    stage: optimizer, losses of its epochs."""

    stage: int = 0
    done: int = 0
    optimizer: RowAdam = field(default_factory=RowAdam)
    losses: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Checkpoint:
    """A run between two units. found (T, C) bool, init_frames, beside_pixels: as the first guess gave them; alike: see
    PointPrior; random: state of the random numbers; finished: all stages are done."""

    params: TrackParams
    progress: Progress
    step: int
    found: Tensor
    init_frames: list[int]
    beside_pixels: float
    alike: float
    random: Tensor
    finished: bool


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """The whole file or none."""
    progress = checkpoint.progress
    moments = {
        name: {f.name: getattr(state, f.name) for f in fields(state)}
        for name, state in progress.optimizer.moments.items()
    }
    content = {
        "version": VERSION,
        "params": _tensors(checkpoint.params),
        "moments": moments,
        "stage": progress.stage,
        "done": progress.done,
        "losses": list(progress.losses),
        "step": checkpoint.step,
        "found": checkpoint.found,
        "init_frames": list(checkpoint.init_frames),
        "beside_pixels": checkpoint.beside_pixels,
        "alike": checkpoint.alike,
        "random": checkpoint.random,
        "finished": checkpoint.finished,
    }
    with atomic_path(path) as temporary:
        torch.save(content, temporary)


class OtherVersionError(InputError):
    """A checkpoint of another release, which cannot be continued."""


def load_checkpoint(path: Path, device: torch.device) -> Checkpoint:
    """Reads tensors and numbers only: a file that wants to run code is refused. InputError where it cannot be read,
    OtherVersionError where another release wrote it."""
    expected, remedy = f"expected a checkpoint of version {VERSION} at {path}", "start anew with --exp.resume never"
    try:
        content = torch.load(path, map_location=device, weights_only=True)
        version = content["version"]
    except Exception as error:
        raise InputError(f"{expected}, found {error}; {remedy}") from error
    if version != VERSION:
        raise OtherVersionError(f"{expected}, found version {version}; {remedy}")
    optimizer = RowAdam({name: Moments(**state) for name, state in content["moments"].items()})
    return Checkpoint(
        params=TrackParams(**content["params"]),
        progress=Progress(content["stage"], content["done"], optimizer, content["losses"]),
        step=content["step"],
        found=content["found"].cpu(),
        init_frames=content["init_frames"],
        beside_pixels=content["beside_pixels"],
        alike=content["alike"],
        random=content["random"].cpu(),
        finished=content["finished"],
    )


def _tensors(params: TrackParams) -> dict[str, Any]:
    values = {f.name: getattr(params, f.name) for f in fields(params)}
    return {name: None if value is None else value.detach() for name, value in values.items()}


def moved_on(progress: Progress, finished: bool) -> Progress:
    """After a unit: the next one, or the next stage's first."""
    return Progress(progress.stage + 1) if finished else replace(progress, done=progress.done + 1)
