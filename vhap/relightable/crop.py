"""The part of a video's pictures that a subject's pictures show, so that everything maps back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np

from vhap.util.optional import import_or_explain

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Crop:
    """box: x0, y0, x1, y1 in pixels of the video's pictures, ends exclusive; it may leave them, where the cut is filled
    with black. source_size, size: (height, width) of the video's pictures and of the subject's. Box and size have one
    shape up to rounding, so that pixels stay square, unless the subject's pictures were made otherwise. region: box of
    what counts in the video's pictures, all else is black in the cut, too; None: all of them."""

    source_size: tuple[int, int]
    box: Box
    size: tuple[int, int]
    region: Box | None = None

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels of the subject's pictures for one of the video's, along x and y."""
        x0, y0, x1, y1 = self.box
        return self.size[1] / (x1 - x0), self.size[0] / (y1 - y0)

    @property
    def visible(self) -> Box:
        """The part of the box that is not filled with black, in pixels of the video's pictures."""
        height, width = self.source_size
        region = self.region or (0, 0, width, height)
        x0, y0 = (min(max(low, inner, 0), high) for low, inner, high in zip(region, self.box, self.box[2:]))
        x1, y1 = (
            max(min(high, outer, end), low)
            for high, outer, end, low in zip(region[2:], self.box[2:], (width, height), (x0, y0))
        )
        return x0, y0, x1, y1

    @property
    def padding(self) -> Box:
        """Black rows and columns on the left, top, right and bottom, in pixels of the video's pictures."""
        shown = self.visible
        return cast(Box, tuple(abs(inner - outer) for inner, outer in zip(shown, self.box)))

    @property
    def matrix(self) -> np.ndarray:
        """(3, 3) pixels of the video's pictures -> of the subject's, homogeneous. A camera with intrinsics K in the
        video has matrix @ K here, with the same pose."""
        (scale_x, scale_y), (x0, y0) = self.scale, self.box[:2]
        return np.array([[scale_x, 0, -x0 * scale_x], [0, scale_y, -y0 * scale_y], [0, 0, 1]])

    def cut_points(self, points_px: np.ndarray) -> np.ndarray:
        """(..., 2) pixels of the video's pictures -> of the subject's; pixel centres at half integers."""
        return (points_px - np.array(self.box[:2])) * np.array(self.scale)

    def original_points(self, points_px: np.ndarray) -> np.ndarray:
        """The inverse of `cut_points`."""
        return points_px / np.array(self.scale) + np.array(self.box[:2])

    def cut(self, picture: np.ndarray) -> np.ndarray:
        """A picture of the video's, (H, W) or (H, W, 3) uint8, cut and scaled; black where it shows nothing."""
        cv2 = import_or_explain("cv2")
        x0, y0, x1, y1 = self.visible
        left, top, right, bottom = self.padding
        part = picture[y0:y1, x0:x1]
        part = np.pad(part, ((top, bottom), (left, right), *[(0, 0)] * (picture.ndim - 2)))
        # Cubic interpolation shrinks without averaging.
        way = cv2.INTER_AREA if min(self.scale) < 1 else cv2.INTER_CUBIC
        return cv2.resize(part, self.size[::-1], interpolation=way) if part.shape[:2] != self.size else part

    def inside(self) -> np.ndarray:
        """(H, W) bool of the subject's pictures: pixels that show the video alone, nothing of the black around it."""
        x0, y0, x1, y1 = self.visible
        (low_x, low_y), (high_x, high_y) = (self.cut_points(np.array(corner)) for corner in ((x0, y0), (x1, y1)))
        across, down = np.arange(self.size[1]), np.arange(self.size[0])
        columns = (across >= low_x - 1e-6) & (across + 1 <= high_x + 1e-6)
        rows = (down >= low_y - 1e-6) & (down + 1 <= high_y + 1e-6)
        return rows[:, None] & columns[None]
