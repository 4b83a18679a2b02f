"""The person's own colours at the rim of a matte, without the background that shines through there."""

from __future__ import annotations

import math
import threading

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
TRUST = 1e-6
"""The same of the pixel's own colour, for where nothing is pure."""


class _Memory(threading.local):
    """Large arrays that are used again: the system takes longer to give new ones than sums need to fill them.

    counted, pure (H, W, 4) uint8, weighted (H, W, 4) float32, sums (H + 1, W + 1, 4) float64, of padded pictures.
    """

    size: tuple[int, ...] = ()

    def of(self, size: tuple[int, ...]) -> _Memory:
        """For pictures of a size (height, width); what is in them is anything."""
        if self.size != size:
            self.size, (height, width) = size, size
            self.counted, self.pure = (np.empty((height, width, 4), np.uint8) for _ in range(2))
            self.weighted = np.empty((height, width, 4), np.float32)
            self.sums = np.empty((height + 1, width + 1, 4), np.float64)
        return self


_memory = _Memory()


def own_colors(picture: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32: what the person's colours must be where a pixel mixes them with the background's.

    picture: (H, W, 3), alpha: (H, W), float32 in [0, 1]. Colours where alpha is 1 stay; where it is 0 they are carried
    on from nearby. The estimate starts with the mean of the pure pixels nearby, of the person and of the background;
    what their mixture leaves unexplained goes to both in proportion to their share (least squares).
    """
    rim = (alpha > 0) & (alpha < 1)
    if not rim.any():
        return picture
    sides = _sides(alpha.shape)
    person, scene = (_nearby(picture, _power(amount), sides) for amount in (alpha, 1 - alpha))
    found = _unmixed(picture, alpha[..., None], person, scene)
    return np.where(alpha[..., None] == 1, picture, found).astype(np.float32)


def rim_colors(picture: np.ndarray, alpha: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """As `own_colors`, at pixels with an alpha between 0 and 255 alone, which takes a fraction of its time.

    picture (H, W, 3), alpha (H, W), uint8. Returns these pixels' indices in the flattened picture, ascending (N,), and
    their colours (N, 3) float32 in [0, 1].
    """
    rim = np.flatnonzero((alpha > 0) & (alpha < 255))
    if not len(rim):
        return rim, np.zeros((0, 3), np.float32)
    sides = _sides(alpha.shape)
    width, margin = alpha.shape[1], max(sides)
    rows, columns = np.divmod(rim, width)
    # Beyond the margin nothing matters to the rim.
    top, left = max(0, int(rows[0]) - margin), max(0, int(columns.min()) - margin)
    part = slice(top, int(rows[-1]) + margin + 1), slice(left, int(columns.max()) + margin + 1)
    person, scene = _nearby_rim(picture[part], alpha[part], rows - top, columns - left, sides)
    flat = alpha.reshape(-1)[rim].astype(np.float32)[:, None] / 255
    mixed = picture.reshape(-1, 3)[rim].astype(np.float32) / 255
    return rim, _unmixed(mixed, flat, person, scene).astype(np.float32)


def _sides(size: tuple[int, ...]) -> list[int]:
    """Of the neighbourhoods, px, odd."""
    return [2 * max(1, round(share * math.hypot(*size) / 2)) + 1 for share in REACH_SHARES]


def _unmixed(mixed: np.ndarray, share: np.ndarray, person: np.ndarray, scene: np.ndarray) -> np.ndarray:
    """The person's colours (..., 3), share (..., 1) of which and the scene's make the mixed ones."""
    unexplained = mixed - share * person - (1 - share) * scene
    return np.clip(person + share * unexplained / (share**2 + (1 - share) ** 2), 0, 1)


def _power(amount: np.ndarray) -> np.ndarray:
    """To the power of PURITY, by squaring."""
    for _ in range(PURITY.bit_length() - 1):
        amount = amount * amount
    return amount


def _nearby(picture: np.ndarray, weight: np.ndarray, sides: list[int]) -> np.ndarray:
    """Weighted mean colours (H, W, 3) around every pixel; weight (H, W)."""
    cv2 = import_or_explain("cv2")
    mean, trust = picture, TRUST
    weighted = picture * weight[..., None]
    for side in sides:
        total, amount = (cv2.blur(values, (side, side)) for values in (weighted, weight))
        mean = (total + trust * mean) / (amount[..., None] + trust)
        trust = ENOUGH
    return mean


def _nearby_rim(
    picture: np.ndarray, alpha: np.ndarray, rows: np.ndarray, columns: np.ndarray, sides: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Weighted mean colours (N, 3) of the person and of the scene around pixels, by sums over rectangles.

    picture (H, W, 3), alpha (H, W), uint8; rows, columns (N,).
    """
    cv2 = import_or_explain("cv2")
    reach = max(sides) // 2
    border = (reach, reach, reach, reach, cv2.BORDER_REFLECT_101)
    # The fourth channel counts the pixels.
    alpha = cv2.copyMakeBorder(alpha, *border)
    kept = _memory.of(alpha.shape)
    counted = cv2.copyMakeBorder(cv2.cvtColor(picture, cv2.COLOR_BGR2BGRA), *border, kept.counted)
    rim = np.flatnonzero((alpha > 0) & (alpha < 255))
    colours, amount = counted.reshape(-1, 4)[rim].astype(np.float32), alpha.reshape(-1)[rim].astype(np.float32) / 255
    stride = alpha.shape[1] + 1
    places = (rows + reach) * stride + columns + reach
    own = picture[rows, columns].astype(np.float64)
    found = []
    for pure, weight in ((255, _power(amount)), (0, _power(1 - amount))):
        kept.pure.fill(0)
        np.copyto(kept.weighted, cv2.copyTo(counted, cv2.inRange(alpha, pure, pure), kept.pure))
        kept.weighted.reshape(-1, 4)[rim] = colours * weight[:, None]
        sums = cv2.integral(kept.weighted, kept.sums, cv2.CV_64F).reshape(-1, 4)
        mean, trust = own, TRUST
        for side in sides:
            total = _rectangle_sums(sums, places, stride, side // 2) / side**2
            mean = (total[:, :3] + trust * mean) / (total[:, 3:] / 255 + trust)
            trust = ENOUGH
        found.append(mean / 255)
    return found[0], found[1]


def _rectangle_sums(sums: np.ndarray, places: np.ndarray, stride: int, reach: int) -> np.ndarray:
    """(N, C) of the pixels no farther than `reach` along each axis; sums (.., C): an integral picture's rows, which
    are `stride` long, one after the other; places (N,): of the pixels in it."""
    after, before = places + (reach + 1) * stride, places - reach * stride
    found = sums.take(after + reach + 1, 0)
    found -= sums.take(after - reach, 0)
    found -= sums.take(before + reach + 1, 0)
    found += sums.take(before - reach, 0)
    return found
