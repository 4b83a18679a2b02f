"""COLMAP's binary model in sparse/0, with pictures over the background colour: what gsplat's examples read."""

from __future__ import annotations

import struct

import numpy as np
import torch

from vhap.data.png import encode_png
from vhap.export.layouts.base import Job, LayoutRules, marked
from vhap.export.layouts.head_motion import OPENCV_OPENGL
from vhap.export.layouts.nerfstudio import OPTIONS
from vhap.export.layouts.scene import Scene
from vhap.export.layouts.scene_points import scene_points
from vhap.export.pictures import BACKGROUND_RGB
from vhap.geometry.cameras import Camera
from vhap.geometry.rotations import matrix_to_quaternion

PINHOLE = 1
"""COLMAP's number of the model with fx, fy, cx, cy; pixel centres at half integers as ours."""

RULES = LayoutRules(
    readers="gsplat's examples, COLMAP, and other trainers of Gaussians",
    target=marked("colmap", images=r"\d{5,}_\d{2,}\.png", sparse__0=r"(cameras|images|points3D)\.bin"),
    one_camera=False,
    options=tuple(name for name in OPTIONS if name != "masks"),
)


class Colmap:
    def __init__(self, job: Job) -> None:
        self.files = job.files
        self.background = BACKGROUND_RGB[job.config.background_color]
        self.scene = Scene(job)

    def write(self, row: int) -> None:
        for view in self.scene.of_row[row]:
            name = f"images/{view.name}.png"
            if not self.files.has(name):
                self.files.write(name, encode_png(self.scene.read(view).over(self.background)))

    def finish(self) -> None:
        """cameras.bin, images.bin, points3D.bin, by COLMAP's format; images without points of their own."""
        cameras = [camera_bytes(number + 1, camera) for number, camera in enumerate(self.scene.cameras)]
        views = [
            image_bytes(index + 1, view.camera, view.number + 1, f"{view.name}.png")
            for index, view in enumerate(self.scene.views)
        ]
        points = [
            struct.pack("<QdddBBBdQ", index + 1, *place, *colour, 0.0, 0)
            for index, (place, colour) in enumerate(zip(*(values.tolist() for values in scene_points(self.scene))))
        ]
        for name, entries in (("cameras", cameras), ("images", views), ("points3D", points)):
            self.files.replace(f"sparse/0/{name}.bin", struct.pack("<Q", len(entries)) + b"".join(entries))


def camera_bytes(number: int, camera: Camera) -> bytes:
    values = (float(value) for value in (camera.fx, camera.fy, camera.cx, camera.cy))
    return struct.pack("<iiQQdddd", number, PINHOLE, camera.width, camera.height, *values)


def image_bytes(number: int, camera: Camera, camera_number: int, name: str) -> bytes:
    """World to camera, axes of OpenCV, quaternion with its real part first."""
    matrix = OPENCV_OPENGL @ camera.T_camera_world.double().numpy()
    quaternion = matrix_to_quaternion(torch.from_numpy(np.ascontiguousarray(matrix[:3, :3]))).tolist()
    head = struct.pack("<idddddddi", number, *quaternion, *matrix[:3, 3].tolist(), camera_number)
    return head + name.encode() + b"\0" + struct.pack("<Q", 0)
