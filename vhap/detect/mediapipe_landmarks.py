"""MediaPipe's face mesh: 478 points of every face in a picture, or in those of a video one after the other.

Each face is looked at in several crops around where it is, and their points are averaged: crops turned and scaled
differently have different errors. In a video the crops are made where the face is expected (`following.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from vhap.detect.face_places import FacePlace, SeenFace, face_centre, face_size, is_same_place, place_of, turn_between
from vhap.detect.following import faces_through
from vhap.detect.networks.face_detector import FaceDetector
from vhap.detect.networks.faces import LEAST_SCORE, Faces
from vhap.detect.networks.regions import Region, crop
from vhap.detect.visibility import visibility

POINT_COUNT = 478
MAX_FACES = 4
CROP_PX = 320
CROP_VIEWS = ((-5.0, 0.96), (5.0, 1.04))
"""Roll in degrees and side of two crops more, beside that which the face is found in; their points are averaged."""
VIEWS: dict[int, tuple[tuple[float, float], ...]] = {1: ((0.0, 1.0),), 2: CROP_VIEWS, 3: ((0.0, 1.0), *CROP_VIEWS)}
"""The crops of a face whose place is known, by their number."""
USED_VIEWS = 3
"""Of the pass over a recording. On three films with truth points of one crop jitter 1.6 to 1.7 times as much as those
of three, and those of two 1.1 to 1.2 times."""
MOST_OFF, MOST_GROWN, MOST_TURNED_RAD = 0.12, 1.15, 0.2
"""Crops that were made further from the face they show than that are made again: sizes of the face, ratio of sizes,
angle."""
LOOKS = 3
"""On one picture; a face that the last one still shows beside its crop is not followed."""
MOST_FAR = 0.6
"""Sizes of the face from where it was expected; further away is another one."""
TILE_SHARE = 0.6


class MediapipeLandmarks:
    """No state between pictures: threads may share it."""

    def __init__(self, views: int = USED_VIEWS) -> None:
        """views: crops of each face whose points are averaged, 1 to 3."""
        self.views = views
        self._faces = Faces()
        # The mesh's own detector finds faces larger than about a tenth of the picture; this one sees smaller ones.
        self._finder = FaceDetector("full")

    def detect(self, picture: np.ndarray) -> np.ndarray | None:
        """(H, W, 3) uint8 RGB -> (478, 2) px of the largest face, or None."""
        faces = self.faces(picture)
        return max(faces, key=face_size)[:, :2] if faces else None

    def faces(self, picture: np.ndarray) -> list[np.ndarray]:
        """(H, W, 3) uint8 RGB -> (478, 3) px for each face; z like x, smaller towards the camera."""
        return self._refined(picture, self.rough_faces(picture))

    def faces_through(self, pictures: Iterable[np.ndarray]) -> Iterator[list[np.ndarray]]:
        """The faces of each of a run of a video's pictures: the detector runs on some of them."""
        return faces_through(self, pictures, self.views)

    def rough_faces(self, picture: np.ndarray, thorough: bool = True) -> list[np.ndarray]:
        """(H, W, 3) uint8 RGB -> (478, 3) px for each face, seen in one crop. thorough: whether a picture that shows
        none is searched in parts too, for those smaller than a twentieth of it."""
        return self._faces.find([picture], MAX_FACES)[0] or self._small_faces(picture, thorough)

    def look(self, picture: np.ndarray, places: Sequence[FacePlace], views: int = 1) -> list[SeenFace | None]:
        """The face at each place, or None where there is none; made of `views` crops around where it is."""
        found: list[SeenFace | None] = [None] * len(places)
        left = dict(enumerate(places))
        for _ in range(LOOKS):
            seen = self._at(picture, list(left.values()), views)
            again = {}
            for (index, place), face in zip(left.items(), seen):
                if face is None:
                    continue
                shown = place_of(face.points)
                if places[index].distance(shown) > MOST_FAR * shown.size:
                    continue
                if _is_beside(place, shown):
                    again[index] = shown
                else:
                    found[index] = face
            left = again
            if not left:
                break
        return found

    def _at(self, picture: np.ndarray, places: Sequence[FacePlace], views: int) -> list[SeenFace | None]:
        regions = [place.crop(math.radians(turn), share) for place in places for turn, share in VIEWS[views]]
        points, scores = self._faces.mesh.points([picture] * len(regions), regions)
        found: list[SeenFace | None] = []
        for start in range(0, len(regions), views):
            sure = [index for index in range(start, start + views) if scores[index] > LEAST_SCORE]
            same = [points[index] for index in sure[1:] if is_same_place(points[index], points[sure[0]])]
            mean = np.mean([points[sure[0]], *same], axis=0) if sure else None
            found.append(None if mean is None else SeenFace(mean, scores[sure[0]]))
        return found

    def face_near(self, picture: np.ndarray, points: np.ndarray) -> np.ndarray | None:
        """The (478, 3) face where one stood in a neighbouring frame, or None; finds what the whole picture hides."""
        place = place_of(points)
        return self.face_at(picture, np.array([place.x, place.y]), place.size, place.roll)

    def face_at(self, picture: np.ndarray, centre: np.ndarray, size: float, roll: float) -> np.ndarray | None:
        """The (478, 3) face near a centre (2,), px, of about a size in px and a roll in radians, or None."""
        for side in (1.6, 2.2, 3.0):
            (found,) = self._in_squares(picture, [_square(centre, side * size, roll)])
            if found is not None and np.linalg.norm(face_centre(found) - centre) < size:
                return self._refined(picture, [found])[0]
        return None

    def confidence(self, points: np.ndarray) -> np.ndarray:
        """(478, 3) -> (478,): how far each point is turned to the camera; the mesh knows no confidence of its own."""
        return visibility(points)

    def _small_faces(self, picture: np.ndarray, in_parts: bool = True) -> list[np.ndarray]:
        boxes = self._boxes(picture, 0, 0)
        if not boxes and in_parts:
            height, width = picture.shape[:2]
            side = max(1, int(TILE_SHARE * min(height, width)))
            corners = [(y, x) for y in _starts(height, side) for x in _starts(width, side)]
            boxes = [box for y, x in corners for box in self._boxes(picture[y : y + side, x : x + side], y, x)]
        largest = sorted(boxes, key=lambda box: -box[1])[: 2 * MAX_FACES]
        found: list[np.ndarray] = []
        for points in self._in_squares(picture, [_square(centre, 2 * size, 0.0) for centre, size in largest]):
            if points is not None and not any(is_same_place(points, other) for other in found):
                found.append(points)
        return found[:MAX_FACES]

    def _boxes(self, picture: np.ndarray, top: int, left: int) -> list[tuple[np.ndarray, float]]:
        """Centre and size in px of the boxes in a part of the picture."""
        boxes = [face.box for face in self._finder.detect([picture])[0]]
        return [((box[:2] + box[2:]) / 2 + [left, top], float((box[2:] - box[:2]).max())) for box in boxes]

    def _in_squares(self, picture: np.ndarray, squares: Sequence[Region]) -> list[np.ndarray | None]:
        """The face in each square, which is searched upright, in px of the picture; or None."""
        crops = [crop(picture, square, (CROP_PX, CROP_PX), False) for square in squares]
        found = self._faces.find(crops, 1)
        return [_placed(faces[0], square) if faces else None for faces, square in zip(found, squares)]

    def _refined(self, picture: np.ndarray, faces: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Each face looked at where its points are; the points themselves where it is not seen there."""
        seen = self.look(picture, [place_of(points) for points in faces], self.views) if faces else []
        return [points if face is None else face.points for points, face in zip(faces, seen)]


def _square(centre: np.ndarray, side: float, roll: float) -> Region:
    return Region(float(centre[0]), float(centre[1]), side, side, roll)


def _placed(points: np.ndarray, square: Region) -> np.ndarray:
    """(478, 3) px of a square's crop -> of the picture."""
    return np.column_stack([square.to_picture(points[:, :2] / CROP_PX), points[:, 2] * square.width / CROP_PX])


def _is_beside(place: FacePlace, shown: FacePlace) -> bool:
    """Whether a crop at a place was made too far from the face that it shows."""
    return (
        place.distance(shown) > MOST_OFF * shown.size
        or max(place.size / shown.size, shown.size / place.size) > MOST_GROWN
        or abs(turn_between(place.roll, shown.roll)) > MOST_TURNED_RAD
    )


def _starts(length: int, side: int) -> list[int]:
    """First pixels of overlapping tiles that cover a length."""
    count = max(1, int(np.ceil((length - side) / (side / 2))) + 1)
    return [int(start) for start in np.linspace(0, max(0, length - side), count)]
