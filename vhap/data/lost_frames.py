"""Pictures that show nothing of the head: black ones, those that the head has left, those with an empty matte.

A head that no detector found is not lost by that: trackers follow it by its pictures through a few frames.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from vhap.data.agreement import Contradiction, contradiction
from vhap.data.pictures import shrink
from vhap.data.sample import Capture
from vhap.util.threads import in_threads

CONSTANT, OUTSIDE = "the picture is black or of one colour", "the head is outside the picture"
NO_MATTE = "the matte is empty where the head is"
NO_HEAD = "no face is found and the picture shows something else"
SIDE = 128
"""Longest side in pixels of the mattes that are judged."""
CONTRAST_SIDE, LEAST_CONTRAST = 32, 6
"""A picture whose values, averaged to so many pixels a side, lie within less than so many of 255 shows nothing: noise
and the blocks of video codecs average out, a face of 50 pixels in a picture of 1920 does not."""
LEAST_IN_VIEW = 0.05
"""Share of the head's vertices that the picture must hold."""
LEAST_COVER = 0.1
"""Share of the head's outline that the matte must cover. Hands and hair before it cover far less than the rest."""
WHOLE_COVER = 0.5
"""Share from which the matte is one of the head."""
LONG, LONG_AT_ENDS = 25, 5
"""Frames in a row without a face, between others and at the recording's ends, after which nothing tells where the head
is."""


@dataclass(frozen=True)
class SmallPicture:
    """What is kept of a picture. contrast: range of its averaged values in 0..255, of the colour that varies most;
    size: (height, width) of its matte, at most SIDE, None without one; packed: the matte, deflated, since those of long
    videos are in memory together."""

    contrast: float
    size: tuple[int, int] | None
    packed: bytes

    @classmethod
    def of(cls, contrast: float, alpha: np.ndarray | None) -> SmallPicture:
        """alpha: (h, w) uint8 or None."""
        if alpha is None:
            return cls(contrast, None, b"")
        return cls(contrast, (alpha.shape[0], alpha.shape[1]), zlib.compress(alpha.tobytes(), 1))

    @property
    def alpha(self) -> np.ndarray | None:
        """(h, w) uint8 its matte, or None."""
        return None if self.size is None else np.frombuffer(zlib.decompress(self.packed), np.uint8).reshape(self.size)

    @property
    def is_constant(self) -> bool:
        return self.contrast < LEAST_CONTRAST

    def contradiction(self, points: np.ndarray) -> Contradiction | None:
        """Between the matte and the points (N, 3) of a face, as files have them; None also without a matte."""
        alpha = self.alpha
        return None if alpha is None else contradiction(points, alpha)


def small_picture(rgb: np.ndarray, alpha: np.ndarray | None) -> SmallPicture:
    """rgb (H, W, 3), alpha (H, W) or None, float32 in [0, 1]; of pictures as they were filmed, not over a colour."""
    few = shrink(rgb, _within(rgb.shape, CONTRAST_SIDE)).reshape(-1, 3)
    contrast = 255 * float((few.max(0) - few.min(0)).max())
    if alpha is not None:
        alpha = np.rint(shrink(alpha, _within(alpha.shape, SIDE)) * 255).astype(np.uint8)
    return SmallPicture.of(contrast, alpha)


def small_pictures(capture: Capture, timesteps: Sequence[int], cameras: Sequence[int]) -> list[list[SmallPicture]]:
    """Of timesteps and, inside, of cameras, as indices into a capture without a background colour."""

    def of_timestep(timestep: int) -> list[SmallPicture]:
        batch = capture.load([timestep], list(cameras))
        alphas = [None] * len(batch.rgb) if batch.alpha is None else batch.alpha.numpy()
        return [small_picture(rgb, alpha) for rgb, alpha in zip(batch.rgb.numpy(), alphas)]

    return list(in_threads(of_timestep, timesteps, first_alone=True))


@dataclass(frozen=True)
class HeadInPicture:
    """Where a head stands. in_view: share of its vertices; cover: share of its outline that the matte covers, NaN
    without a matte or outside the picture."""

    in_view: float
    cover: float


def head_in_picture(picture: SmallPicture, points: np.ndarray, depth: np.ndarray) -> HeadInPicture:
    """points (V, 2): the head's vertices above the neck, x / width and y / height; depth (V,), positive before the
    camera."""
    inside = (depth > 0) & ((points >= 0) & (points < 1)).all(1)
    in_view = float(inside.mean())
    alpha = picture.alpha
    if alpha is None or not inside.any():
        return HeadInPicture(in_view, np.nan)
    height, width = alpha.shape
    # Vertices outside the picture count in its outline, as far as OpenCV's integers reach.
    pixels = np.clip(points[depth > 0] * [width, height], -8 * SIDE, 8 * SIDE).astype(np.int32)
    outline = np.zeros(alpha.shape, np.uint8)
    cv2.fillConvexPoly(outline, cv2.convexHull(pixels), (1,))
    return HeadInPicture(in_view, float(alpha[outline > 0].mean()) / 255)


def picture_reason(picture: SmallPicture, head: HeadInPicture) -> str:
    """Why a picture shows nothing by itself, empty where it may show the head."""
    if picture.is_constant:
        return CONSTANT
    if head.in_view < LEAST_IN_VIEW:
        return OUTSIDE
    return NO_MATTE if head.cover < LEAST_COVER else ""


def without_face(found: np.ndarray, covered: np.ndarray, strange: np.ndarray | None) -> np.ndarray:
    """(T,) bool: timesteps without a face in which nothing else shows the head.

    found (T,): a face was detected. covered (T,): the matte covers where the head should be. strange (T,): the picture
    is far from the tracked head drawn over it; None where it has no albedo to compare with.
    Between detections, up to LONG frames that the matte covers are a head that is turned or covered. Where nobody can
    compare, long rows are lost that no matte covers.
    """
    lost = np.zeros(len(found), bool)
    for first, last in _runs(~found):
        rows = slice(first, last)
        at_end = first == 0 or last == len(found)
        is_long = last - first > (LONG_AT_ENDS if at_end else LONG)
        if strange is None:
            lost[rows] = is_long & ~covered[rows]
        else:
            lost[rows] = strange[rows] & (at_end | is_long | ~covered[rows])
    return lost


def _runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """First and one past last of each row of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(int)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist()))


def _within(shape: Sequence[int], side: int) -> tuple[int, int]:
    factor = min(1.0, side / max(shape[:2]))
    return max(1, round(shape[0] * factor)), max(1, round(shape[1] * factor))
