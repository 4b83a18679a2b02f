"""Where a run stands, as one file of plain tensors and numbers: read back, the run goes on bit for bit on the CPU."""

from __future__ import annotations

import hashlib
import io
import math
import os
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vhap.fit.params import TrackParams
from vhap.fit.photometric.problem import FixedAlbedo
from vhap.util.errors import InputError, shown
from vhap.util.files import atomic_path
from vhap.util.log import get_logger

CHECKPOINT, PREVIOUS, VERSION = "checkpoint.pt", "checkpoint_previous.pt", 10
MAGIC = b"VHAPCKPT"
START = len(MAGIC) + hashlib.sha256().digest_size
"""A file is the sign, the SHA-256 of the body, and the body, as torch saves it."""


@dataclass
class Progress:
    """stage: index of the stage at hand; done: its finished windows."""

    stage: int = 0
    done: int = 0


@dataclass(frozen=True)
class Checkpoint:
    """A run between two units. found (T, C) bool, init_frames, beside_pixels: as the first guess gave them;
    correlation: see PointPrior; known: see Tracker; finished: all stages are done."""

    params: TrackParams
    progress: Progress
    step: int
    found: Tensor
    init_frames: list[int]
    beside_pixels: float
    correlation: float
    known: dict[str, FixedAlbedo]
    finished: bool


def save_checkpoint(path: Path, checkpoint: Checkpoint, keep: bool = True) -> None:
    """The whole file or none. keep: the file that was there becomes the previous one. InputError where a number is not
    finite: what was kept before stays."""
    progress = checkpoint.progress
    content = {
        "version": VERSION,
        "params": _tensors(checkpoint.params),
        "stage": progress.stage,
        "done": progress.done,
        "step": checkpoint.step,
        "found": checkpoint.found,
        "init_frames": list(checkpoint.init_frames),
        "beside_pixels": checkpoint.beside_pixels,
        "correlation": checkpoint.correlation,
        "known": {name: albedo.tensors() for name, albedo in checkpoint.known.items()},
        "finished": checkpoint.finished,
    }
    if broken := _not_finite(content):
        raise InputError(
            f"expected finite numbers to keep in {path}, found NaN or infinity in {', '.join(broken)}; the fit has "
            "diverged: track again with other --w options"
        )
    file = io.BytesIO()
    torch.save(content, file)
    with atomic_path(path) as temporary:
        with open(temporary, "wb") as target:
            target.writelines((MAGIC, hashlib.sha256(file.getbuffer()).digest(), file.getbuffer()))
        if keep and path.is_file():
            os.replace(path, path.with_name(PREVIOUS))


class OtherVersionError(InputError):
    """A checkpoint of another release, which cannot be continued."""


def is_whole(path: Path) -> bool:
    """Whether a file is there and its bytes are those that were written."""
    data = path.read_bytes() if path.is_file() else b""
    return data.startswith(MAGIC) and hashlib.sha256(data[START:]).digest() == data[len(MAGIC) : START]


def checkpoint_in(folder: Path) -> bool:
    """Whether a run folder has a checkpoint, whole or not."""
    return any((folder / name).is_file() for name in (CHECKPOINT, PREVIOUS))


def load_checkpoint(folder: Path, device: torch.device) -> Checkpoint:
    """The newest whole checkpoint of a run folder: that of the previous unit where the last one is damaged, which the
    log says. InputError where there is none, OtherVersionError where another release wrote it."""
    try:
        return read_checkpoint(folder / CHECKPOINT, device)
    except OtherVersionError:
        raise
    except InputError as error:
        try:
            checkpoint = read_checkpoint(folder / PREVIOUS, device)
        except InputError:
            raise error from None
        get_logger().warning("%s; taken: the unit before it, %s", str(error).split("; ")[0], PREVIOUS)
        return checkpoint


def read_checkpoint(path: Path, device: torch.device) -> Checkpoint:
    """One file, read as tensors and numbers only: a file that wants to run code is refused."""
    try:
        return _checkpoint_of(_content(path, device))
    except OtherVersionError:
        raise
    # Whatever a file's bytes lead to, it is damaged.
    except Exception as error:
        found = "no such file" if isinstance(error, FileNotFoundError) else shown(f"{type(error).__name__}: {error}")
        raise InputError(
            f"expected a whole checkpoint at {path}, found {found}; start anew with --exp.resume never"
        ) from error


def _content(path: Path, device: torch.device) -> dict[str, Any]:
    """What save_checkpoint was given to keep. ValueError where a byte of it differs, or a number is not finite."""
    data = path.read_bytes()
    head, digest, body = data[: len(MAGIC)], data[len(MAGIC) : START], memoryview(data)[START:]
    if head != MAGIC:
        # Earlier releases wrote the body alone.
        version = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)["version"]
        raise OtherVersionError(
            f"expected a checkpoint of version {VERSION} at {path}, found version {shown(version)}; "
            "start anew with --exp.resume never"
        )
    if hashlib.sha256(body).digest() != digest:
        raise ValueError("its checksum differs")
    content = torch.load(io.BytesIO(body), map_location=device, weights_only=True)
    if content["version"] != VERSION:
        raise OtherVersionError(
            f"expected a checkpoint of version {VERSION} at {path}, found version {shown(content['version'])}; "
            "start anew with --exp.resume never"
        )
    if broken := _not_finite(content):
        raise ValueError(f"NaN or infinity in {', '.join(broken)}")
    return content


def _checkpoint_of(content: dict[str, Any]) -> Checkpoint:
    return Checkpoint(
        params=TrackParams(**content["params"]),
        progress=Progress(content["stage"], content["done"]),
        step=content["step"],
        found=content["found"].cpu(),
        init_frames=content["init_frames"],
        beside_pixels=content["beside_pixels"],
        correlation=content["correlation"],
        known={name: FixedAlbedo.of_tensors(**tensors) for name, tensors in content["known"].items()},
        finished=content["finished"],
    )


def _not_finite(content: Any, name: str = "") -> list[str]:
    """Dotted names of the numbers in nested dicts and lists that are not finite."""
    if isinstance(content, dict | list):
        parts = content.items() if isinstance(content, dict) else enumerate(content)
        return [found for key, part in parts for found in _not_finite(part, f"{name}.{key}" if name else str(key))]
    if isinstance(content, Tensor):
        return [] if bool(torch.isfinite(content).all()) else [name]
    return [name] if isinstance(content, float) and not math.isfinite(content) else []


def _tensors(params: TrackParams) -> dict[str, Any]:
    values = {f.name: getattr(params, f.name) for f in fields(params)}
    return {name: None if value is None else value.detach() for name, value in values.items()}


def moved_on(progress: Progress, finished: bool) -> Progress:
    """After a unit: the next one, or the next stage's first."""
    return Progress(progress.stage + 1) if finished else replace(progress, done=progress.done + 1)
