"""What layouts by one camera share: the written pictures, their camera, and the head's motion in front of it."""

from __future__ import annotations

import re

import numpy as np
import torch

from vhap.export.centred_result import centre
from vhap.export.layouts.base import Job
from vhap.export.layouts.checks import without_offsets
from vhap.export.layouts.head_motion import HeadMotion
from vhap.export.masked_picture import MaskedPicture
from vhap.export.nerf_dataset import picture_source
from vhap.export.recentre import Padding, padded_camera
from vhap.head.model import HeadModel, pose, zero_params
from vhap.util.log import get_logger

NOTABLE_MM = 0.05
"""Mean deviation of the face from which on the log says what a still neck costs."""
CHECKED_ROWS = 8


class OneCamera:
    """with_offsets: whether the head that is written has its offsets; masks that are drawn always show them.
    carried_on: as of `PictureSource`. track: where the head was tracked; camera: of the written pictures."""

    def __init__(self, job: Job, padding: Padding, with_offsets: bool, carried_on: bool = False) -> None:
        self.job = job
        source = job.source if with_offsets else without_offsets(job.source)
        self.track = centre(source.head, source.result, source.cameras, to_origin=False)
        self.camera = padded_camera(self.track.cameras[0], padding)
        self.motion = HeadMotion(self.track)
        self.pictures = picture_source(
            job.source, job.config, [padding], job.backend, carried_on, self.track if with_offsets else None
        )

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the written pictures."""
        return self.camera.height, self.camera.width

    def read(self, row: int) -> MaskedPicture:
        return self.pictures.read(row, 0, self.pictures.vertices(row))

    def classes(self, row: int, shown: MaskedPicture) -> np.ndarray:
        """(H, W) uint8 of `data.face_classes`; shown: as `read` gives it."""
        return self.job.classes(row, self.track.vertices(row), self.camera, shown.picture, shown.mask)

    def report_still_neck(self) -> None:
        """A line where leaving the neck's turn to the camera moves the face."""
        count = len(self.track.result.timestep_id)
        rows = np.unique(np.linspace(0, count - 1, min(count, CHECKED_ROWS)).round().astype(int))
        found = [self.motion.deviation_mm(int(row)) for row in rows]
        mean, most = max(near for near, _ in found), max(far for _, far in found)
        if mean > NOTABLE_MM:
            get_logger().warning(
                "the neck's turn is written as the camera's, which moves the face by up to %.2f mm on average, and the "
                "lower neck by up to %.1f mm", mean, most,
            )  # fmt: skip


def canonical_mesh(head: HeadModel, shape: np.ndarray, jaw_rad: float) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) of the person at the model's origin with the jaw turned about x, and faces (F, 3), both without
    the teeth that were added to FLAME."""
    with torch.no_grad():
        params = zero_params(head)
        params.shape[:] = torch.from_numpy(np.asarray(shape, np.float32))
        params.jaw_pose[0] = jaw_rad
        vertices = pose(head, params).double().numpy()
    kept = flame_vertices(head)
    faces = head.faces.numpy()
    return vertices[:kept], faces[(faces < kept).all(1)]


def flame_vertices(head: HeadModel) -> int:
    """How many of FLAME's vertices are its own: the teeth that were added stand behind them."""
    teeth = head.regions.get("teeth")
    return head.n_vertices if teeth is None or not len(teeth) else int(teeth.min())


def path_name(name: str) -> str:
    """A recording's name as one folder's."""
    return re.sub(r"[^\w.-]", "_", name) or "person"
