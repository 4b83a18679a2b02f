"""Closed-form matting (Levin, Lischinski, Weiss: A Closed-Form Solution to Natural Image Matting, TPAMI 2008).

In every window of 3 x 3 pixels alpha is a linear function of the colour, up to a residual that is made least. Only
windows that hold unknown pixels are formed. Equal to pymatting's up to rounding (tests), without its compiler.
"""

from __future__ import annotations

import numpy as np
import warp as wp

from vhap.detect.kernels import closed_form as kernels
from vhap.detect.kernels.arrays import array, in_whole_lines

EPSILON = 1e-5
"""Of the windows' slopes, in squares of [0, 1]."""
MOST_STEPS, LEAST_RATIO = 60, 1e-3
"""Of the conjugate gradients: steps, and the residual in its first size at which they end. More moved alpha by less
than 1e-3."""


def closed_form(
    picture: np.ndarray, inside: np.ndarray, unknown: np.ndarray, expected: np.ndarray, weight: np.ndarray | float
) -> np.ndarray:
    """(H, W) float32 alpha in [0, 1]: 1 inside, 0 outside, and where unknown what picture and expectation agree on.

    picture: (H, W, 3) float32 in [0, 1]; inside, unknown: (H, W) bool, apart; expected: (H, W) alpha in [0, 1], which
    counts by weight, (H, W) or one number, 1 and more for certain.
    """
    alpha = inside.astype(np.float32)
    height, width = unknown.shape
    blocks, system = _band_equations(picture, inside, unknown, expected, weight)
    if blocks[0] > 0:
        vectors = array(in_whole_lines(int(blocks[0]), 3, kernels.LANES))
        along = array(np.zeros((height + 2 * kernels.MARGIN, width + kernels.ASIDE), np.float32))
        given = [array(unknown, np.uint8), width, MOST_STEPS, LEAST_RATIO, array(blocks, np.int32), array(system)]
        wp.launch(kernels.descend, 1, [*given, vectors, along, array(alpha)], device="cpu")
    return alpha


def _band_equations(
    picture: np.ndarray, inside: np.ndarray, unknown: np.ndarray, expected: np.ndarray, weight: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray]:
    """Blocks of the band, int32: their number N, then the pixel that each begins with; and what stands in each,
    (N, VECTORS, LANES) float32."""
    height, width = unknown.shape
    blocks = np.empty(1 + height * -(-width // kernels.LANES), np.int32)
    to_find, listed = array(unknown, np.uint8), array(blocks, np.int32)
    wp.launch(kernels.list_blocks, 1, [to_find, height, width, listed], device="cpu")
    system = in_whole_lines(int(blocks[0]), kernels.VECTORS, kernels.LANES)
    trust = array(np.broadcast_to(np.asarray(weight, np.float32), unknown.shape))
    given = [array(picture), array(inside, np.uint8), to_find, array(expected), trust, height, width, EPSILON, listed]
    wp.launch(kernels.tie_blocks, int(blocks[0]), [*given, array(system)], device="cpu")
    return blocks, system
