"""A tracked frame made visible: the head over the picture, points as detected and as fitted, the colour error.

Pictures are (H, W, 3) uint8 RGB, row 0 on top; masks (H, W) bool; points (L, 2) px, the first pixel's
centre at (0.5, 0.5). Nothing is drawn into the arguments.
"""

from __future__ import annotations

import numpy as np

from vhap.util.optional import import_or_explain

DETECTED_RGB, FITTED_RGB, GAP_RGB = (70, 220, 90), (255, 70, 70), (255, 210, 60)
FULL_SCALE = 0.25
"""Colour difference at the hot end of the error map."""
DIM = 0.35
"""Brightness of the picture beside the error map."""
SUBPIXEL_BITS = 4


def picture_bytes(colours: np.ndarray) -> np.ndarray:
    """(H, W, 3) float32 -> uint8, rounded; what lies beside [0, 1] is cut off."""
    return import_or_explain("cv2").convertScaleAbs(np.maximum(colours, 0), alpha=255)


def blend(picture: np.ndarray, render: np.ndarray, mask: np.ndarray, opacity: float = 0.6) -> np.ndarray:
    """The rendered head over the picture, see-through, where the mask is."""
    cv2 = import_or_explain("cv2")
    mixed = cv2.addWeighted(picture, 1 - opacity, render, opacity, 0)
    return cv2.copyTo(mixed, mask.view(np.uint8), picture.copy())


def cut_out(render: np.ndarray, mask: np.ndarray, background: int = 255) -> np.ndarray:
    """The rendered head alone over a grey."""
    drawn = np.full_like(render, background)
    return import_or_explain("cv2").copyTo(render, mask.view(np.uint8), drawn)


def draw_landmarks(
    picture: np.ndarray, detected: np.ndarray, fitted: np.ndarray | None, confidence: np.ndarray | None = None
) -> np.ndarray:
    """Detected points green, fitted ones red, a yellow line between those that belong together; None for detected ones
    alone.

    confidence (L,): pairs with 0 are left out, since their detected coordinates mean nothing. Points far outside
    the picture or not finite are left out as well.
    """
    cv2 = import_or_explain("cv2")
    drawn = np.ascontiguousarray(picture).copy()
    ends = detected if fitted is None else fitted
    pairs = np.stack([np.asarray(detected, np.float64), np.asarray(ends, np.float64)], 1)
    height, width = picture.shape[:2]
    near = (np.isfinite(pairs) & (np.abs(pairs) < 4 * max(height, width))).all(axis=(1, 2))
    shown = near if confidence is None else near & (np.asarray(confidence) > 0)
    fixed = np.rint((pairs[shown] - 0.5) * 2**SUBPIXEL_BITS).astype(np.int32)
    radius = max(1, round(max(height, width) / 400)) * 2**SUBPIXEL_BITS
    options = {"lineType": cv2.LINE_AA, "shift": SUBPIXEL_BITS}
    for start, end in fixed.tolist():
        cv2.line(drawn, start, end, GAP_RGB, 1, **options)
    for start, end in fixed.tolist():
        cv2.circle(drawn, start, radius, DETECTED_RGB, -1, **options)
        if fitted is not None:
            cv2.circle(drawn, end, radius, FITTED_RGB, -1, **options)
    return drawn


def error_map(picture: np.ndarray, render: np.ndarray, mask: np.ndarray, full_scale: float = FULL_SCALE) -> np.ndarray:
    """Mean absolute colour difference inside the mask as heat; outside, the picture in dim grey.

    full_scale: difference in [0, 1] that is the hottest colour; larger ones look the same.
    """
    cv2 = import_or_explain("cv2")
    level = cv2.transform(cv2.absdiff(picture, render), np.full((1, 3), 1 / (3 * full_scale)))
    heat = cv2.cvtColor(cv2.applyColorMap(level, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    return cv2.copyTo(heat, mask.view(np.uint8), dimmed(picture))


def dimmed(picture: np.ndarray) -> np.ndarray:
    """In dim grey."""
    return import_or_explain("cv2").transform(picture, np.full((3, 3), DIM / 3))
