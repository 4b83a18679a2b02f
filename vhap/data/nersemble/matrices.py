"""Camera matrices that answer as those of the official kit do: its types where they are installed, else our own."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


class Matrix(np.ndarray):
    """An array in single precision whose products with others are plain arrays."""

    def __new__(cls, entries: Any) -> Any:
        with np.errstate(over="ignore"):
            return np.array(entries, np.float32).view(cls)

    def __matmul__(self, other: Any) -> Any:
        return self.numpy() @ np.asarray(other)

    def __rmatmul__(self, other: Any) -> Any:
        return np.asarray(other) @ self.numpy()

    def numpy(self) -> np.ndarray:
        """A plain copy."""
        return np.array(self)


class Pose(Matrix):
    """(4, 4) of a rigid motion, world to camera, OpenCV axes."""

    def invert(self, inplace: bool = False) -> Pose:
        """The motion back, here camera to world."""
        rotation = self.get_rotation_matrix().T
        inverse = np.eye(4)
        inverse[:3, :3], inverse[:3, 3] = rotation, -rotation @ self.get_translation()
        if not inplace:
            return Pose(inverse)
        self[:] = inverse
        return self

    def get_rotation_matrix(self) -> np.ndarray:
        return self.numpy()[:3, :3]

    def get_translation(self) -> np.ndarray:
        return self.numpy()[:3, 3]

    def __matmul__(self, other: Any) -> Any:
        product = super().__matmul__(other)
        return Pose(product) if isinstance(other, Pose) else product


class Intrinsics(Matrix):
    """(3, 3) [[fx, s, cx], [0, fy, cy], [0, 0, 1]] in pixels."""

    @property
    def fx(self) -> float:
        return self[0, 0].item()

    @property
    def fy(self) -> float:
        return self[1, 1].item()

    @property
    def cx(self) -> float:
        return self[0, 2].item()

    @property
    def cy(self) -> float:
        return self[1, 2].item()

    @property
    def s(self) -> float:
        return self[0, 1].item()

    def get_fovx(self, width: float) -> float:
        """Angle of view in radians."""
        return 2 * math.atan(width / (2 * self.fx))

    def get_fovy(self, height: float) -> float:
        return 2 * math.atan(height / (2 * self.fy))

    def rescale(self, scale_factor: float, scale_factor_y: float | None = None, inplace: bool = True) -> Intrinsics:
        """For pictures resized by these factors. Changes this matrix unless told otherwise, as the kit's does."""
        scaled = self if inplace else self.copy()
        scaled[0, [0, 2]] *= scale_factor
        scaled[1, [1, 2]] *= scale_factor if scale_factor_y is None else scale_factor_y
        return scaled

    def crop(self, crop_left: int = 0, crop_top: int = 0, inplace: bool = True) -> Intrinsics:
        """For pictures that lost columns on the left and rows on top."""
        cropped = self if inplace else self.copy()
        cropped[0, 2] -= crop_left
        cropped[1, 2] -= crop_top
        return cropped

    def homogenize(self, invert: bool = False) -> np.ndarray:
        """(4, 4) double precision."""
        whole = np.eye(4)
        whole[:3, :3] = self
        return np.linalg.inv(whole) if invert else whole

    def invert(self) -> np.ndarray:
        return np.linalg.inv(self.numpy())


def world_to_camera(matrix: np.ndarray) -> Any:
    """A rigid (4, 4), OpenCV axes, as dreifus.matrix.Pose, else as Pose."""
    try:
        from dreifus.camera import CameraCoordinateConvention, PoseType  # pyright: ignore[reportMissingImports]
        from dreifus.matrix import Pose as KitPose  # pyright: ignore[reportMissingImports]
    except ImportError:
        return Pose(matrix)
    convention = CameraCoordinateConvention.OPEN_CV
    return KitPose(matrix, camera_coordinate_convention=convention, pose_type=PoseType.WORLD_2_CAM)


def intrinsics(matrix: np.ndarray) -> Any:
    """A (3, 3) as dreifus.matrix.Intrinsics, else as Intrinsics."""
    try:
        from dreifus.matrix import Intrinsics as KitIntrinsics  # pyright: ignore[reportMissingImports]
    except ImportError:
        return Intrinsics(matrix)
    return KitIntrinsics(matrix)
