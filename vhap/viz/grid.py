"""Pictures side by side, with names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from vhap.util.optional import import_or_explain
from vhap.viz.overlay import blend, cut_out, draw_landmarks, error_map

GAP_PX = 4
GAP_GREY = 255
LABEL_SHARE = 0.045
"""Height of a label's letters in picture heights."""


def image_grid(pictures: Sequence[np.ndarray], columns: int, gap: int = GAP_PX) -> np.ndarray:
    """(H, W, 3) uint8 pictures of one size, row by row; what is left of the last row stays empty."""
    if not pictures or columns < 1:
        raise ValueError("expected at least one picture and one column")
    height, width = pictures[0].shape[:2]
    if any(picture.shape != (height, width, 3) for picture in pictures):
        raise ValueError(f"expected pictures of one size, found {sorted({p.shape for p in pictures})}")
    rows = -(-len(pictures) // columns)
    size = (rows * (height + gap) - gap, columns * (width + gap) - gap, 3)
    grid = np.full(size, GAP_GREY, np.uint8)
    for number, picture in enumerate(pictures):
        top, left = (number // columns) * (height + gap), (number % columns) * (width + gap)
        grid[top : top + height, left : left + width] = picture
    return grid


def label(picture: np.ndarray, text: str) -> np.ndarray:
    """A copy with white text on a dark strip in the upper left corner. Plain ASCII only."""
    cv2 = import_or_explain("cv2", "pip install opencv-contrib-python")
    drawn = np.ascontiguousarray(picture).copy()
    letters = max(8, round(picture.shape[0] * LABEL_SHARE))
    scale = letters / 22
    (width, height), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    pad = letters // 2
    drawn[: height + base + pad, : width + 2 * pad] //= 3
    cv2.putText(drawn, text, (pad, height + pad), cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 1, cv2.LINE_AA)
    return drawn


def tracking_grid(
    picture: np.ndarray,
    render: np.ndarray,
    mask: np.ndarray,
    points: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None,
    columns: int = 4,
) -> np.ndarray:
    """One frame as input | overlay | render | error.

    picture, render (H, W, 3) uint8; mask (H, W) where the head is. points: detected (L, 2) px, fitted (L, 2) px and
    confidence (L,), drawn into the input.
    """
    panels: Mapping[str, np.ndarray] = {
        "input": picture if points is None else draw_landmarks(picture, *points),
        "overlay": blend(picture, render, mask),
        "render": cut_out(render, mask),
        "error": error_map(picture, render, mask),
    }
    return image_grid([label(panel, name) for name, panel in panels.items()], columns)
