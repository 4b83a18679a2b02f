"""Class maps of a run's pictures as an export writes them: by the tracked head, the matte and the colours."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from vhap.evaluate.run_scene import RunScene
from vhap.geometry.cameras import Camera
from vhap.pipeline.mesh_classes import MeshClasses
from vhap.relightable.class_completion import MATTE, FacePlace, complete_classes

MARGIN = 0.25
"""Around the person, in distances from the eyes to the chin: blurs see no farther."""


class RunClassMaps:
    """open_scene: the run, of the rows that are exported; asked for with the first map. May be called from several
    threads."""

    def __init__(self, open_scene: Callable[[], RunScene]) -> None:
        self._open_scene = open_scene
        self._mesh: MeshClasses | None = None
        self._lock = threading.Lock()

    def __call__(
        self, row: int, vertices: Tensor, camera: Camera, picture: np.ndarray, alpha: np.ndarray
    ) -> np.ndarray:
        """As `export.layouts.base.ClassMaps`."""
        with self._lock:
            self._mesh = self._mesh or MeshClasses(self._open_scene())
            known, place = self._mesh.seen_by(row, vertices.float(), camera.to(torch.float32))
        return _in_box(picture, alpha, known, place)


def _in_box(picture: np.ndarray, alpha: np.ndarray, known: np.ndarray, place: FacePlace) -> np.ndarray:
    """As `complete_classes`, of the part of the picture that the person is in."""
    inside = alpha >= MATTE
    classes = np.zeros(alpha.shape, np.uint8)
    if not inside.any():
        return classes
    margin = round(MARGIN * place.size) + 1
    rows, columns = (np.flatnonzero(inside.any(axis)) for axis in (1, 0))
    top, left = max(0, int(rows[0]) - margin), max(0, int(columns[0]) - margin)
    part = slice(top, int(rows[-1]) + margin + 1), slice(left, int(columns[-1]) + margin + 1)
    corner = np.array([left, top])
    moved = FacePlace(place.eyes - corner, place.chin - corner)
    classes[part] = complete_classes(np.ascontiguousarray(picture[part]), alpha[part], known[part], moved)
    return classes
