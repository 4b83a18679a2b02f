"""The person's own colours at the rim of a matte, without the background that shines through there."""

from __future__ import annotations

import math

import numpy as np

from vhap.util.optional import import_or_explain

REACH_SHARES = (1 / 16, 1 / 60)
"""Sides of the neighbourhoods that colours are taken from, in picture diagonals: first wide, then close by where that
holds enough of them."""
PURITY = 16
"""Power of alpha by which a pixel counts as an example: 0.9 for a fifth of a pure one, 0.5 for next to nothing."""
ENOUGH = 1e-2
"""Share of pure pixels close by from which they count more than those further away."""


def own_colors(picture: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32: what the person's colours must be where a pixel mixes them with the background's.

    picture: (H, W, 3), alpha: (H, W), float32 in [0, 1]. Colours where alpha is 1 stay; where it is 0 they are carried
    on from nearby. The estimate starts with the mean of the pure pixels nearby, of the person and of the background;
    what their mixture leaves unexplained goes to both in proportion to their share (least squares).
    """
    if not ((alpha > 0) & (alpha < 1)).any():
        return picture
    person, scene = (_nearby(picture, amount**PURITY) for amount in (alpha, 1 - alpha))
    share = alpha[..., None]
    unexplained = picture - share * person - (1 - share) * scene
    found = person + share * unexplained / (share**2 + (1 - share) ** 2)
    return np.where(share == 1, picture, np.clip(found, 0, 1)).astype(np.float32)


def _nearby(picture: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(H, W, 3) weighted mean colours around each pixel; weight: (H, W)."""
    cv2 = import_or_explain("cv2")
    diagonal, mean, trust = math.hypot(*weight.shape), picture, 1e-6
    weighted = picture * weight[..., None]
    for share in REACH_SHARES:
        side = 2 * max(1, round(share * diagonal / 2)) + 1
        total, amount = cv2.blur(weighted, (side, side)), cv2.blur(weight, (side, side))[..., None]
        mean = (total + trust * mean) / (amount + trust)
        trust = ENOUGH
    return mean
