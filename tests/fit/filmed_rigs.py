"""Cameras around a built-in head that moves and talks, in a world of unknown scale, and what a detector sees."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from torch import Tensor
from tracked_heads import builtin_head, moving_params

from vhap.geometry.cameras import Camera
from vhap.head.model import HeadModel, HeadParams, landmark_head, landmark_points, pose, yaw_in_camera
from vhap.synthetic.rig import World, look_from, similar_world

SIZE = (802, 550)


@dataclass(frozen=True)
class FilmedRig:
    """head: landmark head; points_px (T, C, L, 2); weight (T, C, L); camera: in the world's units, which is
    x_world = world(x_head); clean_px: the points without noise; points (T, L, 3) true landmarks in the world."""

    head: HeadModel
    name: str
    points_px: Tensor
    weight: Tensor
    camera: Camera
    world: World
    clean_px: Tensor
    points: Tensor
    params: HeadParams

    @property
    def camera_ids(self) -> list[str]:
        return [f"cam{index}" for index in range(len(self.camera.fx))]


@cache
def head_with_points(name: str) -> HeadModel:
    """The landmark head; `mediapipe` are 478 points scattered over the face."""
    head = builtin_head()
    if name == "mediapipe":
        on_face = torch.isin(head.faces, head.regions["face"]).all(-1).nonzero().flatten()
        random = torch.Generator().manual_seed(0)
        face_ids = on_face[torch.randint(len(on_face), (478,), generator=random)]
        corners = torch.rand(478, 3, generator=random)
        points = replace(
            head.landmarks["ibug"],
            face_ids=face_ids,
            barycentrics=corners / corners.sum(-1, keepdim=True),
            detector_ids=torch.arange(478),
        )
        head = replace(head, landmarks={"mediapipe": points})
    return landmark_head(head, name)


def film(
    cameras: int,
    name: str = "ibug",
    arc_deg: float = 90.0,
    noise_px: float = 0.7,
    wrong: float = 0.1,
    seed: int = 0,
    world: World | None = None,
    shape: float = 0.0,
    timesteps: int = 8,
) -> FilmedRig:
    """Cameras on an arc around the head; noise of the landmarks, and the share of them that lie anywhere."""
    random, noise = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    world = world or similar_world(seed)
    poses = torch.from_numpy(np.stack([look_from(place) for place in _places(cameras, arc_deg, random)]))
    spread = torch.from_numpy(random.uniform(-1, 1, (3, cameras)))
    focal = 2.55 * SIZE[0] * (1 + 0.01 * spread[0])
    middle = (SIZE[1] * (0.5 + 0.05 * spread[1]), SIZE[0] * (0.5 + 0.05 * spread[2]))
    filmed = Camera(focal, focal, *middle, poses, *SIZE)
    head = head_with_points(name)
    motion = moving_params(timesteps, seed=seed).head()
    params = replace(motion, shape=shape * motion.shape)
    vertices = pose(head, params)
    yaws = [yaw_in_camera(params, filmed.T_camera_world[c, :3, :3].float()) for c in range(cameras)]
    seen = torch.stack([landmark_points(head, vertices, name, yaw) for yaw in yaws], 1).double()
    clean = filmed.project(seen)[0]
    points_px = clean + noise_px * torch.randn(clean.shape, generator=noise).double()
    anywhere = torch.rand(clean.shape, generator=noise).double() * torch.tensor(SIZE[::-1]).double()
    lost = torch.rand(clean.shape[:-1], generator=noise) < wrong
    return FilmedRig(
        head,
        name,
        torch.where(lost[..., None], anywhere, points_px),
        torch.ones(clean.shape[:-1]),
        replace(filmed, T_camera_world=torch.from_numpy(world.camera_pose(poses.numpy()))),
        world,
        clean,
        in_world(world, landmark_points(head, vertices, name).double()),
        params,
    )


def in_world(world: World, points: Tensor) -> Tensor:
    return world.scale * points @ torch.from_numpy(world.rotation).T + torch.from_numpy(world.translation)


def _places(cameras: int, arc_deg: float, random: np.random.Generator) -> np.ndarray:
    azimuth = np.radians(arc_deg) * (np.arange(cameras) / (cameras - 1) - 0.5)
    elevation = np.radians(arc_deg) * 0.15 * random.uniform(-1, 1, cameras)
    level = np.cos(elevation)
    direction = np.stack([level * np.sin(azimuth), np.sin(elevation), level * np.cos(azimuth)], 1)
    return direction * random.uniform(0.95, 1.05, (cameras, 1))
