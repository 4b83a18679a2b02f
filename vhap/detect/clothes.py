"""Clothes in the matte of a person whose face is known, without weights: by colour and by position below the chin.

What lies above the chin (face, hair) and what lies far below it give two colour distributions for the whole video, so
that the result does not flicker. A pixel's log odds are those of its colour plus those of its position below the chin,
drawn to the picture's edges by a guided filter.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from vhap.detect.mediapipe_matting import without_specks

BACKGROUND, SKIN, CLOTH = 0, 1, 16
"""Of CelebAMask-HQ's classes."""
FOREHEAD, CHIN, CHEEKS = 10, 152, (234, 454)
BINS, SMOOTHING = 24, 1.2
"""Of a colour's three values, and the spread in bins by which samples are widened."""
SURE_BELOW = 0.6
"""Face heights below the chin from which on the person is taken for clothed, where colours are learnt."""
LEAST_SAMPLES = 500
MOST_COLOUR, MOST_POSITION = 5.0, 6.0
"""Bounds of log odds."""
NECK_START, NECK_FALL, ASIDE_START, ASIDE_FALL = 0.1, 9.0, 0.5, 4.0
"""Log odds of skin or hair fall by NECK_FALL a face height from NECK_START below the chin on, and by ASIDE_FALL a face
width from ASIDE_START beside it on."""
UNDER_CHIN = 2.0
GUIDE_SHARE, GUIDE_EPSILON = 1 / 120, 1e-3
SPECKS = 0.002
SOFT = 3.0
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
    """evidence: (BINS, BINS, BINS) log odds of a colour, of skin and hair over clothes; None: no clothes were seen to
    learn from."""

    evidence: np.ndarray | None

    def classes(self, picture: np.ndarray, alpha: np.ndarray, face: np.ndarray | None) -> np.ndarray:
        """As `ClothesModel.classes`; all of the person that is not clothes counts as skin."""
        kept = self.keep(picture, alpha, face) >= 0.5
        return np.where(alpha < 128, BACKGROUND, np.where(kept, SKIN, CLOTH)).astype(np.uint8)

    def keep(self, picture: np.ndarray, alpha: np.ndarray, face: np.ndarray | None) -> np.ndarray:
        """As `ClothesModel.keep`; all is kept where no face is known."""
        if face is None or self.evidence is None:
            return np.ones(alpha.shape, np.float32)
        down, aside = head_coordinates(face, (alpha.shape[0], alpha.shape[1]))
        log_odds = _position_evidence(down, aside) + self.evidence[_bin(picture)]
        log_odds[down < 0] = MOST_POSITION
        likely = (1 / (1 + np.exp(-log_odds))).astype(np.float32)
        radius = max(2, round(GUIDE_SHARE * math.hypot(*alpha.shape)))
        smooth = cv2.ximgproc.guidedFilter(picture.astype(np.float32) / 255, likely, radius, GUIDE_EPSILON)
        smooth[down < 0] = 1
        inside = smooth > 0.5
        # Skin and hair hang together with the face: a patch of their colour within a shirt is a pattern.
        cleaned = _with_head(without_specks(inside & (alpha > 0), SPECKS), down)
        soft = np.clip(SOFT * (smooth - 0.5) + 0.5, 0, 1)
        return np.where(cleaned == inside, soft, cleaned).astype(np.float32)


def learn_clothes(samples: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray | None]]) -> Clothes:
    """Colours out of some pictures of a video. samples: picture, alpha, face as in `ClothesModel.classes`."""
    counts = np.zeros((2, BINS, BINS, BINS), np.float32)
    for picture, alpha, face in samples:
        if face is None:
            continue
        down, _ = head_coordinates(face, (alpha.shape[0], alpha.shape[1]))
        for number, area in enumerate((down < 0, down > SURE_BELOW)):
            np.add.at(counts[number], _bin(picture[(area & (alpha >= 250))]), 1)
    if counts[1].sum() < LEAST_SAMPLES or counts[0].sum() < LEAST_SAMPLES:
        return Clothes(None)
    shares = [_smoothed(count / count.sum()) + 1e-7 for count in counts]
    evidence = np.log(shares[0] / shares[1])
    return Clothes(np.clip(evidence, -MOST_COLOUR, MOST_COLOUR))


def head_coordinates(face: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """(H, W) each: face heights below the chin along the face's own axis, and face widths beside it."""
    axis = face[CHIN] - face[FOREHEAD]
    height = max(float(np.linalg.norm(axis)), 1.0)
    width = max(float(np.linalg.norm(face[CHEEKS[1]] - face[CHEEKS[0]])), 0.5 * height)
    (x, y), (chin_x, chin_y) = axis / height, face[CHIN]
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float32) + 0.5
    down = ((columns - chin_x) * x + (rows - chin_y) * y) / height
    return down, np.abs((columns - chin_x) * y - (rows - chin_y) * x) / width


def _position_evidence(down: np.ndarray, aside: np.ndarray) -> np.ndarray:
    falling = NECK_FALL * np.maximum(down - NECK_START, 0) + ASIDE_FALL * np.maximum(aside - ASIDE_START, 0)
    return np.maximum(UNDER_CHIN - falling, -MOST_POSITION)


def _bin(colours: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices of (..., 3) uint8 RGB."""
    lab = cv2.cvtColor(colours.reshape(1, -1, 3), cv2.COLOR_RGB2LAB) if colours.size else colours.reshape(1, 0, 3)
    index = (lab.reshape(*colours.shape).astype(np.int32) * BINS) >> 8
    return index[..., 0], index[..., 1], index[..., 2]


def _smoothed(counts: np.ndarray) -> np.ndarray:
    for axis in range(3):
        moved = np.ascontiguousarray(np.moveaxis(counts, axis, 0).reshape(BINS, -1))
        blurred = cv2.GaussianBlur(moved, (1, 7), sigmaX=0.1, sigmaY=SMOOTHING, borderType=cv2.BORDER_REPLICATE)
        counts = np.moveaxis(blurred.reshape(BINS, BINS, BINS), 0, axis)
    return counts


def _with_head(inside: np.ndarray, down: np.ndarray) -> np.ndarray:
    """The parts of an area (H, W) that reach above the chin."""
    _, labels = cv2.connectedComponents(inside.astype(np.uint8), connectivity=8)
    reaching = np.unique(labels[(down < 0) & inside])
    return np.isin(labels, reaching) & inside
