"""Pictures and cameras for trainers of scenes, which know no head: what nerfstudio, instant_ngp and colmap share.

A face that moves is no still scene. With the head's rigid motion taken out (the head stands still and the cameras
circle it) all but its expression is one; of a rig, a single timestep in its own world is.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from vhap.export.centred_result import centre
from vhap.export.layouts.base import Job
from vhap.export.layouts.head_motion import HeadMotion
from vhap.export.masked_picture import MaskedPicture
from vhap.export.nerf_dataset import exported_track, picture_source
from vhap.export.recentre import centring, keeping, padded_camera
from vhap.geometry.cameras import Camera
from vhap.util.errors import InputError
from vhap.util.log import get_logger

LEAST_SPREAD_M = 1e-4
"""Distance between cameras below which they are one."""
TEST_EVERY = 8
"""gsplat's examples take every 8th picture by its name for testing, the first one among them."""


@dataclass(frozen=True, eq=False)
class View:
    """One picture. row: of the result; number: of the exported camera. camera: single, in the world of the scene.
    name: without suffix; names sort as the views do."""

    row: int
    number: int
    camera: Camera
    name: str


class Scene:
    """views: all pictures, in order. unit: lengths of the scene's world in a metre."""

    def __init__(self, job: Job) -> None:
        self.job, self.source = job, job.source
        self.is_head_still = job.config.stands_still == "head"
        if self.is_head_still:
            self.track = centre(job.source.head, job.source.result, job.source.cameras, to_origin=False)
        else:
            self.track = exported_track(job.source, job.config)
            if job.n_rows > 1:
                get_logger().warning(
                    "the head moves before still cameras, which trainers of scenes do not know: choose one timestep by "
                    "--subset, as --subset ti0, or give --stands_still head"
                )
        scale = self.track.result.scale
        self.unit = 1.0 if scale is None else float(scale)
        paddings = (centring if job.config.center_principal_point else keeping)(self.track.cameras)
        self.cameras = [padded_camera(camera, padding) for camera, padding in zip(self.track.cameras, paddings)]
        self.pictures = picture_source(job.source, job.config, paddings, job.backend, track=self.track)
        motion = HeadMotion(self.track)
        self.T_scene_world = [
            np.linalg.inv(motion.at(row).T_world_head) if self.is_head_still else np.eye(4) for row in range(job.n_rows)
        ]
        self.views = list(self._views())
        self.of_row = [[view for view in self.views if view.row == row] for row in range(job.n_rows)]
        self._require_spread(job.config.layout)

    def vertices(self, row: int) -> np.ndarray:
        """(V, 3) of the head in the scene."""
        matrix = self.T_scene_world[row]
        return self.track.vertices(row).numpy() @ matrix[:3, :3].T + matrix[:3, 3]

    def read(self, view: View) -> MaskedPicture:
        return self.pictures.read(view.row, view.number, self.pictures.vertices(view.row))

    def split(self) -> dict[str, list[View]]:
        """train and test."""
        test = self.views[::TEST_EVERY]
        return {"train": [view for view in self.views if view not in test] or test, "test": test}

    def _views(self) -> Iterator[View]:
        for row in range(self.job.n_rows):
            matrix = torch.from_numpy(self.T_scene_world[row])
            for number, camera in enumerate(self.cameras):
                if self.source.shows(row, number):
                    name = f"{row:05d}_{self.source.camera_numbers[number]:02d}"
                    yield View(row, number, camera.to(torch.float64).moved(matrix), name)

    def _require_spread(self, layout: str) -> None:
        places = np.stack([view.camera.centre().numpy() for view in self.views])
        if np.linalg.norm(places - places.mean(0), axis=1).max() > LEAST_SPREAD_M * self.unit:
            return
        raise InputError(
            f"expected cameras at different places for --layout {layout}, found {len(places)} at one, from which no "
            "trainer learns depth; "
            + ("export more timesteps" if self.is_head_still else "give --stands_still head, so that they move")
        )
