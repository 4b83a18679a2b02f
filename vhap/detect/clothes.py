"""Clothes in the matte of a person whose face is known, without weights: by colour and by position below the chin.

The colours of skin (inside the face's outline) and of hair (above the eyes, around it) are learnt from pictures of the
whole video, so that the result does not flicker. Those of clothes are at first what is far denser below the chin, then
those of the pixels that are more likely clothes (expectation maximisation with the position as prior). Hair below the
chin has to hang together with hair, skin with the face: else it is clothes of that colour.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

BACKGROUND, SKIN, CLOTH = 0, 1, 16
"""Of CelebAMask-HQ's classes."""
FOREHEAD, CHIN, CHEEKS = 10, 152, (234, 454)
OVAL = [
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
]  # fmt: skip
"""MediaPipe's points around the face, in order."""
BINS, SPREAD = 32, 1.0
"""Of each of a colour's three values, and how far in bins a sample counts."""
SHADES = ((1.0, 1.0), (0.75, 0.5), (0.5, 0.25))
"""Factors of brightness in which a sample counts, and its weight: below the chin skin and hair lie in the shadow."""
ROUNDS = 3
HEAD_ABOVE, HAIR_ABOVE = -0.35, -0.6
"""Face heights below the chin: clothes never reach higher; hair is learnt, and begins, above."""
NEW = 2.0
"""Log ratio to the head's density of a colour from which on it is new below the chin."""
FLOOR = 0.01
"""Share of colours that were not met in the samples."""
LEAST_SAMPLES = 300
MOST_COLOUR, MOST_POSITION = 5.0, 6.0
"""Bounds of log odds."""
UNDER_CHIN = 2.0
"""Log odds over clothes at the chin's height."""
SKIN_FALL, SKIN_WIDE, SKIN_ASIDE = 4.0, 0.4, 2.0
HAIR_FALL, HAIR_WIDE, HAIR_ASIDE = 3.5, 0.9, 3.0
"""How they fall for each face height below the chin, and for each face width beyond half a width of the neck, or of
hair that hangs down on both sides."""
BRIDGE = 0.03
"""Half the width, in widths of the face, of a dark seam that does not join hair and clothes of its colour."""
TRINKET = 0.02
"""Share of the face's area below which a patch of another colour is no clothes."""
SMOOTH_SHARE = 1 / 150
"""Radius of the windows over which probabilities are averaged, in picture diagonals."""
SOFT = 2.5
"""Steepness by which filtered probabilities become a soft border."""


class ClothesModel(Protocol):
    """Which class each pixel of a person is of; any parser fits."""

    def classes(self, picture: np.ndarray, alpha: np.ndarray, face: np.ndarray | None) -> np.ndarray:
        """picture (H, W, 3) uint8 RGB, alpha (H, W) uint8, face (478, 2) px or None -> (H, W) uint8: classes of
        CelebAMask-HQ, 0 background, 16 clothes."""
        ...

    def keep(self, picture: np.ndarray, alpha: np.ndarray, face: np.ndarray | None) -> np.ndarray:
        """The same arguments -> (H, W) float32 in [0, 1], 0 where clothes are."""
        ...


@dataclass(frozen=True)
class Clothes:
    """skin, hair, cloth: (BINS, BINS, BINS) log densities of colours; cloth None: nothing was seen below the
    head to learn from."""

    skin: np.ndarray
    hair: np.ndarray
    cloth: np.ndarray | None

    def classes(self, picture: np.ndarray, alpha: np.ndarray, face: np.ndarray | None) -> np.ndarray:
        """As `ClothesModel.classes`; all of the person that is not clothes counts as skin."""
        kept = self.keep(picture, alpha, face) >= 0.5
        return np.where(alpha < 128, BACKGROUND, np.where(kept, SKIN, CLOTH)).astype(np.uint8)

    def keep(self, picture: np.ndarray, alpha: np.ndarray, face: np.ndarray | None) -> np.ndarray:
        """As `ClothesModel.keep`; all is kept where no face is known."""
        if face is None or self.cloth is None:
            return np.ones(alpha.shape, np.float32)
        position = _Position.of(face, alpha)
        colours = _bin(picture)
        skin, hair = self.skin[colours], self.hair[colours]
        log_odds = _log_odds(skin, hair, self.cloth[colours], position.skin, position.hair)
        likely = (1 / (1 + np.exp(-log_odds))).astype(np.float32)
        radius = max(2, round(SMOOTH_SHARE * math.hypot(*alpha.shape)))
        smooth = _averaged(_averaged(likely, radius), radius)
        smooth[position.is_head] = 1
        inside = (smooth > 0.5) & (alpha > 0)
        cleaned = _closed(_hanging_together(inside, hair > skin, position), position, alpha > 0, radius)
        soft = np.clip(SOFT * (smooth - 0.5) + 0.5, 0, 1)
        near = cv2.dilate(cleaned.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        # A filled earring leaves the soft border of its colours within what is kept.
        reach = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
        deep = cv2.erode((cleaned | (alpha == 0)).astype(np.uint8), reach) > 0
        return np.where((cleaned == inside) & ~deep, soft * near, cleaned).astype(np.float32)


def _averaged(values: np.ndarray, radius: int) -> np.ndarray:
    side = 2 * radius + 1
    return cv2.blur(values, (side, side), borderType=cv2.BORDER_REFLECT)


@dataclass(frozen=True)
class _Position:
    """(H, W) each. down: face heights below the chin along the face's axis. is_face: inside its outline. is_head: no
    clothes, wherever they are. skin, hair: log odds over clothes by position alone."""

    down: np.ndarray
    is_face: np.ndarray
    is_head: np.ndarray
    skin: np.ndarray
    hair: np.ndarray

    @classmethod
    def of(cls, face: np.ndarray, alpha: np.ndarray) -> _Position:
        axis = face[CHIN] - face[FOREHEAD]
        height = max(float(np.linalg.norm(axis)), 1.0)
        width = max(float(np.linalg.norm(face[CHEEKS[1]] - face[CHEEKS[0]])), 0.5 * height)
        (x, y), (chin_x, chin_y) = axis / height, face[CHIN]
        rows, columns = np.mgrid[: alpha.shape[0], : alpha.shape[1]].astype(np.float32) + 0.5
        down = ((columns - chin_x) * x + (rows - chin_y) * y) / height
        aside = np.abs((columns - chin_x) * y - (rows - chin_y) * x) / width
        is_face = np.zeros(alpha.shape, np.uint8)
        cv2.fillPoly(is_face, [np.round(face[OVAL] - 0.5).astype(np.int32)], (1,))
        is_head = (is_face > 0) | (down < HEAD_ABOVE)
        skin, hair = (
            np.where(is_head, 2 * MOST_POSITION, np.maximum(UNDER_CHIN - falling, -MOST_POSITION))
            for falling in (
                SKIN_FALL * np.maximum(down, 0) + SKIN_ASIDE * np.maximum(aside - SKIN_WIDE, 0),
                HAIR_FALL * np.maximum(down, 0) + HAIR_ASIDE * np.maximum(aside - HAIR_WIDE, 0),
            )
        )
        return cls(down, is_face > 0, is_head, skin, hair)


def learn_clothes(samples: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray | None]]) -> Clothes:
    """Colours out of some pictures of a video. samples: picture, alpha, face as in `ClothesModel.classes`."""
    counts = np.zeros((2, BINS, BINS, BINS), np.float32)
    below: list[np.ndarray] = []
    for picture, alpha, face in samples:
        if face is None:
            continue
        position, solid = _Position.of(face, alpha), alpha >= 250
        for number, area in enumerate((position.is_face, ~position.is_face & (position.down < HAIR_ABOVE))):
            for brightness, weight in SHADES:
                shaded = (picture[area & solid] * np.float32(brightness)).astype(np.uint8)
                np.add.at(counts[number], _bin(shaded), weight)
        rest = ~position.is_head & solid
        below.append(np.column_stack([*_bin(picture[rest]), position.skin[rest], position.hair[rest]]))
    skin, hair = (_log_density(count) for count in counts)
    return Clothes(skin, hair, _clothes_colours(skin, hair, np.concatenate(below or [np.zeros((0, 5))])))


def _clothes_colours(skin: np.ndarray, hair: np.ndarray, pixels: np.ndarray) -> np.ndarray | None:
    """(BINS, BINS, BINS) log density of the colours that are not the head's, among pixels (N, 5): bins of a colour, log
    odds of skin and hair over clothes by position. None where there are hardly any pixels below the head."""
    if len(pixels) < LEAST_SAMPLES:
        return None
    index, of_skin, of_hair = tuple(pixels[:, :3].astype(int).T), pixels[:, 3], pixels[:, 4]
    counts = np.zeros(skin.shape, np.float32)
    np.add.at(counts, index, 1)
    # A neck in one light has a denser colour than a whole face: only what is far denser counts as new.
    cloth = _log_density(counts) - NEW
    for _ in range(ROUNDS):
        is_cloth = 1 / (1 + np.exp(_log_odds(skin[index], hair[index], cloth[index], of_skin, of_hair)))
        # Doubtful pixels count less: else the colours of a neck would become those of clothes round by round.
        is_cloth = np.maximum(2 * is_cloth - 1, 0)
        if is_cloth.sum() < LEAST_SAMPLES:
            break
        counts = np.zeros(skin.shape, np.float32)
        np.add.at(counts, index, is_cloth.astype(np.float32))
        cloth = _log_density(counts)
    return cloth


def _log_odds(
    skin: np.ndarray, hair: np.ndarray, cloth: np.ndarray, of_skin: np.ndarray, of_hair: np.ndarray
) -> np.ndarray:
    """Of skin or hair over clothes, from log densities of colours and log odds by position."""
    return np.maximum(
        of_skin + np.clip(skin - cloth, -MOST_COLOUR, MOST_COLOUR),
        of_hair + np.clip(hair - cloth, -MOST_COLOUR, MOST_COLOUR),
    )


def _log_density(counts: np.ndarray) -> np.ndarray:
    """Of counts in bins, widened, over a floor that is the same everywhere."""
    for axis in range(3):
        moved = np.ascontiguousarray(np.moveaxis(counts, axis, 0).reshape(BINS, -1))
        blurred = cv2.GaussianBlur(moved, (1, 7), sigmaX=0.1, sigmaY=SPREAD, borderType=cv2.BORDER_REPLICATE)
        counts = np.moveaxis(blurred.reshape(BINS, BINS, BINS), 0, axis)
    share = counts / max(float(counts.sum()), 1.0)
    return np.log((1 - FLOOR) * share + FLOOR / share.size).astype(np.float32)


def _bin(colours: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices of (..., 3) uint8 RGB."""
    lab = cv2.cvtColor(colours.reshape(1, -1, 3), cv2.COLOR_RGB2LAB) if colours.size else colours.reshape(1, 0, 3)
    # Skin, hair and most clothes fill a small part of the chromatic plane: its bins are half as wide.
    values = lab.reshape(*colours.shape).astype(np.int32)
    values[..., 1:] = np.clip(2 * (values[..., 1:] - 128) + 128, 0, 255)
    index = (values * BINS) >> 8
    return index[..., 0], index[..., 1], index[..., 2]


def _hanging_together(inside: np.ndarray, is_hair: np.ndarray, position: _Position) -> np.ndarray:
    """What of an area is part of the head, or skin that reaches it, or hair that reaches hair beside it."""
    width = float(np.ptp(np.flatnonzero(position.is_face.any(0)))) if position.is_face.any() else 0.0
    skin = _reaching(inside & ~(is_hair & ~position.is_head), position.is_head & inside)
    beside = position.is_head & ~position.is_face & is_hair
    hair = _reaching(inside & is_hair & ~position.is_face, beside & inside, max(1, round(BRIDGE * width)))
    return skin | hair


def _reaching(area: np.ndarray, goal: np.ndarray, bridge: int = 0) -> np.ndarray:
    """The parts of an area (H, W) that a goal within it touches; a bridge of up to twice that many px in width does
    not count as touching."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * bridge + 1, 2 * bridge + 1))
    whole = np.asarray(cv2.morphologyEx(area.astype(np.uint8), cv2.MORPH_OPEN, disc)) if bridge else area
    _, labels = cv2.connectedComponents(whole.astype(np.uint8), connectivity=8)
    reached = np.isin(labels, np.unique(labels[goal & (whole > 0)])) & (whole > 0)
    # What the opening took away belongs to the part beside it.
    return ((np.asarray(cv2.dilate(reached.astype(np.uint8), disc)) > 0) | goal) & area


def _closed(kept: np.ndarray, position: _Position, person: np.ndarray, radius: int) -> np.ndarray:
    """Without cracks between skin and hair, without threads that run far from both along the matte's border, and with
    earrings."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    closed = np.asarray(cv2.morphologyEx(kept.astype(np.uint8), cv2.MORPH_CLOSE, disc), np.uint8)
    solid = np.asarray(cv2.morphologyEx(closed, cv2.MORPH_OPEN, disc), np.uint8) | position.is_head.astype(np.uint8)
    found = (np.asarray(cv2.dilate(solid, disc)) > 0) & (closed > 0) & person
    _, labels, statistics, _ = cv2.connectedComponentsWithStats((person & ~found).astype(np.uint8), connectivity=4)
    small = statistics[:, cv2.CC_STAT_AREA] < TRINKET * position.is_face.sum()
    return found | (small[labels] & person)
