"""Matting without weights where a picture of the empty scene exists: what differs from it is the person."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np

from vhap.data.pictures import shrink
from vhap.detect.alpha_band import refine
from vhap.detect.clean_plate import CleanPlate
from vhap.detect.graph_cut import cut_out
from vhap.detect.plate_difference import log_odds, match_exposure, shading
from vhap.detect.tracked_person import speck_share

OUTLINE_DIAGONAL_PX = 490
"""Diagonal at which the outline is found; the band around it is matted at the pictures' own size."""
BAND_SHARE = 1 / 150
"""Half the width of that band, in picture diagonals."""
SECOND_SHARE = 0.1
"""Separate parts below this share of the largest one are errors."""


class BackgroundDifference:
    """One picture at a time, no state between them. Raises InputError where the plate is missing."""

    is_recurrent = False

    def __init__(self, background: Path) -> None:
        self._plate = CleanPlate(background)

    def alpha(self, picture: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 RGB -> (H, W) uint8. Raises InputError where the plate has another shape."""
        return self._alpha(picture, None)

    def alpha_around(self, picture: np.ndarray, face: np.ndarray) -> np.ndarray:
        """The same where a face is known, (4,) x0 y0 x1 y1 px: the part with a small one is no speck."""
        return self._alpha(picture, face)

    def _alpha(self, picture: np.ndarray, face: np.ndarray | None) -> np.ndarray:
        height, width = picture.shape[:2]
        diagonal = math.hypot(height, width)
        seen = picture.astype(np.float32) / 255
        plate, noise = match_exposure(seen, self._plate.at((height, width)).astype(np.float32) / 255)
        factor = min(1.0, OUTLINE_DIAGONAL_PX / diagonal)
        small = max(1, round(height * factor)), max(1, round(width * factor))
        small_seen, small_plate = shrink(seen, small), shrink(plate, small)
        shade = shading(small_seen, small_plate, noise)
        small_plate = small_plate * shade[..., None]
        outlined = cut_out(log_odds(small_seen, small_plate, noise), small_seen, small_plate)
        person = cv2.resize(clean_up(outlined, _scaled(face, factor)).astype(np.float32), (width, height)) > 0.5
        plate = plate * cv2.resize(shade, (width, height))[..., None]
        return (255 * refine(seen, plate, person, max(2, round(BAND_SHARE * diagonal)), noise) + 0.5).astype(np.uint8)


def clean_up(person: np.ndarray, face: np.ndarray | None = None) -> np.ndarray:
    """(H, W) bool with its large parts only, and their small holes filled. What the picture's edge cuts is no hole.

    face: (4,) x0 y0 x1 y1 px; large is beside the part with the face then, small beside the face.
    """
    labels, areas = _parts(person)
    kept = (areas >= SECOND_SHARE * _main_area(labels, areas, face))[labels] & person
    labels, areas = _parts(~kept)
    holes = areas < speck_share((person.shape[0], person.shape[1]), face) * person.size
    edge = np.concatenate([labels[[0, -1]].ravel(), labels[:, [0, -1]].ravel()])
    holes[edge] = False
    return kept | (holes[labels] & ~kept)


def _main_area(labels: np.ndarray, areas: np.ndarray, face: np.ndarray | None) -> int:
    """Pixels of the part that holds most of the face, else of the largest one."""
    if face is not None:
        left, top, right, lower = (max(0, round(float(side))) for side in face)
        held = np.bincount(labels[top : max(lower, top + 1), left : max(right, left + 1)].ravel(), minlength=len(areas))
        held[0] = 0
        if held.any():
            return int(areas[held.argmax()])
    return int(areas.max())


def _scaled(face: np.ndarray | None, factor: float) -> np.ndarray | None:
    return None if face is None else face * factor


def _parts(area: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels (H, W) of the connected parts, 0 outside, and the pixels of each, 0 for label 0."""
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(area.astype(np.uint8), connectivity=4)
    areas = statistics[:, cv2.CC_STAT_AREA].copy()
    areas[0] = 0
    return labels, areas
