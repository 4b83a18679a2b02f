"""Pictures as JPEG, in a file or in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vhap.util.files import atomic_path
from vhap.util.optional import import_or_explain

JPEG_QUALITY = 85


def encode_jpeg(picture: np.ndarray, longest_side: int | None = None, quality: int = JPEG_QUALITY) -> bytes:
    """(H, W, 3) uint8 RGB; shrunk (never enlarged) to a longest side where one is given."""
    cv2 = import_or_explain("cv2")
    picture = shrink(picture, longest_side) if longest_side else picture
    done, encoded = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done, f"JPEG of {picture.shape}"
    return encoded.tobytes()


def write_jpeg(path: Path, picture: np.ndarray) -> None:
    """(H, W, 3) uint8 RGB; the file appears whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(encode_jpeg(picture))


def shrink(picture: np.ndarray, longest_side: int) -> np.ndarray:
    """(H, W, 3) uint8, area-averaged down to the longest side; smaller ones as they are."""
    cv2 = import_or_explain("cv2")
    height, width = picture.shape[:2]
    if max(height, width) <= longest_side:
        return picture
    factor = longest_side / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
