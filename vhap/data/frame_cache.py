"""Decoded pictures, kept in memory up to a bound."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np

from vhap.util.bounded_cache import BoundedCache

DEFAULT_BYTES = 1 << 28
"""Some 260 pictures of 512 x 512, more than are solved together; a pass over a long video needs none of them twice."""


class Frame(NamedTuple):
    """rgb (H, W, 3) and alpha (H, W) or None, uint8."""

    rgb: np.ndarray
    alpha: np.ndarray | None

    @property
    def nbytes(self) -> int:
        return self.rgb.nbytes + (0 if self.alpha is None else self.alpha.nbytes)


FrameCache: TypeAlias = BoundedCache[int, Frame]
"""Frames by index."""
