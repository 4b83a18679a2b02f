"""Colour correction of calibrated captures: affine on stored values, or polynomial on linear light.

Both are one pass over the picture. Powers of a single channel come from tables, which decode as well; products of
several channels are computed; another table encodes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial
from itertools import pairwise
from typing import Any

import numpy as np
import warp as wp

from vhap.data.color_kernels import DECODE_STEPS, ENCODE_STEPS, PRODUCTS, correct_float, correct_uint8
from vhap.util.errors import InputError
from vhap.util.quiet_warp import start_quietly
from vhap.util.threads import get_threads, run_all

Curve = Callable[[np.ndarray], np.ndarray]

LARGEST_SUM = 1e5
"""Of a matrix's absolute values: results, in steps of the encoding table, then fit into 32-bit integers."""

ROWS_AT_ONCE = 64
"""Of a picture in double precision: what a thread works on then stays in its cache."""

_LINEAR = ("r", "g", "b")
_SQUARE = (*_LINEAR, "rg", "rb", "gb", "rr", "gg", "bb")
_CUBIC = (*_SQUARE, "rgb", "rrg", "ggb", "bbr")
_FULL_CUBIC = (*_CUBIC, "rrb", "ggr", "bbg", "rrr", "ggg", "bbb")
_QUARTIC = ("rrrg", "rrrb", "gggr", "gggb", "bbbr", "bbbg", "rrgb", "rggb", "rgbb", "rrgg", "rrbb", "ggbb")

TERMS: dict[int, tuple[str, ...]] = {
    len(names): names
    for names in (
        _LINEAR,
        (*_LINEAR, ""),
        (*_LINEAR, "rgb", ""),
        (*_LINEAR, "rg", "rb", "gb", ""),
        (*_LINEAR, "rg", "rb", "gb", "rgb", ""),
        (*_SQUARE, ""),
        (*_SQUARE, "rgb", ""),
        (*_SQUARE, "rgb", "rrr", "ggg", "bbb", ""),
        (*_CUBIC, "rrr", "ggg", "bbb"),
        (*_CUBIC, "rrr", "ggg", "bbb", ""),
        _FULL_CUBIC,
        (*_FULL_CUBIC, ""),
        (*_FULL_CUBIC, "rrgb", "rggb", "rgbb"),
        (*_FULL_CUBIC, *_QUARTIC, "rrrr", "gggg", "bbbb", ""),
    )
}
"""The polynomials of Cheung et al. 2004 by their number of terms: "rrg" is red squared times green, "" is 1."""

start_quietly()


def correct_affine(picture: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """`rgb @ matrix[:, :3] + matrix[:, 3]` on the values as stored, clipped to [0, 1] (NeRSemble v1).

    picture: (H, W, 3) uint8, or float32 in [0, 1]; values outside are clipped first. matrix: (3, 4).
    Returns the same shape and dtype, uint8 rounded. InputError on a matrix that is not (3, 4) and finite.
    """
    matrix = _checked(matrix)
    if matrix.shape != (3, 4):
        raise InputError(
            f"expected an affine colour correction of shape (3, 4), found {matrix.shape}; check the capture's file"
        )
    # Rows of the stored matrix belong to the input channels, those of a polynomial's to the results.
    return _correct(picture, np.hstack([matrix[:, :3].T, matrix[:, 3:]]), _same, _same)


def correct_polynomial(picture: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """sRGB to linear, the matrix times the terms of Cheung et al. 2004, back to sRGB, clipped to [0, 1] (NeRSemble v2).

    picture: (H, W, 3) uint8, or float32 in [0, 1]; values outside are clipped first.
    matrix: (3, n), n one of `TERMS`.
    Returns the same shape and dtype, uint8 rounded; less than 1/255 from the formula in double precision.
    InputError on a matrix of another shape or with numbers that are not finite.
    """
    return _correct(picture, _polynomial_matrix(matrix), srgb_to_linear, linear_to_srgb)


def correct_polynomial_unclipped(picture: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """As `correct_polynomial`, in double precision and without clipping: the formula, for any real numbers.

    picture: (H, W, 3) float. Returns float64. InputError on a matrix of another shape or that is not finite.
    """
    matrix = _polynomial_matrix(matrix)
    result = np.empty(picture.shape, np.float64)

    def correct(rows: slice) -> None:
        channels = dict(zip("rgb", np.moveaxis(srgb_to_linear(np.asarray(picture[rows], np.float64)), -1, 0)))
        total = np.zeros(result[rows].shape)
        for name, weights in zip(TERMS[matrix.shape[1]], matrix.T):
            term = math.prod((channels[channel] for channel in name), start=np.ones(total.shape[:2]))
            total += term[..., None] * weights
        result[rows] = linear_to_srgb(total)

    starts = range(0, len(picture), ROWS_AT_ONCE)
    run_all([partial(correct, slice(start, start + ROWS_AT_ONCE)) for start in starts])
    return result


def srgb_to_linear(value: np.ndarray) -> np.ndarray:
    """Decoding of IEC 61966-2-1, its straight part prolonged below 0."""
    return np.where(value <= 0.0031308 * 12.92, value / 12.92, ((np.maximum(value, 0) + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(value: np.ndarray) -> np.ndarray:
    """Encoding of IEC 61966-2-1, its straight part prolonged below 0."""
    return np.where(value <= 0.0031308, value * 12.92, 1.055 * np.maximum(value, 0) ** (1 / 2.4) - 0.055)


def _same(value: np.ndarray) -> np.ndarray:
    return value


def _polynomial_matrix(matrix: np.ndarray) -> np.ndarray:
    matrix = _checked(matrix)
    if matrix.ndim != 2 or matrix.shape[0] != 3 or matrix.shape[1] not in TERMS:
        counts = ", ".join(map(str, TERMS))
        raise InputError(
            f"expected a colour correction of shape (3, n) with n one of {counts}, found {matrix.shape}; "
            "check the capture's file"
        )
    return matrix


def _checked(matrix: np.ndarray) -> np.ndarray:
    try:
        matrix = np.asarray(matrix, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"expected a matrix of numbers for the colour correction, found {error}; check the capture's file"
        ) from error
    if not np.abs(matrix).sum() < LARGEST_SUM:
        raise InputError(
            f"expected finite numbers in the colour correction, {LARGEST_SUM:g} in all at most, "
            f"found a sum of {np.abs(matrix).sum():g}; check the capture's file"
        )
    return matrix


def _correct(picture: np.ndarray, matrix: np.ndarray, decode: Curve, encode: Curve) -> np.ndarray:
    assert picture.ndim == 3, picture.shape
    assert picture.shape[2] == 3, picture.shape
    assert picture.dtype in (np.uint8, np.float32), picture.dtype
    is_uint8 = picture.dtype == np.uint8
    values = np.arange(256) / 255 if is_uint8 else np.minimum(np.arange(DECODE_STEPS + 2) / DECODE_STEPS, 1)
    names = ("".join(sorted(name)) for name in TERMS[matrix.shape[1]])
    weights = dict(zip(names, ENCODE_STEPS * matrix.T))
    rows, (products, count) = _own_powers(weights, decode(values)), _products(weights)
    source, result = np.ascontiguousarray(picture), np.empty(picture.shape, picture.dtype)
    kernel, pixel = (correct_uint8, wp.vec3ub) if is_uint8 else (correct_float, wp.vec3)
    inputs = [
        count,
        _wrap(source.reshape(-1, 3), pixel),
        _wrap(rows.reshape(-1, 4), wp.vec4),
        _wrap(products, wp.vec4),
        _wrap(_encoding(encode, is_uint8), wp.uint8 if is_uint8 else wp.float32),
        _wrap(result.reshape(-1, 3), pixel),
    ]
    _launch(kernel, source.size // 3, inputs)
    return result


def _own_powers(weights: dict[str, np.ndarray], values: np.ndarray) -> np.ndarray:
    """(3, N, 4) for N decoded values: what a channel's powers add to the results, and the value itself."""
    rows = np.empty((3, len(values), 4), np.float32)
    for channel, name in enumerate("rgb"):
        total = np.zeros((len(values), 3)) + (weights.get("", 0.0) if channel == 0 else 0.0)
        for power in range(1, 5):
            if name * power in weights:
                total += values[:, None] ** power * weights[name * power]
        rows[channel, :, :3], rows[channel, :, 3] = total, values
    return rows


def _products(weights: dict[str, np.ndarray]) -> tuple[np.ndarray, int]:
    """The weights of products of several channels as the kernels read them, and how many up to the last in use."""
    products, count = np.zeros((len(PRODUCTS), 4), np.float32), 0
    for k, name in enumerate(PRODUCTS):
        weight = weights.get("".join(sorted(name)))
        if weight is not None:
            products[k, :3], count = weight, k + 1
    return products, count


@cache
def _encoding(encode: Curve, is_uint8: bool) -> np.ndarray:
    encoded = encode(np.minimum(np.arange(ENCODE_STEPS + 2) / ENCODE_STEPS, 1))
    return np.round(255 * encoded).astype(np.uint8) if is_uint8 else encoded.astype(np.float32)


def _wrap(array: np.ndarray, dtype: type) -> wp.array:
    """A Warp array on the same memory."""
    return wp.array(array, dtype=dtype, device="cpu", copy=False)


def _launch(kernel: Any, pixels: int, inputs: list) -> None:
    # Before threads start, since several would compile one module at the same time.
    kernel.module.load(wp.get_device("cpu"))
    bounds = np.linspace(0, pixels, get_threads() + 1).astype(int).tolist()

    def launch(first: int, stop: int) -> None:
        if stop > first:
            wp.launch(kernel, dim=stop - first, inputs=[first, *inputs], device="cpu")

    run_all([partial(launch, first, stop) for first, stop in pairwise(bounds)])
