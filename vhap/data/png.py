"""PNG files, compressed by ISA-L: as small as OpenCV's, in a fifth of their time."""

from __future__ import annotations

import struct

import numpy as np

from vhap.util.optional import import_or_explain

try:
    from isal import isal_zlib
except ImportError:  # There is no wheel for every machine.
    isal_zlib = None

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPES = {1: 0, 3: 2, 4: 6}
"""By the number of channels: grey, RGB, RGBA (PNG specification, third edition, section 11.2.1)."""
NO_FILTER, UP = 0, 2
"""Types of filters (section 9.2): none suits masks, in which most rows are of two values; differences to the row above
suit pictures."""
LEVEL = 1


def encode_png(picture: np.ndarray) -> bytes | memoryview:
    """The file of (H, W) uint8 or uint16, (H, W, 3) RGB or (H, W, 4) RGBA uint8. Without ISA-L OpenCV's, which has the
    same pixels."""
    if isal_zlib is None or picture.dtype != np.uint8:
        return _by_opencv(picture)
    height, width = picture.shape[:2]
    channels = 1 if picture.ndim == 2 else picture.shape[2]
    header = struct.pack(">IIBBBBB", width, height, 8, COLOUR_TYPES[channels], 0, 0, 0)
    content = isal_zlib.compress(_filtered(picture.reshape(height, width * channels), channels > 1), LEVEL)
    return SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", content) + _chunk(b"IEND", b"")


def _filtered(rows: np.ndarray, by_row_above: bool) -> np.ndarray:
    """(H, 1 + N): rows (H, N) uint8, each behind the number of its filter."""
    found = np.empty((len(rows), 1 + rows.shape[1]), np.uint8)
    if by_row_above:
        found[:, 0], found[0, 1:] = UP, rows[0]
        np.subtract(rows[1:], rows[:-1], out=found[1:, 1:])
    else:
        found[:, 0], found[:, 1:] = NO_FILTER, rows
    return found


def _chunk(name: bytes, content: bytes) -> bytes:
    assert isal_zlib is not None
    checksum = isal_zlib.crc32(content, isal_zlib.crc32(name))
    return b"".join([struct.pack(">I", len(content)), name, content, struct.pack(">I", checksum)])


def _by_opencv(picture: np.ndarray) -> memoryview:
    cv2 = import_or_explain("cv2")
    if picture.ndim == 3:
        picture = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR if picture.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
    done, encoded = cv2.imencode(".png", picture)
    if not done:
        raise ValueError(f"could not encode a PNG of {picture.shape}")
    return encoded.data
