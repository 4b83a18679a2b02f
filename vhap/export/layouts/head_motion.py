"""The head's rigid motion taken out of its pose: what trainers want that keep the head still and move the camera.

x_world = T_world_head @ x_head, where x_head is the head as jaw, eyes and expression move it, without its root and
neck. A turn of the root is such a motion exactly. A turn of the neck is one for all that hangs on the neck joint alone;
what lies between neck and shoulders it bends, which no rigid motion does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from vhap.export.centred_result import CentredTrack
from vhap.geometry.cameras import Camera
from vhap.geometry.rotations import axis_angle_to_matrix
from vhap.geometry.similarities import rigid_between
from vhap.head.model import pose

OPENCV_OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
"""Between the camera axes of OpenGL and OpenCV, either way."""
RIGID_PARTS = ("face", "scalp")


@dataclass(frozen=True)
class MovedHead:
    """vertices (V, 3) in the world, and posed (V, 3): the head without root and neck, at its model's origin; float64.
    T_world_head (4, 4): the motion that takes the second's face nearest to the first's."""

    vertices: Tensor
    posed: Tensor
    T_world_head: np.ndarray

    @property
    def in_head(self) -> np.ndarray:
        """(V, 3): the vertices of the world, in the head's frame; bent as the neck bends them."""
        inverse = np.linalg.inv(self.T_world_head)
        return self.vertices.numpy() @ inverse[:3, :3].T + inverse[:3, 3]


class HeadMotion:
    """Of a track in whose world lengths are the head's."""

    def __init__(self, track: CentredTrack) -> None:
        self.track = track
        regions = track.head.regions
        ids = [regions[name] for name in RIGID_PARTS if len(regions.get(name, ()))]
        self.rigid_ids = torch.unique(torch.cat(ids)) if ids else torch.arange(track.head.n_vertices)

    @torch.no_grad()
    def at(self, row: int) -> MovedHead:
        params = self.track.params(row)
        still = torch.zeros(3)
        posed = pose(
            self.track.head, replace(params, rotation=still, neck_pose=still, translation=still, scale=None)
        ).double()
        vertices = self.track.vertices(row)
        T_world_head = rigid_between(posed[self.rigid_ids], vertices[self.rigid_ids]).numpy()
        return MovedHead(vertices, posed, T_world_head)

    def deviation_mm(self, row: int) -> tuple[float, float]:
        """How far the still neck's head lies from the tracked one: on the face and scalp, mean, and anywhere, most."""
        moved = self.at(row)
        distance = 1000 * np.linalg.norm(moved.in_head - moved.posed.numpy(), axis=1)
        return float(distance[self.rigid_ids.numpy()].mean()), float(distance.max())


def opencv_extrinsics(camera: Camera, T_world_head: np.ndarray) -> np.ndarray:
    """(4, 4) from the head's frame to camera axes of OpenCV: x right, y down, z forward."""
    return OPENCV_OPENGL @ camera.T_camera_world.double().numpy() @ T_world_head


def intrinsic_matrix(camera: Camera) -> np.ndarray:
    """(3, 3), px."""
    fx, fy, cx, cy = (float(value) for value in (camera.fx, camera.fy, camera.cx, camera.cy))
    return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])


def six_numbers(matrix: np.ndarray) -> np.ndarray:
    """(..., 3, 3) -> (..., 6): the first two rows of a rotation, as PyTorch3D has it."""
    return matrix[..., :2, :].reshape(*matrix.shape[:-2], 6)


def turns_as_six(axis_angles: np.ndarray) -> np.ndarray:
    """(..., 3) axis-angle -> (..., 6)."""
    return six_numbers(axis_angle_to_matrix(torch.from_numpy(np.asarray(axis_angles, np.float64))).numpy())


def padded(values: np.ndarray, count: int) -> np.ndarray:
    """The coefficients with zeros behind them: a fit with fewer of a basis is one with all of it."""
    values = np.asarray(values, np.float64).reshape(-1)
    return np.concatenate([values[:count], np.zeros(max(0, count - len(values)))])
