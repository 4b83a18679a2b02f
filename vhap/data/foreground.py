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
    where = ... if carried_on else rim
    person, scene = (_nearby(picture, _power(amount), where) for amount in (alpha, 1 - alpha))
    share, mixed = alpha[where][..., None], picture[where]
    unexplained = mixed - share * person - (1 - share) * scene
    own = np.clip(person + share * unexplained / (share**2 + (1 - share) ** 2), 0, 1)
    if carried_on:
        return np.where(share == 1, picture, own).astype(np.float32)
    found = np.array(picture, np.float32)
    found[rim] = own
    return found


def _power(amount: np.ndarray) -> np.ndarray:
    """To the power of PURITY, by squaring."""
    for _ in range(PURITY.bit_length() - 1):
        amount = amount * amount
    return amount


def _nearby(picture: np.ndarray, weight: np.ndarray, where: Any) -> np.ndarray:
    """Weighted mean colours around pixels, (H, W, 3) or (N, 3); weight (H, W); where: which of them, an index."""
    cv2 = import_or_explain("cv2")
    diagonal, mean, trust = math.hypot(*weight.shape), picture[where], 1e-6
    weighted = picture * weight[..., None]
    for share in REACH_SHARES:
        side = 2 * max(1, round(share * diagonal / 2)) + 1
        total, amount = (cv2.blur(values, (side, side))[where] for values in (weighted, weight))
        mean = (total + trust * mean) / (amount[..., None] + trust)
        trust = ENOUGH
    return mean
