"""instant-ngp's transforms.json: RGBA pictures, and masks of what is ignored beside them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from vhap.export.files import json_text
from vhap.export.layouts.base import Job, LayoutRules, marked
from vhap.export.layouts.nerfstudio import NO_EFFECT, OPTIONS, scene_frame, write_view
from vhap.export.layouts.scene import Scene, View
from vhap.export.target import TargetKind

HEAD_SHARE = 0.4
"""Half of the head's size in the unit cube, in which the reader has its scene: room for hair."""
MARKER = "export_instant_ngp.txt"
"""Given a folder, the reader takes every .json in it for cameras."""

RULES = LayoutRules(
    readers="instant-ngp",
    target=TargetKind(
        MARKER,
        marked(
            "instant_ngp",
            images=r"(dynamic_mask_)?\d{5,}_\d{2,}\.png",
            test=r"transforms\.json",
            _root=r"transforms\.json",
        ).own_files,
    ),
    one_camera=False,
    options=OPTIONS,
    no_effect=NO_EFFECT,
)


class InstantNgp:
    """Masks: 255 is ignored, 0 counts. transforms.json has the pictures to train on, test/transforms.json the rest."""

    def __init__(self, job: Job) -> None:
        self.files, self.with_masks = job.files, job.config.masks
        self.scene = Scene(job)

    def write(self, row: int) -> None:
        for view in self.scene.of_row[row]:
            mask = f"images/dynamic_mask_{view.name}.png" if self.with_masks else None
            write_view(self.files, self.scene, view, mask, is_ignored=True)

    def finish(self) -> None:
        for name, views in self.scene.split().items():
            folder, up = ("", "") if name == "train" else ("test/", "../")
            frames = [ngp_frame(view, f"{up}images/{view.name}.png") for view in views]
            self.files.replace(f"{folder}transforms.json", json_text({**self.box(), "frames": frames}))

    def box(self) -> dict[str, Any]:
        """What puts the head into the middle of the unit cube: x_cube = scale * x + offset."""
        vertices = self.scene.vertices(self.scene.views[len(self.scene.views) // 2].row)
        middle = (vertices.min(0) + vertices.max(0)) / 2
        scale = HEAD_SHARE / float(np.linalg.norm(vertices - middle, axis=1).max())
        return {"aabb_scale": 1, "scale": scale, "offset": (0.5 - scale * middle).tolist()}


def ngp_frame(view: View, path: str) -> dict[str, Any]:
    """With the angles in degrees that the reader asks for first."""
    frame = scene_frame(view, path)
    return {**frame, "x_fov": math.degrees(frame["camera_angle_x"]), "y_fov": math.degrees(frame["camera_angle_y"])}
