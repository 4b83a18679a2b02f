"""Closed-form matting (Levin, Lischinski, Weiss: A Closed-Form Solution to Natural Image Matting, TPAMI 2008).

In every window of 3 x 3 pixels alpha is a linear function of the colour, up to a residual that is made least. Only
windows that hold unknown pixels are formed. Equal to pymatting's up to rounding (tests), without its compiler.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from scipy import sparse

EPSILON = 1e-5
"""Of the windows' slopes, in squares of [0, 1]."""
MOST_STEPS, LEAST_RATIO = 60, 1e-3
"""Of the conjugate gradients: steps, and the residual in its first size at which they end. More moved alpha by less
than 1e-3."""
WINDOW = tuple((row, column) for row in (-1, 0, 1) for column in (-1, 0, 1))
BORDER_PX = 2
"""Windows tie a pixel to those two further on."""


def closed_form(
    picture: np.ndarray, inside: np.ndarray, unknown: np.ndarray, expected: np.ndarray, weight: np.ndarray | float
) -> np.ndarray:
    """(H, W) float32 alpha in [0, 1]: 1 inside, 0 outside, and where unknown what picture and expectation agree on.

    picture: (H, W, 3) float32 in [0, 1]; inside, unknown: (H, W) bool, apart; expected: (H, W) alpha in [0, 1], which
    counts by weight, (H, W) or one number, 1 and more for certain.
    """
    alpha = inside.astype(np.float32)
    if unknown.any():
        guess = expected[unknown].astype(np.float32)
        trust = np.broadcast_to(weight, unknown.shape)[unknown].astype(np.float32)
        laplacian, pull = _band_equations(picture, inside, unknown)
        alpha[unknown] = np.clip(_solved(laplacian, trust, pull + trust * guess, guess), 0, 1)
    return alpha


def _band_equations(
    picture: np.ndarray, inside: np.ndarray, unknown: np.ndarray
) -> tuple[sparse.csr_matrix, np.ndarray]:
    """The Laplacian between the N unknown pixels, (N, N), and the pull on each from the known ones inside, (N,)."""
    padded = [_with_border(part.astype(np.uint8), cv2.BORDER_CONSTANT) for part in (inside, unknown)]
    width = padded[0].shape[1]
    is_inside, pixels = padded[0].ravel() > 0, np.flatnonzero(padded[1])
    number = np.full(is_inside.size, -1, np.int32)
    number[pixels] = np.arange(len(pixels), dtype=np.int32)
    rank, ties = _ties(_with_border(picture, cv2.BORDER_REPLICATE), padded[1])
    columns = np.empty((len(pixels), 25), np.int32)
    values = np.empty((len(pixels), 25), np.float32)
    pull = np.zeros(len(pixels), np.float32)
    for place, ((down, right), tie) in enumerate(_both_ways(ties)):
        step = down * width + right
        # A tie is noted at the first of its two pixels.
        value = tie[rank[pixels + min(step, 0)]]
        other = number[pixels + step]
        pull -= value * is_inside[pixels + step]
        values[:, place] = np.where(other >= 0, value, 0)
        columns[:, place] = np.maximum(other, 0)
    starts = np.arange(0, 25 * len(pixels) + 1, 25, dtype=np.int32)
    return sparse.csr_matrix((values.ravel(), columns.ravel(), starts), (len(pixels),) * 2), pull


def _with_border(values: np.ndarray, kind: int) -> np.ndarray:
    return cv2.copyMakeBorder(values, BORDER_PX, BORDER_PX, BORDER_PX, BORDER_PX, kind)


def _both_ways(
    ties: dict[tuple[int, int], np.ndarray],
) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    for (down, right), tie in ties.items():
        yield (down, right), tie
        if (down, right) != (0, 0):
            yield (-down, -right), tie


def _ties(picture: np.ndarray, unknown: np.ndarray) -> tuple[np.ndarray, dict[tuple[int, int], np.ndarray]]:
    """Elements of the Laplacian by the step (down, right) from a pixel to another, of the windows within the picture
    less BORDER_PX that hold an unknown pixel: float32 each, at the rank (H * W,) of the first pixel, 0 at rank 0."""
    height, width = unknown.shape
    centres = cv2.dilate(unknown, np.ones((3, 3), np.uint8))
    edge = BORDER_PX + 1
    kept = np.zeros_like(centres)
    kept[edge : height - edge, edge : width - edge] = centres[edge : height - edge, edge : width - edge]
    middle = np.flatnonzero(kept)
    pixels = [middle + down * width + right for down, right in WINDOW]
    within = np.flatnonzero(cv2.dilate(kept, np.ones((3, 3), np.uint8)))
    rank = np.zeros(height * width, np.int32)
    rank[within] = np.arange(1, len(within) + 1, dtype=np.int32)
    ranks = [rank[at] for at in pixels]
    planes = [np.ascontiguousarray(plane.ravel()) for plane in cv2.split(picture)]
    colours = np.stack([[plane[at] for plane in planes] for at in pixels])
    colours -= colours.mean(0)
    turned = np.einsum("ijn,kjn->kin", _inverse_covariances(colours), colours)
    ties: dict[tuple[int, int], np.ndarray] = {}
    for first, (row, column) in enumerate(WINDOW):
        for second, (to_row, to_column) in enumerate(WINDOW[first:], first):
            alike = -(1 + np.einsum("cn,cn->n", colours[first], turned[second])) / len(WINDOW)
            step = to_row - row, to_column - column
            tie = ties.setdefault(step, np.zeros(len(within) + 1, np.float32))
            tie[ranks[first]] += alike + 1 if first == second else alike
    return rank, ties


def _inverse_covariances(colours: np.ndarray) -> np.ndarray:
    """(3, 3, N) float32 of colours (9, 3, N) less their mean."""
    covariance = np.empty((3, 3, colours.shape[2]))
    for i in range(3):
        for j in range(i + 1):
            covariance[i, j] = covariance[j, i] = np.einsum("kn,kn->n", colours[:, i], colours[:, j]) / len(WINDOW)
        covariance[i, i] += EPSILON / len(WINDOW)
    after, further = (1, 2, 0), (2, 0, 1)
    minors = np.empty_like(covariance)
    for i in range(3):
        for j in range(3):
            minors[i, j] = (
                covariance[after[i], after[j]] * covariance[further[i], further[j]]
                - covariance[after[i], further[j]] * covariance[further[i], after[j]]
            )
    return (minors / (covariance[0] * minors[0]).sum(0)).astype(np.float32)


def _solved(laplacian: sparse.csr_matrix, trust: np.ndarray, right: np.ndarray, guess: np.ndarray) -> np.ndarray:
    """x of (laplacian + diag(trust)) x = right, all (N,) float32, by conjugate gradients from a guess on."""
    scale = 1 / np.maximum(laplacian.diagonal() + trust, 1e-6)
    found = guess.copy()
    residual = right - laplacian @ found - trust * found
    along = scale * residual
    size = _product(residual, along)
    end = LEAST_RATIO**2 * size
    for _ in range(MOST_STEPS):
        if size <= max(end, 1e-12):
            break
        image = laplacian @ along + trust * along
        length = size / _product(along, image)
        found += length * along
        residual -= length * image
        scaled = scale * residual
        before, size = size, _product(residual, scaled)
        along = scaled + size / before * along
    return found


def _product(first: np.ndarray, second: np.ndarray) -> float:
    """Not by BLAS, whose sums depend on the number of its threads."""
    return float(np.sum(first * second, dtype=np.float64))
