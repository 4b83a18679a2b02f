"""The folder that metrical-tracker leaves: a .frame a picture, from which INSTA's family starts.

The head stands still at FLAME's origin, its root and neck straight, and the camera has its motion.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from vhap.data.png import encode_png
from vhap.data.results import TrackResult
from vhap.export.files import TargetFiles, require_finite
from vhap.export.layouts.base import SQUARE, Job, LayoutRules, marked
from vhap.export.layouts.head_motion import (
    MovedHead,
    intrinsic_matrix,
    opencv_extrinsics,
    padded,
    six_numbers,
    turns_as_six,
)
from vhap.export.layouts.one_camera import OneCamera, canonical_mesh
from vhap.export.layouts.square import square_around_head
from vhap.export.meshes import ObjWriter
from vhap.export.torch_file import Content, torch_file
from vhap.geometry.cameras import Camera

N_SHAPE, N_EXPR, N_TEXTURE = 300, 100, 140
JAW_RAD = math.radians(12)
"""How far canonical.obj opens the mouth."""
P3D_OPENCV = np.diag([-1.0, -1.0, 1.0])
"""From camera axes of OpenCV to those of PyTorch3D: x left, y up, z forward."""

RULES = LayoutRules(
    readers="metrical-tracker's own tools, and what starts from its folder",
    target=marked("metrical", checkpoint=r"\d{5,}\.frame", input=r"\d{5,}\.png", _root=r"canonical\.obj"),
    heads="FLAME 2020",
    n_shape=N_SHAPE,
    n_expr=N_EXPR,
    offsets=False,
    options=("picture_size", "drop_offsets"),
    no_effect={
        "background_color": "pictures are as filmed",
        "clean_rim": "pictures are as filmed",
        "create_mask_from_mesh": "it has no masks",
        "center_principal_point": SQUARE,
    },
)


class Metrical:
    """checkpoint/%05d.frame and input/%05d.png, both from 00000; canonical.obj."""

    def __init__(self, job: Job) -> None:
        self.files = job.files
        filmed = replace(job, config=replace(job.config, clean_rim=False, create_mask_from_mesh=False))
        self.view = OneCamera(filmed, square_around_head(job.source, job.config.picture_size), with_offsets=False)
        self.view.report_still_neck()

    def write(self, row: int) -> None:
        picture, frame = f"input/{row:05d}.png", f"checkpoint/{row:05d}.frame"
        if not self.files.has(picture):
            self.files.write(picture, encode_png(self.view.read(row).picture))
        write_frame(self.files, frame, self.view, row)

    def finish(self) -> None:
        write_canonical(self.files, "canonical.obj", self.view)


def write_frame(files: TargetFiles, name: str, view: OneCamera, row: int) -> None:
    if not files.has(name):
        content = frame_content(view.track.result, row, view.motion.at(row), view.camera)
        files.write(name, torch_file(content))


def write_canonical(files: TargetFiles, name: str, view: OneCamera) -> None:
    """FLAME's own topology, the shape alone, the mouth open."""
    mesh = canonical_mesh(view.track.head, view.track.result.shape, JAW_RAD)
    files.write(name, ObjWriter(mesh[1]).content(mesh[0]))


def frame_content(result: TrackResult, row: int, moved: MovedHead, camera: Camera) -> dict[str, Content]:
    """What a .frame holds. Eyes stand in the order in which they are applied: FLAME's joint 3, the left one, first.

    opencv: from FLAME's frame to the camera, px; camera: the same for PyTorch3D, whose points are row vectors, lengths
    in halves of the shorter side. Lids, texture and light are zeros: they are of bases that the head does not have.
    """
    extrinsics, matrix = opencv_extrinsics(camera, moved.T_world_head), intrinsic_matrix(camera)
    half = min(camera.height, camera.width) / 2
    principal = [-(matrix[0, 2] - camera.width / 2) / half, -(matrix[1, 2] - camera.height / 2) / half]
    p3d = P3D_OPENCV @ extrinsics[:3]
    flame = {**frame_flame(result, row), "tex": np.zeros((1, N_TEXTURE)), "sh": np.zeros((1, 9, 3))}
    viewed = {
        "R": six_numbers(p3d[:, :3].T)[None],
        "t": p3d[None, :, 3],
        "fl": np.array([[matrix[0, 0] / half]]),
        "pp": np.array([principal]),
    }
    opencv = {"R": extrinsics[None, :3, :3], "t": extrinsics[None, :3, 3], "K": matrix[None]}
    require_finite(f"timestep {result.timestep_id[row]}", *flame.values(), *viewed.values(), *opencv.values())
    return {
        "flame": _single(flame),
        "camera": _single(viewed),
        "opencv": _single(opencv),
        "img_size": np.array([camera.height, camera.width], np.int64),
        "frame_id": f"{row:05d}",
        "global_step": row,
    }


def frame_flame(result: TrackResult, row: int) -> dict[str, np.ndarray]:
    """exp (1, 100), shape (1, 300), eyes (1, 12): left, right, jaw (1, 6), eyelids (1, 2)."""
    return {
        "exp": padded(result.expr[row], N_EXPR)[None],
        "shape": padded(result.shape, N_SHAPE)[None],
        "eyes": turns_as_six(result.eyes_pose[row].reshape(2, 3)).reshape(1, 12),
        "jaw": turns_as_six(result.jaw_pose[row])[None],
        "eyelids": np.zeros((1, 2)),
    }


def _single(arrays: dict[str, np.ndarray]) -> dict[str, Content]:
    return {name: np.asarray(value, np.float32) for name, value in arrays.items()}
