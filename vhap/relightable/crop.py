"""The part of a video's pictures that a subject's pictures show, so that everything maps back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Crop:
    """box: x0, y0, x1, y1 in pixels of the video's pictures, ends exclusive; it may leave them, where the cut is filled
    with black. source_size, size: (height, width) of the video's pictures and of the subject's. Box and size have one
    shape, so that pixels stay square, unless the subject's pictures were made otherwise."""

    source_size: tuple[int, int]
    box: tuple[int, int, int, int]
    size: tuple[int, int]

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels of the subject's pictures for one of the video's, along x and y."""
        x0, y0, x1, y1 = self.box
        return self.size[1] / (x1 - x0), self.size[0] / (y1 - y0)

    def cut_points(self, points_px: np.ndarray) -> np.ndarray:
        """(..., 2) pixels of the video's pictures -> of the subject's; pixel centres at half integers."""
        return (points_px - np.array(self.box[:2])) * np.array(self.scale)

    def original_points(self, points_px: np.ndarray) -> np.ndarray:
        """The inverse of `cut_points`."""
        return points_px / np.array(self.scale) + np.array(self.box[:2])
