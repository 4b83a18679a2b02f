"""Cameras around a synthetic person, and the world that their calibration is written in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from vhap.geometry.cameras import Camera
from vhap.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from vhap.head.model import HeadModel, HeadParams, joint_places
from vhap.render.shading import rotated_lights

ARC_RAD = np.radians(45.0)
ELEVATIONS_RAD = np.radians((0.0, 18.0, -14.0, 8.0, 24.0, -6.0))
"""Repeated along the arc, from its middle on."""
DISTANCE_M = (0.95, 1.05)
RING_PITCHES_RAD = np.radians((120.0, 90.0, 60.0))
"""From straight up: below the head, level with it, above it."""
FRONT_YAW_RAD = np.radians(90.0)
OFF_CENTRE = 0.01
"""Largest distance of the principal point from the picture's centre, and spread of focal lengths, as shares."""
LARGEST_TURN_RAD, LARGEST_SHIFT_M = np.radians(25.0), 0.1
SCALES, SIMILARITY_SHIFT = (0.2, 8.0), 2.0


@dataclass(frozen=True)
class World:
    """x_world = scale * rotation @ x_head + translation, where x_head (metres) is the space the person is filmed in.

    rotation (3, 3), translation (3,) float64.
    """

    scale: float
    rotation: np.ndarray
    translation: np.ndarray

    def camera_pose(self, T_camera_head: np.ndarray) -> np.ndarray:
        """(..., 4, 4) rigid, from metres in the head's space -> rigid, from the calibration's world."""
        pose = T_camera_head.copy()
        pose[..., :3, :3] = T_camera_head[..., :3, :3] @ self.rotation.T
        pose[..., :3, 3] = self.scale * T_camera_head[..., :3, 3] - pose[..., :3, :3] @ self.translation
        return pose

    def params(self, model: HeadModel, params: HeadParams) -> HeadParams:
        """The same motion, posed into this world. The root turns about its own place, which the shift makes up for."""
        root = joint_places(model, params.shape)[0].double()
        turn, shift = torch.from_numpy(self.rotation), torch.from_numpy(self.translation)
        rotation = turn @ axis_angle_to_matrix(params.rotation.double())
        translation = self.scale * ((params.translation + root).double() @ turn.T - root) + shift
        scale = None if self.scale == 1 else torch.tensor(self.scale, dtype=torch.float32)
        moved = {"rotation": matrix_to_axis_angle(rotation).float(), "translation": translation.float()}
        return replace(params, **moved, scale=scale)

    def lights(self, lights: Tensor) -> Tensor:
        """(9, 3) harmonics of the head's space -> those that shade turned normals alike."""
        return rotated_lights(lights, torch.from_numpy(self.rotation))


@dataclass(frozen=True)
class SyntheticRig:
    """C cameras. names: serials; K (C, 3, 3) in pixels of pictures of `size` (height, width); T_camera_head
    (C, 4, 4) float64 in OpenGL axes, metres."""

    names: tuple[str, ...]
    K: np.ndarray
    size: tuple[int, int]
    T_camera_head: np.ndarray
    world: World

    def camera(self, index: int, height: int, width: int) -> Camera:
        """One camera in the head's space, for pictures of another size."""
        matrix = torch.from_numpy(self.K[index]).float()
        pose = torch.from_numpy(self.T_camera_head[index]).float()
        fx, fy, cx, cy = matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]
        return Camera(fx, fy, cx, cy, pose, *self.size).resized(height, width)


def make_rig(
    names: Sequence[str],
    places: Sequence[int],
    total: int,
    size: tuple[int, int],
    focal: float,
    shared: bool,
    seed: int,
) -> SyntheticRig:
    """Cameras before the face at some places of an arc that has `total` of them; a metric world.

    size: (height, width) that the intrinsics count in; focal: in units of the longer side; shared: one K for all.
    """
    random = np.random.default_rng((seed, 40))
    poses = arc_poses(total, random)[list(places)]
    count = 1 if shared else len(names)
    matrices = np.tile(np.eye(3), (count, 1, 1))
    matrices[:, [0, 1], [0, 1]] = focal * max(size) * (1 + OFF_CENTRE * random.uniform(-1, 1, (count, 1)))
    matrices[:, :2, 2] = np.array(size[::-1]) * (0.5 + OFF_CENTRE * random.uniform(-1, 1, (count, 2)))
    matrices = np.broadcast_to(matrices, (len(names), 3, 3)).copy()
    return SyntheticRig(tuple(names), matrices, size, poses, metric_world(seed))


def arc_poses(count: int, random: np.random.Generator) -> np.ndarray:
    """(count, 4, 4) T_camera_head, OpenGL axes: from 45 degrees on one side to the other, the middle one in front."""
    front = count // 2
    steps = (np.arange(count) - front) / max(front, 1)
    poses = []
    for index, azimuth in enumerate(ARC_RAD * steps):
        elevation = ELEVATIONS_RAD[abs(index - front) % len(ELEVATIONS_RAD)]
        level = np.cos(elevation)
        direction = np.array([level * np.sin(azimuth), np.sin(elevation), level * np.cos(azimuth)])
        poses.append(look_from(direction * random.uniform(*DISTANCE_M)))
    return np.stack(poses)


def ring_directions(count: int) -> list[tuple[float, float]]:
    """(pitch, yaw) in radians of `count` views all around, on three rings: pitch from straight up, yaw from the head's
    left over its front, which is at 90 degrees. count: a multiple of 3."""
    yaws = (FRONT_YAW_RAD + 2 * np.pi * np.arange(count // 3) / (count // 3)) % (2 * np.pi)
    return [(float(pitch), float(yaw)) for pitch in RING_PITCHES_RAD for yaw in np.sort(yaws)]


def make_ring(names: Sequence[str], size: tuple[int, int], focal: float, seed: int) -> SyntheticRig:
    """Equal cameras all around the head, principal points in the centre; a world of any scale along the head's axes.

    size: (height, width); focal: in units of the longer side.
    """
    distance = np.random.default_rng((seed, 40)).uniform(*DISTANCE_M)
    directions = [
        (np.sin(pitch) * np.cos(yaw), np.cos(pitch), np.sin(pitch) * np.sin(yaw))
        for pitch, yaw in ring_directions(len(names))
    ]
    poses = np.stack([look_from(distance * np.array(direction)) for direction in directions])
    focal_px = focal * max(size)
    matrix = np.array([[focal_px, 0, size[1] / 2], [0, focal_px, size[0] / 2], [0, 0, 1]])
    world = World(similar_world(seed).scale, np.eye(3), np.zeros(3))
    return SyntheticRig(tuple(names), np.tile(matrix, (len(names), 1, 1)), size, poses, world)


def look_from(centre: np.ndarray) -> np.ndarray:
    """(4, 4) T_camera_head of a camera at `centre` that looks at the origin, upright."""
    backwards = centre / np.linalg.norm(centre)
    right = np.cross([0.0, 1.0, 0.0], backwards)
    right /= np.linalg.norm(right)
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(backwards, right), backwards])
    pose[:3, 3] = -pose[:3, :3] @ centre
    return pose


def metric_world(seed: int) -> World:
    """Turned and shifted a little, since no calibration has the head's axes."""
    random = np.random.default_rng((seed, 41))
    turn = random.standard_normal(3)
    turn *= random.uniform(0.3, 1) * LARGEST_TURN_RAD / np.linalg.norm(turn)
    return World(1.0, Rotation.from_rotvec(turn).as_matrix(), LARGEST_SHIFT_M * random.uniform(-1, 1, 3))


def similar_world(seed: int) -> World:
    """Of any scale, orientation and origin, as structure from motion gives it."""
    random = np.random.default_rng((seed, 42))
    scale = float(np.exp(random.uniform(*np.log(SCALES))))
    turn = Rotation.from_quat(random.standard_normal(4)).as_matrix()
    return World(scale, turn, scale * SIMILARITY_SHIFT * random.uniform(-1, 1, 3))
