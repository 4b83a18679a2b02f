"""The person's own colours at the rim of a matte, without the background that shines through there."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from vhap.util.optional import import_or_explain

REACH_SHARES = (1 / 16, 1 / 60)
"""Sides of the neighbourhoods that colours are taken from, in picture diagonals: first wide, then close by where that
holds enough of them."""
PURITY = 16
"""Power of alpha by which a pixel counts as an example: 0.9 for a fifth of a pure one, 0.5 for next to nothing. A power
of 2."""
ENOUGH = 1e-2
"""Share of pure pixels close by from which they count more than those further away."""


def own_colors(picture: np.ndarray, alpha: np.ndarray, carried_on: bool = True) -> np.ndarray:
    """(H, W, 3) float32: what the person's colours must be where a pixel mixes them with the background's.

    picture: (H, W, 3), alpha: (H, W), float32 in [0, 1]. Colours where alpha is 1 stay; where it is 0 they are carried
    on from nearby, or, without carried_on, stay as well, which is faster. The estimate starts with the
    mean of the pure pixels nearby, of the person and of the background; what their mixture leaves unexplained goes to
    both in proportion to their share (least squares).
    """
    rim = (alpha > 0) & (alpha < 1)
    if not rim.any():
        return picture
    sides = [2 * max(1, round(share * math.hypot(*alpha.shape) / 2)) + 1 for share in REACH_SHARES]
    if carried_on:
        return np.where(alpha[..., None] == 1, picture, _unmixed(picture, alpha, ..., sides)).astype(np.float32)
    found = np.array(picture, np.float32)
    part = _around(rim, max(sides))
    found[part][rim[part]] = _unmixed(picture[part], alpha[part], rim[part], sides)
    return found


def _around(rim: np.ndarray, margin: int) -> tuple[slice, slice]:
    """Rows and columns of the rim with a margin, px, beyond which nothing matters to it."""
    rows, columns = (
        slice(max(0, int(ids[0]) - margin), int(ids[-1]) + margin + 1)
        for ids in (np.flatnonzero(rim.any(axis)) for axis in (1, 0))
    )
    return rows, columns


def _unmixed(picture: np.ndarray, alpha: np.ndarray, where: Any, sides: list[int]) -> np.ndarray:
    """Colours at `where`, an index of pictures; sides: of the neighbourhoods, px."""
    person, scene = (_nearby(picture, _power(amount), where, sides) for amount in (alpha, 1 - alpha))
    share, mixed = alpha[where][..., None], picture[where]
    unexplained = mixed - share * person - (1 - share) * scene
    return np.clip(person + share * unexplained / (share**2 + (1 - share) ** 2), 0, 1)


def _power(amount: np.ndarray) -> np.ndarray:
    """To the power of PURITY, by squaring."""
    for _ in range(PURITY.bit_length() - 1):
        amount = amount * amount
    return amount


def _nearby(picture: np.ndarray, weight: np.ndarray, where: Any, sides: list[int]) -> np.ndarray:
    """Weighted mean colours around pixels, (H, W, 3) or (N, 3); weight (H, W); where: which of them, an index."""
    cv2 = import_or_explain("cv2")
    mean, trust = picture[where], 1e-6
    weighted = picture * weight[..., None]
    for side in sides:
        total, amount = (cv2.blur(values, (side, side))[where] for values in (weighted, weight))
        mean = (total + trust * mean) / (amount[..., None] + trust)
        trust = ENOUGH
    return mean
