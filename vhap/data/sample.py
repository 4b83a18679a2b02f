"""The typed sample every capture gives, whatever its folder looks like."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vhap.data.frame_cache import Frame
from vhap.geometry.cameras import Camera


@dataclass(frozen=True)
class FrameBatch:
    """B pictures: any mix of timesteps and cameras of one capture.

    timesteps, cameras: (B,) long indices into the capture's lists.
    rgb: (B, H, W, 3) in [0, 1], already over the background colour where one is set.
    alpha: (B, H, W) in [0, 1] or None.
    landmarks_px: (B, L, 2) in pixels of rgb; confidence: (B, L) in [0, 1], 0 where nothing was detected (the
    point's coordinates are then 0 and mean nothing).
    """

    timesteps: Tensor
    cameras: Tensor
    rgb: Tensor
    alpha: Tensor | None
    landmarks_px: Tensor
    confidence: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.rgb.shape[1], self.rgb.shape[2]

    def to(self, device: torch.device | str) -> FrameBatch:
        names = ("timesteps", "cameras", "rgb", "landmarks_px", "confidence")
        moved = {name: getattr(self, name).to(device) for name in names}
        return replace(self, **moved, alpha=None if self.alpha is None else self.alpha.to(device))

    def select(self, which: slice) -> FrameBatch:
        """Some of its pictures."""
        names = ("timesteps", "cameras", "rgb", "landmarks_px", "confidence")
        kept = {name: getattr(self, name)[which] for name in names}
        return replace(self, **kept, alpha=None if self.alpha is None else self.alpha[which])

    def shrunk(self, factor: int) -> FrameBatch:
        """The pictures averaged over factor x factor pixels (sizes rounded up), landmarks with them."""
        if factor == 1:
            return self
        height, width = self.size
        rgb = F.adaptive_avg_pool2d(self.rgb.permute(0, 3, 1, 2), shrunk_size(self.size, factor)).permute(0, 2, 3, 1)
        small_height, small_width = rgb.shape[1:3]
        scale = self.landmarks_px.new_tensor([small_width / width, small_height / height])
        alpha = self.alpha
        if alpha is not None:
            alpha = F.adaptive_avg_pool2d(alpha[:, None], (small_height, small_width))[:, 0]
        return replace(self, rgb=rgb.contiguous(), alpha=alpha, landmarks_px=self.landmarks_px * scale)


def landmarks_in_pixels(points: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """(..., 3) x / width, y / height, confidence, as files have them -> (..., 2) px of pictures of `size` (height,
    width) and confidence (...,)."""
    height, width = size
    return points[..., :2] * points.new_tensor([width, height]), points[..., 2].contiguous()


def shrunk_size(size: tuple[int, int], factor: int) -> tuple[int, int]:
    """(height, width) divided and rounded up."""
    return -(-size[0] // factor), -(-size[1] // factor)


def unit_floats(values: np.ndarray) -> Tensor:
    """uint8 -> float32 in [0, 1]."""
    return torch.from_numpy(values).float().div_(255)


class Capture(Protocol):
    """A recording on disk, checked when it is opened, so that no long run fails late."""

    folder: Path
    """Of the sequence."""
    timestep_ids: list[str]
    camera_ids: list[str]
    timestep_indices: list[int]
    """Index of every kept timestep in the unfiltered recording."""
    size: tuple[int, int]
    landmark_set: str
    """`mediapipe` or `ibug`: what the landmarks are points of."""
    background_rgb: tuple[float, float, float] | None

    def load(self, timesteps: list[int], cameras: list[int] | None = None) -> FrameBatch:
        """Pictures of these timesteps, by all cameras or these (timestep-major)."""
        ...

    def frame(self, timestep: int, camera: int = 0) -> Frame:
        """One picture of those that `load` gives, with its alpha map, as they are kept."""
        ...

    def load_landmarks(self) -> tuple[Tensor, Tensor]:
        """Landmarks of the whole capture without its pictures: (T, C, L, 2) px and confidence (T, C, L)."""
        ...

    def given_camera(self) -> Camera | None:
        """Cameras with leading axis C where they are known, else None."""
        ...
