"""Pinhole cameras, one convention: OpenGL axes (x right, y up, looking down -z), pixels with y down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vhap.geometry.similarities import split_similarity

NEAR_M, FAR_M = 0.01, 100.0


@dataclass(frozen=True)
class Camera:
    """One or several pinhole cameras of one picture size.

    fx, fy, cx, cy: (...,) pixels; cx from the left and cy from the top edge; pixel centres at half integers.
    T_camera_world: (..., 4, 4) rigid; maps world points (metres) to camera axes.
    """

    fx: Tensor
    fy: Tensor
    cx: Tensor
    cy: Tensor
    T_camera_world: Tensor
    height: int
    width: int

    def to(self, device: torch.device | str | torch.dtype) -> Camera:
        names = ("fx", "fy", "cx", "cy", "T_camera_world")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})

    def expand(self, count: int) -> Camera:
        """A single camera repeated count times along a new leading axis."""
        names = ("fx", "fy", "cx", "cy", "T_camera_world")
        return replace(self, **{n: getattr(self, n).expand(count, *getattr(self, n).shape) for n in names})

    def select(self, which: Tensor | int) -> Camera:
        """Some of several cameras, by their places (N,) along the leading axis; or one, without that axis."""
        names = ("fx", "fy", "cx", "cy", "T_camera_world")
        return replace(self, **{name: getattr(self, name)[which] for name in names})

    def resized(self, height: int, width: int) -> Camera:
        """The same cameras for pictures stretched to another size."""
        by_x, by_y = width / self.width, height / self.height
        return replace(
            self,
            fx=self.fx * by_x,
            fy=self.fy * by_y,
            cx=self.cx * by_x,
            cy=self.cy * by_y,
            height=height,
            width=width,
        )

    def moved(self, T_moved_world: Tensor) -> Camera:
        """The same cameras in a moved world: T_moved_world @ x projects onto the pixel that x projected onto.

        T_moved_world: (4, 4) similarity. Rays stay; lengths in camera axes grow by its scale s: rotation = R Q^T,
        translation = s t - R Q^T p, where x_moved = s Q x + p.
        """
        scale, turn, shift = split_similarity(T_moved_world.to(self.T_camera_world.device))
        pose = self.T_camera_world.double()
        rotation = pose[..., :3, :3] @ turn.T
        moved = pose.clone()
        moved[..., :3, :3], moved[..., :3, 3] = rotation, scale * pose[..., :3, 3] - rotation @ shift
        return replace(self, T_camera_world=moved.to(self.T_camera_world.dtype))

    def scaled(self, factor: Tensor) -> Camera:
        """The same cameras factor () or (1,) times as far from the world's origin. Differentiable by it."""
        pose = self.T_camera_world
        stretched = torch.cat([pose[..., :3, :3], factor * pose[..., :3, 3:]], -1)
        return replace(self, T_camera_world=torch.cat([stretched, pose[..., 3:, :]], -2))

    def centre(self) -> Tensor:
        """(..., 3) camera centres in the world, metres."""
        rotation, translation = self.T_camera_world[..., :3, :3], self.T_camera_world[..., :3, 3]
        return -(rotation.transpose(-1, -2) @ translation[..., None]).squeeze(-1)

    def from_world(self, points: Tensor) -> Tensor:
        """(..., N, 3) world -> (..., N, 3) camera axes."""
        rotation, translation = self.T_camera_world[..., :3, :3], self.T_camera_world[..., :3, 3]
        return points @ rotation.transpose(-1, -2) + translation[..., None, :]

    def project(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """(..., N, 3) world -> pixels (..., N, 2) and depth (..., N) in metres, positive in front of the camera.

        Points at or behind the camera plane are projected with their depth clamped to NEAR_M, so that no
        infinity enters an energy.
        """
        x, y, z = self.from_world(points).unbind(-1)
        depth = -z
        safe = depth.clamp(min=NEAR_M)
        x_px = self.fx[..., None] * x / safe + self.cx[..., None]
        y_px = self.cy[..., None] - self.fy[..., None] * y / safe
        return torch.stack([x_px, y_px], -1), depth

    def projection_derivatives(self, points: Tensor) -> Tensor:
        """Derivatives of the projected pixels by the world points (..., N, 3): (..., N, 2, 3). Zero in depth where
        the depth is clamped."""
        x, y, z = self.from_world(points).unbind(-1)
        depth = (-z).clamp(min=NEAR_M)
        free = (-z > NEAR_M).to(z.dtype)
        zero = torch.zeros_like(x)
        fx, fy = self.fx[..., None] / depth, self.fy[..., None] / depth
        row_x = torch.stack([fx, zero, free * fx * x / depth], -1)
        row_y = torch.stack([zero, -fy, -free * fy * y / depth], -1)
        return torch.stack([row_x, row_y], -2) @ self.T_camera_world[..., None, :3, :3]

    def focal_derivatives(self, projected: Tensor) -> Tensor:
        """Derivatives of projected pixels (..., N, 2) by the log focal length: (..., N, 2)."""
        return projected - torch.stack([self.cx, self.cy], -1)[..., None, :]

    def scale_derivatives(self, points: Tensor) -> Tensor:
        """Derivatives of the projected pixels of world points (..., N, 3) by the log of the factor by which cameras are
        `scaled`: (..., N, 2)."""
        return -(self.projection_derivatives(points) @ self.centre()[..., None, :, None]).squeeze(-1)

    def to_clip(self, points: Tensor) -> Tensor:
        """(..., N, 3) world -> (..., N, 4) clip space: after division x right, y up in [-1, 1], z near -1 to far 1.

        w is the depth. x_px = (x / w + 1) * width / 2 and y_px = (1 - y / w) * height / 2.
        """
        x, y, z = self.from_world(points).unbind(-1)
        depth = -z
        x_clip = 2 * (self.fx[..., None] * x + self.cx[..., None] * depth) / self.width - depth
        y_clip = depth - 2 * (self.cy[..., None] * depth - self.fy[..., None] * y) / self.height
        z_clip = (depth * (FAR_M + NEAR_M) - 2 * FAR_M * NEAR_M) / (FAR_M - NEAR_M)
        return torch.stack([x_clip, y_clip, z_clip, depth], -1)


def stacked_cameras(cameras: Sequence[Camera]) -> Camera:
    """Single cameras of one picture size along a new leading axis."""
    names = ("fx", "fy", "cx", "cy", "T_camera_world")
    return replace(cameras[0], **{name: torch.stack([getattr(one, name) for one in cameras]) for name in names})


def default_pose(dtype: torch.dtype = torch.float32) -> Tensor:
    """(4, 4) T_camera_world of an uncalibrated capture: at (0, 0, 1), looking at the origin, upright."""
    T_camera_world = torch.eye(4, dtype=dtype)
    T_camera_world[2, 3] = -1
    return T_camera_world


def camera_from_focal(focal: Tensor, height: int, width: int) -> Camera:
    """The uncalibrated camera of the tracking contract.

    focal: () or (B,), in units of max(height, width). Principal point at the picture's centre.
    """
    focal_px = focal * max(height, width)
    pose = default_pose(focal.dtype).to(focal.device).expand(*focal.shape, 4, 4)
    return Camera(
        fx=focal_px,
        fy=focal_px,
        cx=torch.full_like(focal_px, width / 2),
        cy=torch.full_like(focal_px, height / 2),
        T_camera_world=pose,
        height=height,
        width=width,
    )
