"""`evaluation.json` of a run folder, read back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

from vhap.fit.history import Real
from vhap.util.errors import InputError, shown
from vhap.util.files import read_json

EVALUATION = "evaluation.json"
Values = list[Real | None]


class Frames(TypedDict):
    """A value for each frame of the result."""

    timestep_id: list[str]
    lost: list[bool]
    shows_nothing: list[str]
    landmark_nme_percent: Values
    psnr_head_db: Values
    psnr_face_db: Values


class Cameras(TypedDict):
    """A value for each camera."""

    camera_id: list[str]
    detected_fraction: Values
    landmark_nme_percent: Values
    psnr_head_db: Values
    psnr_face_db: Values
    silhouette_iou: Values


class Evaluation(TypedDict):
    """What the page needs. Beside it stand single values of the clip."""

    epoch: int
    per_frame: Frames
    per_camera: Cameras
    worst_cameras: dict[str, list[str]]


def read_evaluation(path: Path, epoch: int, timestep_ids: Sequence[str]) -> dict[str, Any]:
    """InputError where it is damaged, of an older release, or of another result than that of an epoch and timesteps."""
    values = read_json(path, Evaluation)
    tables = [values["per_frame"], values["per_camera"]]
    if values["epoch"] != epoch or values["per_frame"]["timestep_id"] != list(timestep_ids):
        raise InputError(f"expected the evaluation of epoch {epoch} in {path}, found another; evaluate again")
    for name, value in values.items():
        if not isinstance(value, str | int | float | None) and name not in Evaluation.__annotations__:
            raise InputError(f"expected one value as {shown(name)} in {path}, found {shown(value)}; evaluate again")
    for table in tables:
        if any(not isinstance(column, list) for column in table.values()) or len(set(map(len, table.values()))) > 1:
            raise InputError(f"expected lists of one length in {path}, found others; evaluate again")
        if any(isinstance(cell, list | dict) for column in table.values() for cell in column):
            raise InputError(f"expected numbers and texts in the lists of {path}, found others; evaluate again")
    return values
