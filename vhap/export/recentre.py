"""Padding pictures so that the principal point is their centre."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from vhap.geometry.cameras import Camera
from vhap.util.optional import import_or_explain


@dataclass(frozen=True)
class Padding:
    """How one camera's pictures are moved into larger ones: size (height, width), shift (x, y) in px. resized: the
    size to which these are scaled then; None: not at all."""

    size: tuple[int, int]
    shift: tuple[float, float]
    resized: tuple[int, int] | None = None

    @property
    def mixes_pixels(self) -> bool:
        """Whether a new pixel may take from several of the old ones."""
        return (self.resized or self.size) != self.size or any(float(value) % 1 for value in self.shift)

    def apply(self, picture: np.ndarray) -> np.ndarray:
        """(H, W) or (H, W, 3) in [0, 1], or bytes where no pixels are mixed -> the same of the new size; what is new is
        0. Bilinear where the shift is not whole."""
        cv2 = import_or_explain("cv2")
        height, width = self.size
        if any(float(value) % 1 for value in self.shift):
            matrix = np.array([[1, 0, self.shift[0]], [0, 1, self.shift[1]]], np.float64)
            picture = cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_LINEAR)
        elif picture.shape[:2] != self.size or self.shift != (0, 0):
            picture = self._shifted(picture, int(self.shift[0]), int(self.shift[1]))
        if self.resized is None or self.resized == self.size:
            return picture
        # Cubic interpolation shrinks without averaging.
        way = cv2.INTER_AREA if self.resized[0] < height else cv2.INTER_CUBIC
        return cv2.resize(picture, self.resized[::-1], interpolation=way).clip(0, 1)

    def _shifted(self, picture: np.ndarray, right: int, down: int) -> np.ndarray:
        """By whole pixels."""
        moved = np.zeros((*self.size, *picture.shape[2:]), picture.dtype)
        kept = picture[max(0, -down) : self.size[0] - down, max(0, -right) : self.size[1] - right]
        moved[max(0, down) :, max(0, right) :][: kept.shape[0], : kept.shape[1]] = kept
        return moved


def centring(cameras: list[Camera]) -> list[Padding]:
    """Paddings of single cameras of one picture size that put every principal point in the middle.

    No pixel is lost, all new pictures have one size, and its sides are even.
    """
    height, width = cameras[0].height, cameras[0].width
    half_width = max(max(float(camera.cx), width - float(camera.cx)) for camera in cameras)
    half_height = max(max(float(camera.cy), height - float(camera.cy)) for camera in cameras)
    middle = (_whole(half_width), _whole(half_height))
    size = (2 * middle[1], 2 * middle[0])
    return [Padding(size, (middle[0] - float(c.cx), middle[1] - float(c.cy))) for c in cameras]


def keeping(cameras: list[Camera]) -> list[Padding]:
    """Paddings that change nothing."""
    return [Padding((camera.height, camera.width), (0, 0)) for camera in cameras]


def padded_camera(camera: Camera, padding: Padding) -> Camera:
    """The camera of the padded pictures."""
    height, width = padding.size
    moved = replace(
        camera, cx=camera.cx + padding.shift[0], cy=camera.cy + padding.shift[1], height=height, width=width
    )
    return moved if padding.resized is None else moved.resized(*padding.resized)


def _whole(value: float) -> int:
    return math.ceil(value - 1e-6)
