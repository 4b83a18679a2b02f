"""Calibrations of a synthetic rig in the formats that users have: cameras, and colours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from vhap.data.cameras.rig import FROM_OPENCV_AXES
from vhap.data.color import correct_affine, correct_polynomial
from vhap.synthetic.rig import SyntheticRig, ring_directions
from vhap.util.files import write_text

POLYNOMIAL_TERMS = 10
CROSSTALK = 0.06
ROUNDS = 12


def camera_params(rig: SyntheticRig, shared: bool) -> dict[str, Any]:
    """A NeRSemble `camera_params.json`: OpenCV axes, one camera matrix for all or one for each."""
    poses = FROM_OPENCV_AXES @ rig.world.camera_pose(rig.T_camera_head)
    matrices = rig.K[0].tolist() if shared else dict(zip(rig.names, rig.K.tolist()))
    content: dict[str, Any] = {"world_2_cam": dict(zip(rig.names, poses.tolist())), "intrinsics": matrices}
    if not shared:
        content |= {"height": rig.size[0], "width": rig.size[1]}
    return content


def transforms(rig: SyntheticRig, pictures: Sequence[str]) -> dict[str, Any]:
    """A `transforms.json` with one frame for each camera: OpenGL axes, camera to world."""
    frames = []
    for k, pose in enumerate(np.linalg.inv(rig.world.camera_pose(rig.T_camera_head))):
        fx, fy, cx, cy = _pinhole(rig.K[k])
        lens = {"fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy, "w": rig.size[1], "h": rig.size[0]}
        frames.append({"file_path": pictures[k], "camera_id": rig.names[k], **lens, "transform_matrix": pose.tolist()})
    return {"camera_model": "OPENCV", "frames": frames}


def camera_info(rig: SyntheticRig, pictures: Sequence[str]) -> dict[str, Any]:
    """A static avatar's `camera_info.json`: OpenCV axes, camera to world; focal lengths in picture sides."""
    entries = {}
    poses = np.linalg.inv(FROM_OPENCV_AXES @ rig.world.camera_pose(rig.T_camera_head))
    for k, (pitch, yaw) in enumerate(ring_directions(len(rig.names))):
        focal = float(rig.K[k, 0, 0] / rig.size[1])
        entries[pictures[k]] = {
            "view_direction": poses[k, :3, 2].tolist(),
            "camera_params": [poses[k].flatten().tolist()],
            "focal_length": focal,
            "fov": float(np.degrees(2 * np.arctan(0.5 / focal))),
            "pitch": pitch,
            "yaw": yaw,
        }
    return entries


def write_colmap(folder: Path, rig: SyntheticRig, pictures: Sequence[str]) -> None:
    """A COLMAP model as text, without points: https://colmap.github.io/format.html."""
    cameras = ["# CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]"]
    images = ["# IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME", "# POINTS2D[] as (X, Y, POINT3D_ID)"]
    for k, pose in enumerate(FROM_OPENCV_AXES @ rig.world.camera_pose(rig.T_camera_head)):
        cameras.append(f"{k + 1} PINHOLE {rig.size[1]} {rig.size[0]} {_words(_pinhole(rig.K[k]))}")
        x, y, z, w = Rotation.from_matrix(pose[:3, :3]).as_quat()
        images += [f"{k + 1} {_words([w, x, y, z, *pose[:3, 3]])} {k + 1} {pictures[k]}", ""]
    write_text(folder / "cameras.txt", "\n".join(cameras) + "\n")
    write_text(folder / "points3D.txt", "# POINT3D_ID, X, Y, Z, R, G, B, ERROR, TRACK[]\n")
    write_text(folder / "images.txt", "\n".join(images) + "\n")


def affine_matrix(random: np.random.Generator) -> np.ndarray:
    """(3, 4) of NeRSemble v1. It adds contrast, so that pictures it is taken out of lose no colours."""
    gain = np.diag(random.uniform(1.1, 1.25, 3)) + CROSSTALK * random.uniform(-1, 1, (3, 3)) * (1 - np.eye(3))
    return np.hstack([gain, random.uniform(-0.06, -0.03, (3, 1))])


def polynomial_matrix(random: np.random.Generator) -> np.ndarray:
    """(3, 10) of NeRSemble v2: the linear part, products and squares, and a constant."""
    matrix = 0.03 * random.uniform(-1, 1, (3, POLYNOMIAL_TERMS))
    matrix[:, :3] += np.diag(random.uniform(1.15, 1.3, 3))
    matrix[:, -1] = -0.001
    return matrix


def take_out(picture: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 -> the picture that the correction by this matrix turns into it, up to rounding.

    Corrections are near the identity, so that the fixed point of x + (picture - correct(x)) is soon reached.
    """
    correct: Callable = correct_affine if matrix.shape == (3, 4) else correct_polynomial
    wanted = picture.astype(np.float32) / 255
    found = wanted
    for _ in range(ROUNDS):
        found = np.clip(found + (wanted - correct(found, matrix)), 0, 1)
    return (255 * found + 0.5).astype(np.uint8)


def _pinhole(matrix: np.ndarray) -> list[float]:
    return [float(matrix[0, 0]), float(matrix[1, 1]), float(matrix[0, 2]), float(matrix[1, 2])]


def _words(values: Sequence[float]) -> str:
    return " ".join(repr(float(value)) for value in values)
