"""One face through the pictures of a video as they come.

As in MediaPipe's tracking mode, the mesh looks where the face is expected, and the detector runs only where no face is
followed. A crop that turns out to be beside the face is made again on the same picture, so that points depend little
on what was expected.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vhap.detect.face_places import FacePlace, place_of, turn_between
from vhap.detect.mediapipe_landmarks import MediapipeLandmarks, SeenFace
from vhap.detect.visibility import visibility

LONGEST_STEP_S = 0.25
"""A motion is not continued for longer than that."""
NEAR, NEAR_PER_S, MOST_GROWTH = 0.6, 1.0, 1.5
"""How far, in its sizes, a lost face is searched for from where it was seen last, how much that grows in a second, and
the ratio of sizes up to which a face counts as the same."""
LONG_LOST_S = 2.0
"""After that any face counts."""


@dataclass(frozen=True)
class FollowedFace:
    """points: (478, 3) px, z like x, smaller towards the camera. score: of the mesh, in [0, 1], how sure it is that a
    face is there. confidence: (478,) in [0, 1], how far each point is turned to the camera. searched: whether the
    detector ran on this picture."""

    points: np.ndarray
    score: float
    confidence: np.ndarray
    searched: bool


class FaceSeer(Protocol):
    """What finds faces, and looks at them: `MediapipeLandmarks`."""

    def look(self, picture: np.ndarray, places: list[FacePlace], views: int = ...) -> list[SeenFace | None]: ...

    def rough_faces(self, picture: np.ndarray, thorough: bool = ...) -> list[np.ndarray]: ...


class FaceFollower:
    """Follows one face through the pictures of a video: the mesh looks where the face was predicted, the detector only
    where none is followed. It keeps its state: one instance a video, used by one thread at a time."""

    def __init__(self, *, views: int = 1, search_every_s: float = 0.3, seer: FaceSeer | None = None) -> None:
        """views: crops of each picture whose points are averaged, 1 to 3. search_every_s: while no face is found, the
        detector runs again after so many seconds of the video, >= 0. seer: None opens MediaPipe's networks (InputError
        where they are missing)."""
        if not 1 <= views <= 3 or not search_every_s >= 0:
            raise ValueError(f"expected 1 to 3 views and no negative seconds, found {views} and {search_every_s}")
        self.views, self.search_every_s = views, search_every_s
        self._seer: FaceSeer = seer or MediapipeLandmarks()
        self.reset()

    def reset(self) -> None:
        """Forgets the face: the next picture is searched, and any face counts."""
        self._place: FacePlace | None = None
        self._velocity = (0.0, 0.0, 0.0, 0.0)
        self._seen_s = self._searched_s = -math.inf
        self._is_lost = True

    def follow(
        self, picture: np.ndarray, time_s: float, predicted: np.ndarray | FacePlace | None = None
    ) -> FollowedFace | None:
        """The face in the video's next picture, or None where it is not found.

        picture: (H, W, 3) uint8 RGB. time_s: of the picture, in seconds from any start. predicted: where a tracker
        expects the face, as (478, 2) px or its place; without it the last motion is continued.
        """
        if self._searched_s > time_s or self._seen_s > time_s:
            # The video was wound back.
            self._velocity, self._searched_s, self._seen_s = (0.0,) * 4, -math.inf, time_s
        for expected in self._expected(time_s, predicted):
            (seen,) = self._seer.look(picture, [expected], self.views)
            if seen is not None:
                return self._kept(seen, time_s, searched=False)
        is_due = not self._is_lost or time_s - self._searched_s >= self.search_every_s
        self._is_lost = True
        if not is_due:
            return None
        self._searched_s = time_s
        seen = self._searched(picture, time_s)
        return None if seen is None else self._kept(seen, time_s, searched=True)

    def _expected(self, time_s: float, predicted: np.ndarray | FacePlace | None) -> list[FacePlace]:
        """Where to look, the likeliest place first."""
        places = []
        if predicted is not None:
            places.append(predicted if isinstance(predicted, FacePlace) else place_of(predicted))
        if self._place is not None and not self._is_lost:
            step = min(time_s - self._seen_s, LONGEST_STEP_S)
            x, y, size, roll = (step * speed for speed in self._velocity)
            place = self._place
            places.append(FacePlace(place.x + x, place.y + y, place.size * math.exp(size), place.roll + roll))
        return [place for place in places if place.size > 1 and all(map(math.isfinite, vars(place).values()))]

    def _kept(self, seen: SeenFace, time_s: float, searched: bool) -> FollowedFace:
        place, before = place_of(seen.points), self._place
        elapsed = time_s - self._seen_s
        if before is None or self._is_lost or not 0 < elapsed <= LONGEST_STEP_S:
            self._velocity = (0.0,) * 4
        else:
            moved = (place.x - before.x, place.y - before.y)
            growth, turned = math.log(place.size / before.size), turn_between(before.roll, place.roll)
            self._velocity = tuple(value / elapsed for value in (*moved, growth, turned))
        self._place, self._seen_s, self._is_lost = place, time_s, False
        return FollowedFace(seen.points, seen.score, visibility(seen.points), searched)

    def _searched(self, picture: np.ndarray, time_s: float) -> SeenFace | None:
        faces = [place_of(points) for points in self._seer.rough_faces(picture, thorough=False)]
        chosen = self._chosen(faces, picture.shape, time_s)
        return None if chosen is None else self._seer.look(picture, [chosen], self.views)[0]

    def _chosen(self, faces: list[FacePlace], shape: tuple[int, ...], time_s: float) -> FacePlace | None:
        """The face that was lost; where there was none, or long ago, the largest and most central one."""
        lost_s, last = time_s - self._seen_s, self._place
        if last is not None and lost_s < LONG_LOST_S:
            reach = (NEAR + NEAR_PER_S * lost_s) * last.size
            same = [face for face in faces if max(face.size / last.size, last.size / face.size) <= MOST_GROWTH]
            nearest = min(same, key=last.distance, default=None)
            return nearest if nearest is not None and last.distance(nearest) <= reach else None
        height, width = shape[:2]
        middle = FacePlace(width / 2, height / 2, 0.0)
        diagonal = math.hypot(width, height)
        return max(faces, key=lambda face: face.size * (1 - face.distance(middle) / diagonal), default=None)
