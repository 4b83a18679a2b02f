"""Where the person whom the landmarks follow is in a picture, and a matte with that person alone.

Boxes of faces are (4,) x0 y0 x1 y1.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vhap.data.agreement import INSIDE, LEAST_COVER, box_points, detected_points

SPECK_SHARE, SPECK_FACES = 0.004, 0.016
"""Holes and islands below these shares, of the picture and of the face's box where a face is known, are errors; the gap
inside a bent arm is larger."""
SMALL = 1 / 8
"""Faces below this share of both of the picture's sides are small: matting networks see 256 x 256 pixels."""
REACH_LEFT_RIGHT, REACH_UP, REACH_DOWN = 4.0, 3.0, 5.0
"""Of the close look at a small face, in face sizes from its centre."""
SEAM = 0.1
"""Width of the border along which the close look fades into the whole picture, in its sides."""
TOUCHING = 0.05
"""Gap in face sizes below which two parts of a matte touch: a necklace, a strand of hair."""
PART = 0.2
"""Share of the face's points that a part of the matte must hold to count as the person's."""


@dataclass(frozen=True)
class Region:
    """Part of a picture. is_cut: whether its left, top, right and lower border lie within the picture."""

    rows: slice
    columns: slice
    is_cut: tuple[bool, bool, bool, bool]

    @property
    def corner(self) -> tuple[int, int]:
        """Left and top, px."""
        return self.columns.start, self.rows.start

    def weight(self) -> np.ndarray:
        """(H, W) float32: 1 inside, falling to 0 at borders within the picture."""
        height, width = self.rows.stop - self.rows.start, self.columns.stop - self.columns.start
        left, top, right, lower = self.is_cut
        across, down = _ramp(width, left, right), _ramp(height, top, lower)
        return np.minimum(down[:, None], across[None])


def speck_share(size: tuple[int, int], face: np.ndarray | None) -> float:
    """Share of a picture (height, width) below which holes and islands are errors. face: px, or None: not known."""
    if face is None:
        return SPECK_SHARE
    return min(SPECK_SHARE, SPECK_FACES * float(np.prod(face[2:] - face[:2])) / (size[0] * size[1]))


def close_region(face: np.ndarray, size: tuple[int, int]) -> Region | None:
    """A generous region of the body around a small face, px; None where the face is large in the picture.

    size: (height, width).
    """
    height, width = size
    extent = face[2:] - face[:2]
    if max(extent[0] / width, extent[1] / height) >= SMALL:
        return None
    return region_around(face, size, (REACH_LEFT_RIGHT, REACH_UP, REACH_DOWN))


def region_around(face: np.ndarray, size: tuple[int, int], reach: tuple[float, float, float]) -> Region:
    """What lies within a reach to both sides, up and down, in face sizes from the face's centre.

    size: (height, width) of the picture."""
    height, width = size
    (x, y), length = (face[:2] + face[2:]) / 2, float((face[2:] - face[:2]).max())
    aside, up, down = reach
    left, right = int(x - aside * length), int(np.ceil(x + aside * length))
    top, lower = int(y - up * length), int(np.ceil(y + down * length))
    is_cut = (left > 0, top > 0, right < width, lower < height)
    rows, columns = slice(max(0, top), min(height, lower)), slice(max(0, left), min(width, right))
    return Region(rows, columns, is_cut)


def boxes_through_time(points: np.ndarray) -> np.ndarray | None:
    """(T, 4) x / width, y / height of the face in every picture, interpolated where it was not found and the nearest
    one before the first and after the last; None where no picture shows it.

    points: (T, N, 3) x / width, y / height, confidence, 0 where not found.
    """
    faces = [detected_points(face) for face in points]
    found = [frame for frame, face in enumerate(faces) if len(face) > 1]
    if not found:
        return None
    boxes = np.array([[*faces[frame].min(0), *faces[frame].max(0)] for frame in found])
    return np.stack([np.interp(np.arange(len(points)), found, side) for side in boxes.T], axis=1)


def keep_person(alpha: np.ndarray, face: np.ndarray) -> np.ndarray:
    """(H, W) uint8 with the part that holds the face, and what touches it, alone; face: px.

    Unchanged where no part holds the face: it was interpolated and has moved on, or the matte lacks it.
    """
    solid = (alpha >= INSIDE).astype(np.uint8)
    if cv2.connectedComponents(solid, connectivity=8)[0] <= 2:
        return alpha
    count, found = cv2.connectedComponents(_bridged(solid, face), connectivity=8)
    labels = np.asarray(found, np.int32)
    if count <= 2:
        return alpha
    height, width = alpha.shape
    columns, rows = np.floor(box_points(face)).astype(int).T
    visible = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    at_face = (labels * solid)[rows[visible], columns[visible]]
    held = np.bincount(at_face, minlength=count) / max(1, len(at_face))
    held[0] = 0
    if held.sum() < LEAST_COVER:
        return alpha
    persons = solid * (held >= min(PART, held.max()))[labels]
    return np.where(_nearest_is(persons, solid - persons), alpha, 0).astype(np.uint8)


def _bridged(solid: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Parts of a matte (H, W) in {0, 1} with gaps between them closed that are small beside the face."""
    gap = int(TOUCHING * float((face[2:] - face[:2]).max()) / 2)
    if gap < 1:
        return solid
    return (cv2.distanceTransform(1 - solid, cv2.DIST_L2, 5) <= gap).astype(np.uint8)


def _nearest_is(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(H, W) bool: pixels nearer to a first area than to a second, both (H, W) in {0, 1}."""
    if not second.any():
        return np.ones(first.shape, bool)
    near, far = (cv2.distanceTransform(1 - area, cv2.DIST_L2, 5) for area in (first, second))
    return near <= far


def _ramp(length: int, at_start: bool, at_end: bool) -> np.ndarray:
    ramp = np.ones(length, np.float32)
    seam = max(1, int(SEAM * length))
    rise = np.arange(1, seam + 1, dtype=np.float32) / (seam + 1)
    if at_start:
        ramp[:seam] = rise
    if at_end:
        ramp[-seam:] = np.minimum(ramp[-seam:], rise[::-1])
    return ramp
