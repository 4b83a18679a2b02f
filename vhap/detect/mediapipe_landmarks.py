"""MediaPipe's face mesh: 478 points of every face in a picture, each picture on its own.

MediaPipe's tracking mode carries state from frame to frame, so that a pass which is completed later would differ from
one in a single run. Here every picture is searched afresh, and each face is looked at again in two crops more. The mean
of the three jitters a quarter less than the first alone, and as little as that of four crops which are each searched
for the face again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vhap.detect.networks.face_detector import FaceDetector
from vhap.detect.networks.faces import LEAST_SCORE, Faces
from vhap.detect.networks.regions import FACE_SCALE, Region, crop
from vhap.detect.visibility import visibility

POINT_COUNT = 478
MAX_FACES = 4
CROP_PX = 320
CROP_VIEWS = ((-5.0, 0.96), (5.0, 1.08))
"""Roll in degrees and side of two crops more, beside that which the face is found in; their points are averaged."""
DETECTED_SIDE, DETECTED_BELOW = 0.92, 0.035
"""The detector's box beside that of the points: its side, and how far its middle lies below, in sides of the points'
box (four real clips and a film: 0.89 to 0.95, and 0.03 to 0.08). The mesh is right in crops of the detector's box: on
a film with truth, those of the points' own box moved all points by half a pixel of 400."""
TILE_SHARE = 0.6
OUTER_EYE_CORNERS = (33, 263)


class MediapipeLandmarks:
    """No state between pictures: threads may share it."""

    def __init__(self) -> None:
        self._faces = Faces()
        # The mesh's own detector finds faces larger than about a tenth of the picture; this one sees smaller ones.
        self._finder = FaceDetector("full")

    def detect(self, picture: np.ndarray) -> np.ndarray | None:
        """(H, W, 3) uint8 RGB -> (478, 2) px of the largest face, or None."""
        faces = self.faces(picture)
        return max(faces, key=face_size)[:, :2] if faces else None

    def faces(self, picture: np.ndarray) -> list[np.ndarray]:
        """(H, W, 3) uint8 RGB -> (478, 3) px for each face; z like x, smaller towards the camera."""
        return self.faces_of([picture])[0]

    def faces_of(self, pictures: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
        """The faces of each of several pictures, which are quicker together."""
        found = self._faces.find(pictures, MAX_FACES)
        return self._refined(pictures, [faces or self._small_faces(each) for faces, each in zip(found, pictures)])

    def face_near(self, picture: np.ndarray, points: np.ndarray) -> np.ndarray | None:
        """The (478, 3) face where one stood in a neighbouring frame, or None; finds what the whole picture hides."""
        return self.face_at(picture, face_centre(points), face_size(points), _roll(points))

    def face_at(self, picture: np.ndarray, centre: np.ndarray, size: float, roll: float) -> np.ndarray | None:
        """The (478, 3) face near a centre (2,), px, of about a size in px and a roll in radians, or None."""
        for side in (1.6, 2.2, 3.0):
            (found,) = self._in_squares(picture, [_square(centre, side * size, roll)])
            if found is not None and np.linalg.norm(face_centre(found) - centre) < size:
                return self._refined([picture], [[found]])[0][0]
        return None

    def confidence(self, points: np.ndarray) -> np.ndarray:
        """(478, 3) -> (478,): how far each point is turned to the camera; the mesh knows no confidence of its own."""
        return visibility(points)

    def _small_faces(self, picture: np.ndarray) -> list[np.ndarray]:
        boxes = self._boxes(picture, 0, 0)
        if not boxes:
            height, width = picture.shape[:2]
            side = max(1, int(TILE_SHARE * min(height, width)))
            corners = [(y, x) for y in _starts(height, side) for x in _starts(width, side)]
            boxes = [box for y, x in corners for box in self._boxes(picture[y : y + side, x : x + side], y, x)]
        largest = sorted(boxes, key=lambda box: -box[1])[: 2 * MAX_FACES]
        found: list[np.ndarray] = []
        for points in self._in_squares(picture, [_square(centre, 2 * size, 0.0) for centre, size in largest]):
            if points is not None and not any(_same_place(points, other) for other in found):
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

    def _refined(self, pictures: Sequence[np.ndarray], faces: list[list[np.ndarray]]) -> list[list[np.ndarray]]:
        """The mean of each face's points with what its crops show, all in one batch."""
        owners = [index for index, of_one in enumerate(faces) for _ in of_one for _ in CROP_VIEWS]
        regions = [region for of_one in faces for points in of_one for region in _views(points)]
        found, scores = self._faces.mesh.points([pictures[index] for index in owners], regions)
        seen = iter(zip(found, scores))
        return [[_mean(points, [next(seen) for _ in CROP_VIEWS]) for points in of_one] for of_one in faces]


def face_centre(points: np.ndarray) -> np.ndarray:
    """(478, 2 or 3) -> (2,) centre of the points' box, px."""
    return (points[:, :2].min(0) + points[:, :2].max(0)) / 2


def face_size(points: np.ndarray) -> float:
    """Longer side of the points' box, px."""
    return float(np.ptp(points[:, :2], axis=0).max())


def _views(points: np.ndarray) -> list[Region]:
    """The crops in which a face is looked at again: about the box that the detector would have found."""
    size, roll = face_size(points), _roll(points)
    centre = face_centre(points) + DETECTED_BELOW * size * np.array([-np.sin(roll), np.cos(roll)])
    side = FACE_SCALE * DETECTED_SIDE * size
    return [_square(centre, share * side, roll + float(np.deg2rad(turn))) for turn, share in CROP_VIEWS]


def _mean(points: np.ndarray, seen: list[tuple[np.ndarray, float]]) -> np.ndarray:
    """With those of the same face that the mesh is sure of."""
    agreeing = [other for other, score in seen if score > LEAST_SCORE and _same_place(other, points)]
    return np.mean([points, *agreeing], axis=0)


def _square(centre: np.ndarray, side: float, roll: float) -> Region:
    return Region(float(centre[0]), float(centre[1]), side, side, roll)


def _placed(points: np.ndarray, square: Region) -> np.ndarray:
    """(478, 3) px of a square's crop -> of the picture."""
    return np.column_stack([square.to_picture(points[:, :2] / CROP_PX), points[:, 2] * square.width / CROP_PX])


def _roll(points: np.ndarray) -> float:
    x, y = points[OUTER_EYE_CORNERS[1], :2] - points[OUTER_EYE_CORNERS[0], :2]
    return float(np.arctan2(y, x))


def _same_place(points: np.ndarray, other: np.ndarray) -> bool:
    return bool(np.linalg.norm(face_centre(points) - face_centre(other)) < 0.4 * face_size(other))


def _starts(length: int, side: int) -> list[int]:
    """First pixels of overlapping tiles that cover a length."""
    count = max(1, int(np.ceil((length - side) / (side / 2))) + 1)
    return [int(start) for start in np.linspace(0, max(0, length - side), count)]
