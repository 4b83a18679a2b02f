"""Where a face stands in a picture: the box of MediaPipe's points, turned with the eyes, and the crop that the mesh is
right in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vhap.detect.networks.regions import FACE_SCALE, Region

OUTER_EYE_CORNERS = (33, 263)
DETECTED_SIDE, DETECTED_BELOW = 0.92, 0.035
"""The detector's box beside that of the points: its side, and how far its middle lies below, in sides of the points'
box (four real clips and a film: 0.89 to 0.95, and 0.03 to 0.08). The mesh is right in crops of the detector's box: on
a film with truth, those of the points' own box moved all points by half a pixel of 400."""


@dataclass(frozen=True)
class FacePlace:
    """Centre x, y and longer side of the box of a face's 478 points, px, and its roll in radians (from x to y, which is
    clockwise to the eye)."""

    x: float
    y: float
    size: float
    roll: float = 0.0

    def distance(self, other: FacePlace) -> float:
        """Between the centres, px."""
        return math.hypot(self.x - other.x, self.y - other.y)

    def crop(self, turn_rad: float = 0.0, share: float = 1.0) -> Region:
        """What the mesh looks at: about the box that the detector would have found here. turn_rad, share: the crop's
        roll more than the face's, and its side beside the usual one."""
        side, below = share * FACE_SCALE * DETECTED_SIDE * self.size, DETECTED_BELOW * self.size
        x, y = self.x - below * math.sin(self.roll), self.y + below * math.cos(self.roll)
        return Region(x, y, side, side, self.roll + turn_rad)


@dataclass(frozen=True)
class SeenFace:
    """points: (478, 3) px, z like x, smaller towards the camera. score: of the mesh, in [0, 1], how sure it is that a
    face is there."""

    points: np.ndarray
    score: float


class FaceSeer(Protocol):
    """What finds faces in (H, W, 3) uint8 RGB, and looks at them where they are expected: `MediapipeLandmarks`."""

    def look(self, picture: np.ndarray, places: Sequence[FacePlace], views: int = ...) -> list[SeenFace | None]:
        """The face at each place, or None where there is none. views: crops whose points are averaged."""
        ...

    def rough_faces(self, picture: np.ndarray, thorough: bool = ...) -> list[np.ndarray]:
        """(478, 3) px for each face that the detector finds. thorough: whether small ones are searched for too."""
        ...


class Motion:
    """Places of a face through time, and where it is next if it goes on as it did between the last two."""

    def __init__(self, place: FacePlace, time: float) -> None:
        self.place, self.time = place, time
        self._speeds = (0.0, 0.0, 0.0, 0.0)

    def at(self, time: float) -> FacePlace:
        x, y, growth, turn = ((time - self.time) * speed for speed in self._speeds)
        place = self.place
        return FacePlace(place.x + x, place.y + y, place.size * math.exp(growth), place.roll + turn)

    def move(self, place: FacePlace, time: float) -> None:
        """Where it is at a later time."""
        before, elapsed = self.place, time - self.time
        changes = (place.x - before.x, place.y - before.y, math.log(place.size / before.size))
        if elapsed > 0:
            self._speeds = tuple(change / elapsed for change in (*changes, turn_between(before.roll, place.roll)))
        self.place, self.time = place, time


def place_of(points: np.ndarray) -> FacePlace:
    """Of (478, 2 or 3) points, px."""
    (left, top), (right, bottom) = points[:, :2].min(0).tolist(), points[:, :2].max(0).tolist()
    return FacePlace((left + right) / 2, (top + bottom) / 2, max(right - left, bottom - top), _roll(points))


def face_centre(points: np.ndarray) -> np.ndarray:
    """(478, 2 or 3) -> (2,) centre of the points' box, px."""
    return (points[:, :2].min(0) + points[:, :2].max(0)) / 2


def face_size(points: np.ndarray) -> float:
    """Longer side of the points' box, px."""
    return float(np.ptp(points[:, :2], axis=0).max())


def is_same_place(points: np.ndarray, other: np.ndarray) -> bool:
    """Whether (478, 2 or 3) points are of the face that others are of."""
    return bool(np.linalg.norm(face_centre(points) - face_centre(other)) < 0.4 * face_size(other))


def turn_between(roll: float, other: float) -> float:
    """The smaller angle from one roll to another, radians in [-pi, pi]."""
    return math.remainder(other - roll, 2 * math.pi)


def _roll(points: np.ndarray) -> float:
    x, y = points[OUTER_EYE_CORNERS[1], :2] - points[OUTER_EYE_CORNERS[0], :2]
    return math.atan2(y, x)
