"""Pictures as the CPU's kernels of this layer take them."""

from __future__ import annotations

import numpy as np
import warp as wp


def array(values: np.ndarray, kind: type = np.float32) -> wp.array:
    """One row of values of a kind: the same memory where they are of it and in one piece. bool counts as uint8."""
    if values.dtype == bool:
        values = np.ascontiguousarray(values).view(np.uint8)
    flat = np.ascontiguousarray(values, kind).reshape(-1)
    return wp.array(flat, dtype=wp.dtype_from_numpy(kind), device="cpu", copy=False)
