"""The guided filter by a colour picture, of functions that every OpenCV wheel has.

K. He, J. Sun, X. Tang: Guided Image Filtering, TPAMI 2013. Equal to cv2.ximgproc.guidedFilter of opencv-contrib-python
up to rounding (tests), which the plain and the headless wheels lack.
"""

from __future__ import annotations

import cv2
import numpy as np


def guided_filter(guide: np.ndarray, values: np.ndarray, radius_px: int, epsilon: float) -> np.ndarray:
    """(H, W) float32 values, drawn to the edges of the guide, (H, W, 3) float32 of any range.

    radius_px: windows have the side 2 * radius_px + 1. epsilon > 0: variance of the guide's colours, in squares of its
    unit, up to which a window has no edge.
    """
    *slopes, offset = linear_model(guide, values, radius_px, epsilon)
    return sum(slope * plane for slope, plane in zip(slopes, cv2.split(guide))) + offset


def linear_model(guide: np.ndarray, values: np.ndarray, radius_px: int, epsilon: float) -> list[np.ndarray]:
    """Three slopes and an offset, (H, W) float32 each: what `guided_filter` multiplies colours with, and adds.

    They change slowly, so that those of a smaller guide serve a larger one (He, Sun: Fast Guided Filter, 2015).
    """
    planes = cv2.split(guide)
    means, mean = [_mean(plane, radius_px) for plane in planes], _mean(values, radius_px)
    covariances = [
        _mean(plane * values, radius_px) - own_mean * mean for plane, own_mean in zip(planes, means, strict=True)
    ]
    rr, rg, rb, gg, gb, bb = (
        _mean(planes[i] * planes[j], radius_px) - means[i] * means[j] + (epsilon if i == j else 0)
        for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
    )
    # Values are a linear function of the colour in each window: slopes = inverse of the symmetric 3x3 * covariances.
    minor_rr, minor_rg, minor_rb = gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb
    minor_gg, minor_gb, minor_bb = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
    determinant = minor_rr * rr + minor_rg * rg + minor_rb * rb
    rows = ((minor_rr, minor_rg, minor_rb), (minor_rg, minor_gg, minor_gb), (minor_rb, minor_gb, minor_bb))
    slopes = [sum(minor * along for minor, along in zip(row, covariances)) / determinant for row in rows]
    offset = mean - sum(slope * own_mean for slope, own_mean in zip(slopes, means))
    # A pixel lies in many windows: the mean of their functions counts.
    return [_mean(coefficient, radius_px) for coefficient in (*slopes, offset)]


def _mean(plane: np.ndarray, radius_px: int) -> np.ndarray:
    side = 2 * radius_px + 1
    return cv2.blur(plane, (side, side), borderType=cv2.BORDER_REFLECT)
