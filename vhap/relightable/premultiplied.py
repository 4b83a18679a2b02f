"""Whether pictures' colours are multiplied by their alpha already, as older tools write them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

FEWEST, MOST_ABOVE = 100, 0.001
"""Soft pixels that say something, and the share of them that may be brighter than their alpha all the same."""
ROUNDING = 1


def is_premultiplied(pictures: Iterable[np.ndarray]) -> bool:
    """pictures: (H, W, 4) uint8, alpha last. Premultiplied colours never exceed alpha; straight ones do wherever what
    is shown is brighter than the share of it that shows."""
    soft, above = 0, 0
    for picture in pictures:
        alpha, brightest = picture[..., 3].astype(np.int16), picture[..., :3].max(-1).astype(np.int16)
        where = (alpha > 0) & (alpha < 255)
        soft += int(where.sum())
        above += int((brightest[where] > alpha[where] + ROUNDING).sum())
    return soft >= FEWEST and above <= MOST_ABOVE * soft
