"""MediaPipe's face mesh: 478 points of every face in a picture, each picture on its own.

The mesh's own tracking mode carries state from frame to frame, so that a pass which is completed later would
differ from one in a single run. Here every picture is searched afresh, and each face is then measured in
several upright crops whose mean is taken: on three real clips its jitter was 13 to 15 % (RMS) below that of the
tracking mode.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vhap.detect.networks.face_detector import FaceDetector
from vhap.detect.networks.faces import Faces
from vhap.detect.visibility import visibility

POINT_COUNT = 478
MAX_FACES = 4
CROP_PX = 320
CROP_VIEWS = ((-6.0, 1.8), (-2.0, 2.2), (2.0, 2.0), (6.0, 2.4))
"""Roll in degrees and side in face sizes of the crops that are averaged."""
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
        found = self._faces.find([picture], MAX_FACES)[0] or self._small_faces(picture)
        return [self._refined(picture, points) for points in found]

    def face_near(self, picture: np.ndarray, points: np.ndarray) -> np.ndarray | None:
        """The (478, 3) face where one stood in a neighbouring frame, or None; finds what the whole picture hides."""
        return self.face_at(picture, face_centre(points), face_size(points), _roll(points))

    def face_at(self, picture: np.ndarray, centre: np.ndarray, size: float, roll: float) -> np.ndarray | None:
        """The (478, 3) face near a centre (2,), px, of about a size in px and a roll in radians, or None."""
        for side in (1.6, 2.2, 3.0):
            (found,) = self._in_crops(picture, [_Square(centre, side * size, roll)])
            if found is not None and np.linalg.norm(face_centre(found) - centre) < size:
                return self._refined(picture, found)
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
        for points in self._in_crops(picture, [_Square(centre, 2 * size, 0.0) for centre, size in largest]):
            if points is not None and not any(_same_place(points, other) for other in found):
                found.append(points)
        return found[:MAX_FACES]

    def _boxes(self, picture: np.ndarray, top: int, left: int) -> list[tuple[np.ndarray, float]]:
        """Centre and size in px of the boxes in a part of the picture."""
        boxes = [face.box for face in self._finder.detect([picture])[0]]
        return [((box[:2] + box[2:]) / 2 + [left, top], float((box[2:] - box[:2]).max())) for box in boxes]

    def _refined(self, picture: np.ndarray, points: np.ndarray) -> np.ndarray:
        centre, size, roll = face_centre(points), face_size(points), _roll(points)
        squares = [_Square(centre, side * size, roll + np.deg2rad(turn)) for turn, side in CROP_VIEWS]
        crops = self._in_crops(picture, squares)
        agreeing = [crop for crop in crops if crop is not None and _same_place(crop, points)]
        return np.mean(agreeing, axis=0) if agreeing else points

    def _in_crops(self, picture: np.ndarray, squares: list[_Square]) -> list[np.ndarray | None]:
        """The face in each square, in px of the picture, or None."""
        found = self._faces.find([square.crop(picture) for square in squares], 1)
        return [square.to_picture(faces[0]) if faces else None for square, faces in zip(squares, found)]


@dataclass(frozen=True)
class _Square:
    """A part of the picture that is looked at upright. centre: (2,) px. side: px. roll: radians."""

    centre: np.ndarray
    side: float
    roll: float

    @property
    def scale(self) -> float:
        return CROP_PX / self.side

    @property
    def turn(self) -> np.ndarray:
        """(2, 2) px of the picture -> px of the crop."""
        cosine, sine = np.cos(self.roll), np.sin(self.roll)
        return self.scale * np.array([[cosine, sine], [-sine, cosine]])

    @property
    def shift(self) -> np.ndarray:
        return CROP_PX / 2 - self.turn @ self.centre

    def crop(self, picture: np.ndarray) -> np.ndarray:
        import cv2

        # Warping shrinks without averaging; the picture is brought near the crop's scale first.
        shrunk = min(1.0, 2.0 ** np.ceil(np.log2(self.scale)))
        if shrunk < 1:
            picture = cv2.resize(picture, None, fx=shrunk, fy=shrunk, interpolation=cv2.INTER_AREA)
        # Pixel centres stand at half integers here, at integers in OpenCV.
        turn = self.turn / shrunk
        to_crop = np.column_stack([turn, self.shift + turn.sum(1) / 2 - 0.5])
        return cv2.warpAffine(picture, to_crop, (CROP_PX, CROP_PX), flags=cv2.INTER_LINEAR)

    def to_picture(self, points: np.ndarray) -> np.ndarray:
        """(478, 3) px of the crop -> of the picture."""
        flat = (points[:, :2] - self.shift) @ np.linalg.inv(self.turn).T
        return np.column_stack([flat, points[:, 2] / self.scale])


def face_centre(points: np.ndarray) -> np.ndarray:
    """(478, 2 or 3) -> (2,) centre of the points' box, px."""
    return (points[:, :2].min(0) + points[:, :2].max(0)) / 2


def face_size(points: np.ndarray) -> float:
    """Longer side of the points' box, px."""
    return float(np.ptp(points[:, :2], axis=0).max())


def _roll(points: np.ndarray) -> float:
    x, y = points[OUTER_EYE_CORNERS[1], :2] - points[OUTER_EYE_CORNERS[0], :2]
    return float(np.arctan2(y, x))


def _same_place(points: np.ndarray, other: np.ndarray) -> bool:
    return bool(np.linalg.norm(face_centre(points) - face_centre(other)) < 0.4 * face_size(other))


def _starts(length: int, side: int) -> list[int]:
    """First pixels of overlapping tiles that cover a length."""
    count = max(1, int(np.ceil((length - side) / (side / 2))) + 1)
    return [int(start) for start in np.linspace(0, max(0, length - side), count)]
