"""What every layout is: its rules, and a writer that makes the files of one row after another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from torch import Tensor

from vhap.config.export import ExportConfig
from vhap.export.files import TargetFiles
from vhap.export.nerf_dataset import ExportSource
from vhap.export.target import TargetKind
from vhap.geometry.cameras import Camera
from vhap.render.types import Backend

Heads = Literal["any", "FLAME", "FLAME 2020"]
ClassMaps = Callable[[int, Tensor, Camera, np.ndarray, np.ndarray], np.ndarray]
"""row, the head's vertices (V, 3) in the tracked world, the camera of the written picture, that picture (H, W, 3) and
its mask (H, W), uint8 -> (H, W) uint8 classes of `data.face_classes`."""

SQUARE = "pictures are squares around the principal point"
NO_EFFECT = {
    "flame_mode": "it is of gaussian_avatars",
    "center_head": "the head stands where this layout has it",
    "world": "the head stands where this layout has it",
    "stands_still": "it is of nerfstudio, instant_ngp and colmap",
    "masks": "it is of nerfstudio and instant_ngp",
    "picture_size": "it is of layouts with square pictures",
    "test_frames": "it is of insta",
    "drop_offsets": "the offsets have a place here",
    "cap4d_model": "it is of cap4d",
    "fps": "it is of usd",
}
"""Options that change nothing unless a layout names them as its own, and why."""


@dataclass(frozen=True)
class LayoutRules:
    """What a layout can hold.

    readers: who reads it. heads: whose coefficients it holds. n_shape, n_expr: how many; None: any number. offsets:
    whether the head's offsets have a place. one_camera: its readers know a single camera. test_frames: how many of the
    last frames its readers always take for testing. target: its marker and own files. options: of `NO_EFFECT`, those
    that it reads. no_effect: other options that change nothing here, and why.
    """

    readers: str
    target: TargetKind
    heads: Heads = "any"
    n_shape: int | None = None
    n_expr: int | None = None
    offsets: bool = True
    one_camera: bool = True
    test_frames: int | None = None
    options: tuple[str, ...] = ()
    no_effect: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """What a writer works on. sequence: the recording's name. classes: of the pictures that are written,
    made when they are asked for. albedo: makes the run's, (H, W, 3) uint8, row 0 on top."""

    source: ExportSource
    config: ExportConfig
    files: TargetFiles
    backend: Backend
    sequence: str
    classes: ClassMaps
    albedo: Callable[[], np.ndarray]

    @property
    def n_rows(self) -> int:
        return len(self.source.result.timestep_id)


class LayoutWriter(Protocol):
    """Files of rows are written in any order, from several threads; those that are there stay. `finish` writes what is
    of all rows together."""

    def write(self, row: int) -> None: ...

    def finish(self) -> None: ...


def marked(name: str, **own_files: str) -> TargetKind:
    """marker export_NAME.json; folders as keywords, with `__` for a slash and `_root` for the target itself."""
    places = {"." if place == "_root" else place.replace("__", "/"): names for place, names in own_files.items()}
    return TargetKind(f"export_{name}.json", places)
