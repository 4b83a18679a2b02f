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
from vhap.relightable.class_completion import complete_classes


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
        return complete_classes(picture, alpha, known, place)
