"""A camera rig as a scene in space: frusta, pictures on their image planes, coloured points, axes at the origin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

AXES_M = 0.1
AXIS_RGB = ((220, 40, 40), (40, 160, 40), (50, 80, 230))
GIVEN_RGB, HELD_OUT_RGB = (70, 70, 70), (225, 20, 30)
FRUSTUM_SHARE = 0.3
"""Distance of the image planes, of the cameras' median distance from what they look at."""
FRUSTUM_EDGES = ((0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (2, 3), (3, 4), (4, 1))


@dataclass(frozen=True)
class RigCamera:
    """name: for its label. K (3, 3) in pixels of pictures of `size` (height, width), the first pixel's centre at (0.5,
    0.5). T_camera_world (4, 4) rigid, metres, OpenCV axes (x right, y down, z forward). picture (H, W, 3) uint8 RGB, of
    any size of that shape, or None. is_held_out: drawn red."""

    name: str
    K: np.ndarray
    T_camera_world: np.ndarray
    size: tuple[int, int]
    picture: np.ndarray | None = None
    is_held_out: bool = False

    @property
    def centre(self) -> np.ndarray:
        """(3,) in the world."""
        return -self.T_camera_world[:3, :3].T @ self.T_camera_world[:3, 3]

    @property
    def rgb(self) -> tuple[int, int, int]:
        return HELD_OUT_RGB if self.is_held_out else GIVEN_RGB

    def frustum(self, distance: float) -> np.ndarray:
        """(5, 3) in the world: the centre, then the picture's corners on the plane at `distance`, clockwise from the
        upper left as the camera sees them."""
        height, width = self.size
        corners = np.array([[0, 0, 1], [width, 0, 1], [width, height, 1], [0, height, 1]], np.float64)
        rays = corners @ np.linalg.inv(self.K).T
        return np.concatenate([self.centre[None], self.to_world(distance * rays)])

    def to_world(self, points: np.ndarray) -> np.ndarray:
        """(N, 3) of the camera's space -> (N, 3)."""
        return (points - self.T_camera_world[:3, 3]) @ self.T_camera_world[:3, :3]


@dataclass(frozen=True)
class RigScene:
    """cameras: at least one. points (N, 3): metres in the cameras' world, finite. colors (N, 3): uint8 RGB."""

    cameras: Sequence[RigCamera]
    points: np.ndarray
    colors: np.ndarray

    @property
    def focus(self) -> np.ndarray:
        """(3,) The point that is nearest to all optical axes; of parallel ones, 1 m before their middle."""
        centres = np.array([camera.centre for camera in self.cameras])
        forward = np.array([camera.T_camera_world[2, :3] for camera in self.cameras])
        across = np.eye(3) - forward[:, :, None] * forward[:, None]
        normal = across.sum(0)
        if np.linalg.cond(normal) > 1e6:
            return (centres + forward).mean(0)
        return np.linalg.solve(normal, (across @ centres[..., None]).sum(0)[:, 0])

    @property
    def frustum_distance(self) -> float:
        """Metres from a camera's centre to the plane on which its picture is shown."""
        centres = np.array([camera.centre for camera in self.cameras])
        return FRUSTUM_SHARE * max(float(np.median(np.linalg.norm(centres - self.focus, axis=1))), AXES_M)

    @property
    def up(self) -> np.ndarray:
        """(3,) unit: what is up in the pictures, on the whole."""
        return _unit(-np.sum([camera.T_camera_world[1, :3] for camera in self.cameras], 0), np.array([0.0, 1.0, 0.0]))

    @property
    def front(self) -> np.ndarray:
        """(3,) unit, at right angles to `up`: from what the cameras look at towards them."""
        backward = -np.sum([camera.T_camera_world[2, :3] for camera in self.cameras], 0)
        up = self.up
        least = np.eye(3)[int(np.abs(up).argmin())]
        return _unit(backward - up * (up @ backward), np.cross(up, least))

    def axes(self) -> np.ndarray:
        """(4, 3): the origin and the ends of the axes."""
        return np.concatenate([np.zeros((1, 3)), AXES_M * np.eye(3)])


def _unit(vector: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    length = float(np.linalg.norm(vector))
    return vector / length if length > 1e-6 else otherwise / np.linalg.norm(otherwise)
