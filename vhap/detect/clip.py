"""A video's pictures and the face in them, as a matting method through time looks at them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from vhap.data.pictures import read_rgb
from vhap.detect.tracked_person import boxes_through_time


@dataclass(frozen=True)
class Clip:
    """files: pictures of one size, in the video's order. points: (T, N, 3) x / width, y / height, confidence of the
    person's face, 0 where not found; None: of nobody."""

    files: Sequence[Path]
    points: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.files)

    def read(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""
        return read_rgb(self.files[index])

    @cached_property
    def boxes(self) -> np.ndarray | None:
        """(T, 4) x0 y0 x1 y1 in shares of the picture, see `boxes_through_time`."""
        return None if self.points is None else boxes_through_time(self.points)

    @cached_property
    def face_share(self) -> float | None:
        """Median of the face's larger side, in the picture's; None: no face."""
        boxes = self.boxes
        return None if boxes is None else float(np.median((boxes[:, 2:] - boxes[:, :2]).max(1)))

    def box_px(self, index: int, size: tuple[int, int]) -> np.ndarray | None:
        """(4,) x0 y0 x1 y1 px of the face in a picture of a size (height, width)."""
        return None if self.boxes is None else self.boxes[index] * np.array([size[1], size[0]] * 2)
