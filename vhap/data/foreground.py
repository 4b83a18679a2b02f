"""The person's own colours at the rim of a matte, without the background that shines through there."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np
import warp as wp

from vhap.data.rim_kernels import means_nearby, sum_rectangles
from vhap.util.optional import import_or_explain
from vhap.util.quiet_warp import start_quietly

start_quietly()

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
    """A large array that is used again: the system takes longer to give a new one than sums need to fill it."""

    sums = np.empty((0, 0, 4))

    def of(self, size: tuple[int, int]) -> np.ndarray:
        """(H, W, 4) float64; what is in it is anything."""
        if self.sums.shape[:2] != size:
            self.sums = np.empty((*size, 4))
        return self.sums


_memory = _Memory()
_loading = threading.Lock()


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
    """Weighted mean colours (N, 3) float64 of the person and of the scene around pixels, by sums over rectangles.

    picture (H, W, 3), alpha (H, W), uint8; rows, columns (N,).
    """
    reaches = [side // 2 for side in sides]
    margin = max(reaches)
    row_of, column_of = (_mirrored(count, margin) for count in alpha.shape)
    sums = _memory.of((len(row_of) + 1, len(column_of) + 1))
    shown = _wrap(np.ascontiguousarray(picture), wp.vec3ub)
    padded = [
        _wrap(np.ascontiguousarray(alpha), wp.uint8),
        *(_wrap(places, wp.int32) for places in (row_of, column_of)),
    ]
    near = [shown, _wrap(rows, wp.int64), _wrap(columns, wp.int64), _wrap(sums, wp.vec4d), margin, *reaches]
    levels = np.arange(256, dtype=np.float32) / 255
    found = []
    for amount in (levels, 1 - levels):
        weights, means = _wrap(_power(amount), wp.float32), np.empty((len(rows), 3))
        _launch(sum_rectangles, 1, [shown, padded[0], weights, *padded[1:], near[3]])
        _launch(means_nearby, len(rows), [*near, TRUST, ENOUGH, _wrap(means, wp.vec3d)])
        found.append(means)
    return found[0], found[1]


def _mirrored(count: int, margin: int) -> np.ndarray:
    """(count + 2 margin,) int32: what stands at each place of a row of `count` that goes on as in a mirror, whose ends
    are not said twice."""
    period = max(1, 2 * (count - 1))
    places = np.abs(np.arange(-margin, count + margin)) % period
    return np.minimum(places, period - places if count > 1 else 0).astype(np.int32)


def _wrap(array: np.ndarray, dtype: type) -> wp.array:
    """A Warp array on the same memory."""
    return wp.array(array, dtype=dtype, device="cpu", copy=False)


def _launch(kernel: Any, count: int, inputs: list) -> None:
    with _loading:
        kernel.module.load(wp.get_device("cpu"))
    wp.launch(kernel, dim=count, inputs=inputs, device="cpu")
