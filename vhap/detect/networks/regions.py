"""Rotated rectangles of a picture, and the crops of them that the networks look at, as MediaPipe cuts them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

FACE_SCALE = 1.5
"""Side of the mesh's crop, in longer sides of the face's box."""


@dataclass(frozen=True)
class Region:
    """Centre, width and height in px of the picture, and the rotation in radians that turns its upright sides there
    (from x to y, which is clockwise to the eye)."""

    x: float
    y: float
    width: float
    height: float
    rotation: float = 0.0

    def to_picture(self, points: np.ndarray) -> np.ndarray:
        """(..., 2) shares of the region's sides, from its upper left corner -> px of the picture."""
        upright = (points - 0.5) * [self.width, self.height]
        cosine, sine = math.cos(self.rotation), math.sin(self.rotation)
        return upright @ np.array([[cosine, sine], [-sine, cosine]]) + [self.x, self.y]


Cut = Callable[[np.ndarray, Region, tuple[int, int], bool], np.ndarray]
"""How a crop is made: `crop` or `crop_as_mediapipe`."""


def whole_picture(picture: np.ndarray, is_square: bool = False) -> Region:
    """is_square: with borders above and below, or on both sides."""
    height, width = picture.shape[:2]
    sides = (max(height, width),) * 2 if is_square else (width, height)
    return Region(width / 2, height / 2, *sides)


def face_region(box: np.ndarray, left: np.ndarray, right: np.ndarray) -> Region:
    """What the mesh looks at of a face. box: (4,) x0 y0 x1 y1 px; left, right: (2,) px, the eyes as the picture has
    them, whose line is turned level."""
    side = FACE_SCALE * float((box[2:] - box[:2]).max())
    centre = (box[:2] + box[2:]) / 2
    rotation = math.atan2(right[1] - left[1], right[0] - left[0])
    return Region(float(centre[0]), float(centre[1]), side, side, rotation)


def crop_as_mediapipe(picture: np.ndarray, region: Region, size: tuple[int, int], repeats_border: bool) -> np.ndarray:
    """(H, W, 3) uint8 -> (height, width, 3) uint8 by bilinear look-ups. size: (width, height).

    What lies outside the picture is black, or as its border. MediaPipe takes the rectangle's corners for centres of
    pixels, so that points found in the crop lie half a pixel of the crop less half a pixel of the picture beside their
    place; and nothing is averaged where the crop is smaller than the rectangle.
    """
    import cv2

    sides = (region.width, region.height)
    corners = cv2.boxPoints(((region.x, region.y), sides, math.degrees(region.rotation)))
    width, height = size
    ends = np.array([[0, height], [0, 0], [width, 0], [width, height]], np.float32)
    to_crop = cv2.getPerspectiveTransform(corners, ends)
    border = cv2.BORDER_REPLICATE if repeats_border else cv2.BORDER_CONSTANT
    return cv2.warpPerspective(picture, to_crop, size, flags=cv2.INTER_LINEAR, borderMode=border)


def crop(picture: np.ndarray, region: Region, size: tuple[int, int], repeats_border: bool) -> np.ndarray:
    """The same with the rectangle's corners on the crop's corners, and with pixels averaged where it is smaller."""
    import cv2

    scale = np.array([size[0] / region.width, size[1] / region.height])
    step = round(max(1.0, 2.0 ** math.floor(-math.log2(scale.max()))))
    left, top, part = _part_of(picture, region, step)
    if min(part.shape[:2]) < step:
        # A picture of a few pixels has nothing to average.
        step = 1
    if step > 1:
        part = cv2.resize(part, None, fx=1 / step, fy=1 / step, interpolation=cv2.INTER_AREA)
    cosine, sine = math.cos(region.rotation), math.sin(region.rotation)
    turn = scale[:, None] * np.array([[cosine, sine], [-sine, cosine]])
    shift = np.array(size) / 2 - turn @ [region.x - left, region.y - top]
    # Pixel centres stand at half integers here, at integers in OpenCV.
    to_crop = np.column_stack([turn * step, shift + (turn * step).sum(1) / 2 - 0.5])
    border = cv2.BORDER_REPLICATE if repeats_border else cv2.BORDER_CONSTANT
    return cv2.warpAffine(part, to_crop, size, flags=cv2.INTER_LINEAR, borderMode=border)


def _part_of(picture: np.ndarray, region: Region, step: int) -> tuple[int, int, np.ndarray]:
    """What a crop needs of a picture, with the pixel where it begins: whole squares of step x step pixels."""
    reach = math.hypot(region.width, region.height) / 2 + 2 * step
    ends = []
    for middle, length in ((region.x, picture.shape[1]), (region.y, picture.shape[0])):
        first = min(math.floor((middle - reach) / step), length // step - 1) * step
        last = max(math.ceil((middle + reach) / step) * step, step)
        ends.append((max(0, first), min(length, last)))
    (left, right), (top, bottom) = ends
    return left, top, picture[top:bottom, left:right]
