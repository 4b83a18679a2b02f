"""Pictures side by side, with names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from vhap.util.optional import import_or_explain

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


def label(picture: np.ndarray, text: str, below: bool = False) -> np.ndarray:
    """A copy with white text on a dark strip in the upper (lower) left corner. Plain ASCII only."""
    cv2 = import_or_explain("cv2")
    drawn = np.ascontiguousarray(picture).copy()
    letters = max(8, round(picture.shape[0] * LABEL_SHARE))
    scale = letters / 22
    (width, height), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    pad = letters // 2
    strip = height + base + pad
    top = drawn.shape[0] - strip if below else 0
    drawn[top : top + strip, : width + 2 * pad] //= 3
    cv2.putText(
        drawn, text, (pad, top + height + pad), cv2.FONT_HERSHEY_SIMPLEX, scale, (255, 255, 255), 1, cv2.LINE_AA
    )
    return drawn


def labelled_grid(panels: Mapping[str, np.ndarray], columns: int = 4) -> np.ndarray:
    """Pictures (H, W, 3) uint8 of one size with their names in them, row by row."""
    return image_grid([label(panel, name) for name, panel in panels.items()], columns)
