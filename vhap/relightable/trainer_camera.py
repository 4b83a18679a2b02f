"""The one kind of camera that the trainers know: square pixels and the principal point in the picture's centre."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.optimize import least_squares
from torch import Tensor

from vhap.geometry.cameras import Camera
from vhap.geometry.rotations import axis_angle_to_matrix
from vhap.util.choice import even_choice

MOST_POINTS = 4000
"""Of the head in all frames, that the camera is fitted to."""


@dataclass(frozen=True)
class TrainerCamera:
    """camera: single, float64, fx = fy, the principal point in the centre. distance_px: how far from where the tracked
    camera places the head it places it, mean and largest over the points that it was fitted to; 0 where it is that
    camera."""

    camera: Camera
    distance_px: tuple[float, float] = (0.0, 0.0)
    turn_deg: float = 0.0


def is_centred(camera: Camera) -> bool:
    """Whether a single camera has square pixels and its principal point in the centre."""
    values = (float(camera.fx) - float(camera.fy), float(camera.cx) - camera.width / 2)
    return max(*map(abs, values), abs(float(camera.cy) - camera.height / 2)) < 1e-6


def trainer_camera(camera: Camera, points: Tensor) -> TrainerCamera:
    """The camera of the trainers that places the head where a tracked one does, as nearly as can be.

    camera: single, as tracked. points (..., 3): of the head in the world. A principal point beside the centre is nearly
    a turn of the camera about its own centre, which needs no depths and so serves all frames: pixels change by a
    homography. Unequal focal lengths are no motion of any camera; what they leave is told in distance_px. Turn and
    focal length are solved by least squares over the projected points.
    """
    camera = camera.to("cpu").to(torch.float64)
    if is_centred(camera):
        return TrainerCamera(camera)
    flat = points.reshape(-1, 3).double().cpu()
    flat = flat[even_choice(len(flat), MOST_POINTS)]
    wanted = camera.project(flat)[0]
    focal = float((camera.fx * camera.fy).sqrt())

    def differences(x: np.ndarray) -> np.ndarray:
        return (_turned(camera, x, focal).project(flat)[0] - wanted).numpy().ravel()

    solved = least_squares(differences, np.zeros(4), x_scale=(1e-2, 1e-2, 1e-2, 1e-2))
    distances = np.linalg.norm(differences(solved.x).reshape(-1, 2), axis=1)
    return TrainerCamera(
        _turned(camera, solved.x, focal),
        (float(distances.mean()), float(distances.max())),
        float(np.degrees(np.linalg.norm(solved.x[:3]))),
    )


def _turned(camera: Camera, x: np.ndarray, focal: float) -> Camera:
    """x (4,): turn of the camera's axes (rad), and the logarithm of what the focal length is multiplied by."""
    turn = torch.eye(4, dtype=torch.float64)
    turn[:3, :3] = axis_angle_to_matrix(torch.from_numpy(x[:3]))
    length = torch.tensor(focal * float(np.exp(x[3])), dtype=torch.float64)
    centre_x, centre_y = (torch.tensor(side / 2, dtype=torch.float64) for side in (camera.width, camera.height))
    pose = turn @ camera.T_camera_world
    return replace(camera, fx=length, fy=length, cx=centre_x, cy=centre_y, T_camera_world=pose)
