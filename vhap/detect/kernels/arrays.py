"""Pictures as the CPU's kernels of this layer take them."""

from __future__ import annotations

import math

import numpy as np
import warp as wp

LINE = 16
"""Floats of a line of the processor's caches."""


def array(values: np.ndarray, kind: type = np.float32) -> wp.array:
    """One row of values of a kind: the same memory where they are of it and in one piece. bool counts as uint8."""
    if values.dtype == bool:
        values = np.ascontiguousarray(values).view(np.uint8)
    flat = np.ascontiguousarray(values, kind).reshape(-1)
    return wp.array(flat, dtype=wp.dtype_from_numpy(kind), device="cpu", copy=False)


def in_whole_lines(*shape: int) -> np.ndarray:
    """Float32 values to be written, of which the first one begins a line of the processor's caches."""
    count = math.prod(shape)
    values = np.empty(count + LINE, np.float32)
    first = -(values.ctypes.data // values.itemsize) % LINE
    return values[first : first + count].reshape(shape)
