"""The cameras of a calibrated rig, whatever file they come from."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from vhap.data.pictures import some_names
from vhap.geometry.cameras import Camera
from vhap.util.errors import InputError
from vhap.util.optional import import_or_explain

DISTORTION = ("k1", "k2", "p1", "p2", "k3")
FROM_OPENCV_AXES = np.diag([1.0, -1.0, -1.0, 1.0])
"""T_opengl_opencv, its own inverse: y and z of the camera change their sign."""
SHORTEST_MEAN_AXIS = 0.1
"""Of the average of unit vectors; below, they point everywhere and their average nowhere."""


@dataclass(frozen=True)
class RigCameras:
    """C calibrated cameras that stand still.

    names: what the pictures' folders or videos are called.
    K: (C, 3, 3) float64 [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] in pixels of `sizes`; cx from the left and cy from the
        top edge, which puts pixel centres at half integers (COLMAP counts the same way).
    T_camera_world: (C, 4, 4) float64, rigid, OpenGL axes: x right, y up, looking down -z. Units as in the file.
    sizes: (C, 2) int64 height, width; cameras may differ.
    distortion: (C, 5) float64, OpenCV's k1, k2, p1, p2, k3; zeros where pictures are free of it. Trackers know
        pinholes only: pictures of a camera with distortion go through `undistort_maps` first, after which K holds.
    """

    names: tuple[str, ...]
    K: np.ndarray
    T_camera_world: np.ndarray
    sizes: np.ndarray
    distortion: np.ndarray

    def select(self, names: list[str]) -> RigCameras:
        """These cameras in this order; InputError where the rig lacks one."""
        if missing := [name for name in names if name not in self.names]:
            raise InputError(
                f"expected a camera for all pictures, found none for {some_names(missing)} among "
                f"{some_names(list(self.names))}; calibrate them or leave their pictures out"
            )
        kept = [self.names.index(name) for name in names]
        return RigCameras(
            tuple(names), self.K[kept], self.T_camera_world[kept], self.sizes[kept], self.distortion[kept]
        )

    def camera(self, index: int, dtype: torch.dtype = torch.float32) -> Camera:
        """One of them for pictures without distortion, at the size it was calibrated for."""
        intrinsics = torch.as_tensor(self.K[index], dtype=dtype)
        return Camera(
            fx=intrinsics[0, 0],
            fy=intrinsics[1, 1],
            cx=intrinsics[0, 2],
            cy=intrinsics[1, 2],
            T_camera_world=torch.as_tensor(self.T_camera_world[index], dtype=dtype),
            height=int(self.sizes[index, 0]),
            width=int(self.sizes[index, 1]),
        )


def undistort_maps(rig: RigCameras, index: int, size: tuple[int, int] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel of a camera's picture without distortion comes from: x and y, (H, W) float32, for `cv2.remap`.

    size: (height, width) of the pictures where they have been resized since the calibration. The result belongs to
    the same K, stretched likewise.
    """
    cv2 = import_or_explain("cv2")
    height, width = size or rig.sizes[index].tolist()
    matrix = _opencv_matrix(rig, index, (height, width))
    return cv2.initUndistortRectifyMap(matrix, rig.distortion[index], None, matrix, (width, height), cv2.CV_32FC1)


def undistort_points(rig: RigCameras, index: int, points_px: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Where points of a camera's stored picture stand in its picture without distortion.

    points_px: (..., 2) in pixels of pictures of size (height, width), which may have been resized since the
    calibration; the result is in the same pixels.
    """
    cv2 = import_or_explain("cv2")
    matrix = _opencv_matrix(rig, index, size)
    flat = np.asarray(points_px, np.float64).reshape(-1, 1, 2) - 0.5
    return (cv2.undistortPoints(flat, matrix, rig.distortion[index], P=matrix) + 0.5).reshape(points_px.shape)


def _opencv_matrix(rig: RigCameras, index: int, size: tuple[int, int]) -> np.ndarray:
    """(3, 3) of pictures of size (height, width), as OpenCV counts pixels: centres at integers."""
    matrix = rig.K[index].copy()
    matrix[0] *= size[1] / rig.sizes[index, 1]
    matrix[1] *= size[0] / rig.sizes[index, 0]
    matrix[:2, 2] -= 0.5
    return matrix


def align_to_axes(rig: RigCameras) -> tuple[RigCameras, np.ndarray]:
    """Turns the world about its origin so that the cameras' average rotation becomes the identity.

    The average camera then looks down -z with y up, as if it were the only, uncalibrated one.
    Returns the rig in the turned world and T_aligned_world (4, 4); its inverse brings results back into the file's
    world. InputError where the cameras look everywhere, so that there is no average direction.
    """
    T_aligned_world = np.eye(4)
    T_aligned_world[:3, :3] = mean_rotation(rig.T_camera_world[:, :3, :3].transpose(0, 2, 1)).T
    return replace(rig, T_camera_world=rig.T_camera_world @ T_aligned_world.T), T_aligned_world


def mean_rotation(rotations: np.ndarray) -> np.ndarray:
    """(N, 3, 3) -> (3, 3): the average, made orthonormal by Gram-Schmidt, first column first."""
    x, y, _ = rotations.mean(0).T
    first = np.linalg.norm(x)
    x = x / max(first, 1e-12)
    y = y - (x @ y) * x
    second = np.linalg.norm(y)
    if min(first, second) < SHORTEST_MEAN_AXIS:
        raise InputError(
            "expected cameras around one side of the head, found directions that cancel each other (their mean has "
            f"length {min(first, second):.2g}); leave out the alignment to axes"
        )
    y = y / second
    return np.stack([x, y, np.cross(x, y)], 1)
