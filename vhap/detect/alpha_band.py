"""Alpha in the band around an outline: closed-form matting (Levin et al. 2008) by pymatting."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import sparse

EPSILON = 1e-5
"""Of the matting Laplacian, in squares of [0, 1]."""
DATA_WEIGHT = 0.3
"""Of the mixing share measured from colours, where it is certain."""
SHARE_SIGMA = 0.05
"""Standard deviation of a measured share at which its weight has halved."""
TILE_PX = 128


def refine(picture: np.ndarray, plate: np.ndarray, person: np.ndarray, radius_px: int, noise: float) -> np.ndarray:
    """(H, W) float32 alpha in [0, 1]. picture, plate: (H, W, 3) float32 in [0, 1]; person: (H, W) bool, to be refined
    within radius_px of its outline."""
    mask = person.astype(np.uint8)
    inside = cv2.erode(mask, disc(radius_px)) > 0
    unknown = (cv2.dilate(mask, disc(radius_px)) > 0) & ~inside
    share, certainty = mixing_share(picture, plate, mask, radius_px, noise)
    return solve(picture, inside, unknown, share, DATA_WEIGHT * certainty)


def solve(
    picture: np.ndarray, inside: np.ndarray, unknown: np.ndarray, expected: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """(H, W) float32 alpha in [0, 1]: 1 inside, 0 outside, and where unknown what picture and expectation agree on.

    picture: (H, W, 3) float32 in [0, 1]; inside, unknown: (H, W) bool, apart; expected: (H, W) alpha in [0, 1], which
    counts by weight, (H, W), 1 and more for certain.
    """
    from pymatting import cg, ichol

    alpha = inside.astype(np.float64)
    if unknown.any():
        trust, guess = (values[unknown].astype(np.float64) for values in (weight, expected))
        laplacian = _band_laplacian(picture, unknown)
        within = laplacian[:, np.flatnonzero(unknown)]
        system = ((within + within.T) / 2 + sparse.diags(trust)).tocsc()
        right = trust * guess - laplacian @ alpha.ravel()
        found = cg(system.tocsr(), right, x0=guess, M=ichol(system), rtol=1e-4, maxiter=500)
        alpha[unknown] = np.clip(found, 0, 1)
    return alpha.astype(np.float32)


def mixing_share(
    picture: np.ndarray, plate: np.ndarray, mask: np.ndarray, radius_px: int, noise: float
) -> tuple[np.ndarray, np.ndarray]:
    """How much of a pixel's colour comes from the person, (H, W) in [0, 1], and how certain that is, (H, W) in [0, 1].

    The person's colour is the mean of those inside the mask nearby.
    """
    inside = cv2.erode(mask, disc(2)).astype(np.float32)

    def nearby(values: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(values, (0, 0), 0.8 * radius_px)

    amount = nearby(inside)
    known = np.maximum(amount, 1e-6)[..., None]
    colour = nearby(picture * inside[..., None]) / known
    variance = np.maximum(nearby(picture**2 * inside[..., None]) / known - colour**2, 0).mean(-1)
    across = colour - plate
    contrast = (across**2).sum(-1) + 1e-6
    share = np.clip(((picture - plate) * across).sum(-1) / contrast, 0, 1)
    # 1e-4: colours of a pixel blurred by JPEG, beyond the noise of flat areas.
    share_variance = (2 * noise**2 + variance * share**2 + 1e-4) / contrast
    return share, (amount > 1e-3) / (1 + share_variance / SHARE_SIGMA**2)


def _band_laplacian(picture: np.ndarray, unknown: np.ndarray) -> sparse.csr_matrix:
    """Rows of the matting Laplacian for the unknown pixels, (N, H * W); by tiles, since pymatting sets aside 25 numbers
    for every pixel it is shown."""
    from pymatting import cf_laplacian

    height, width = unknown.shape
    row_of = np.cumsum(unknown.ravel()) - 1
    pixels = np.arange(height * width).reshape(height, width)
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for top in range(0, height, TILE_PX):
        for left in range(0, width, TILE_PX):
            own = np.zeros_like(unknown)
            tile = slice(top, top + TILE_PX), slice(left, left + TILE_PX)
            own[tile] = unknown[tile]
            if not own[tile].any():
                continue
            # Windows of 3 x 3 tie a pixel to those two further on.
            wide = slice(max(0, top - 2), top + TILE_PX + 2), slice(max(0, left - 2), left + TILE_PX + 2)
            part = cf_laplacian(picture[wide].astype(np.float64), EPSILON, 1, ~unknown[wide]).tocoo()
            rows, columns = pixels[wide].ravel()[part.row], pixels[wide].ravel()[part.col]
            kept = own.ravel()[rows] & (part.data != 0)
            parts.append((row_of[rows[kept]], columns[kept], part.data[kept]))
    rows, columns, values = (np.concatenate(column) for column in zip(*parts))
    return sparse.csr_matrix((values, (rows, columns)), (int(unknown.sum()), height * width))


def disc(radius_px: int) -> np.ndarray:
    """(2 r + 1, 2 r + 1) uint8 in {0, 1}, for morphology."""
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius_px + 1, 2 * radius_px + 1))
