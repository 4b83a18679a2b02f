"""The part of a picture that a head may cover: pixels beside it need not be rendered nor looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from vhap.geometry.cameras import NEAR_M, Camera

MARGIN_PX = 2
"""Beside the outermost vertices: antialiasing mixes with the next pixel."""


@dataclass(frozen=True)
class Window:
    """Some rows and columns of a picture."""

    top: int
    left: int
    height: int
    width: int

    def of(self, picture: np.ndarray) -> np.ndarray:
        """(H, W, ...) -> (height, width, ...), on the same memory."""
        return picture[self.top : self.top + self.height, self.left : self.left + self.width]


def head_windows(points_px: Tensor, depth: Tensor, size: tuple[int, int]) -> list[Window]:
    """One for each of B heads, all of one size, so that they are rendered together.

    points_px (B, V, 2): their vertices in pictures of size (height, width); depth (B, V): before the camera, metres.
    The whole pictures where a vertex is not before its camera, or not finite.
    """
    known = torch.isfinite(points_px).all() and bool((depth > NEAR_M).all())
    if not known:
        return [Window(0, 0, *size)] * len(points_px)
    limit = torch.tensor([size[1], size[0]], device=points_px.device)
    low = (points_px.amin(1).floor() - MARGIN_PX).clamp(min=0).minimum(limit - 1).long()
    high = (points_px.amax(1).ceil() + MARGIN_PX).minimum(limit).long()
    width, height = (high - low).amax(0).clamp(min=1).tolist()
    starts = low.minimum(limit - torch.tensor([width, height], device=limit.device)).tolist()
    return [Window(top, left, height, width) for left, top in starts]


def seen_through(cameras: Camera, windows: Sequence[Window]) -> Camera:
    """Cameras (B,) of the windows of their pictures."""
    left, top = (cameras.cx.new_tensor([getattr(w, side) for w in windows]) for side in ("left", "top"))
    size = {"height": windows[0].height, "width": windows[0].width}
    return replace(cameras, cx=cameras.cx - left, cy=cameras.cy - top, **size)
