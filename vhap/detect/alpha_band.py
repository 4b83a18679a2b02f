"""Alpha in the band around an outline: closed-form matting at a limited size, carried on to the pictures' own size.

The linear function of the colour that alpha is nearby at the limited size makes alpha of the colours at the full one.
"""

from __future__ import annotations

import cv2
import numpy as np

from vhap.detect.guided_filter import linear_model
from vhap.detect.matting_laplacian import closed_form

DATA_WEIGHT = 0.3
"""Of the mixing share measured from colours, where it is certain."""
SHARE_SIGMA = 0.05
"""Standard deviation of a measured share at which its weight has halved."""
MODEL_RADIUS_PX, MODEL_EPSILON = 2, 1e-4
"""Of the linear functions of colour, in px of the limited size and in squares of [0, 1]."""
NEAR_PX = 3
"""Side of the surroundings, in px of the limited size, whose least and largest alpha bound what colours make of it."""
CONSTANT = 1e-3
"""Less than a grey value: where alpha differs by no more, colours have no say."""
TILE_PX = 128


def refine(picture: np.ndarray, plate: np.ndarray, person: np.ndarray, radius_px: int, noise: float) -> np.ndarray:
    """(H, W) float32 alpha in [0, 1]. picture, plate: (H, W, 3) float32 in [0, 1]; person: (H, W) bool, to be refined
    within radius_px of its outline."""
    mask = person.astype(np.uint8)
    inside = cv2.erode(mask, disc(radius_px)) > 0
    unknown = (cv2.dilate(mask, disc(radius_px)) > 0) & ~inside
    share, certainty = mixing_share(picture, plate, mask, radius_px, noise)
    return closed_form(picture, inside, unknown, share, DATA_WEIGHT * certainty)


def enlarged(alpha: np.ndarray, seen: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """(H, W) uint8 alpha of a picture (H, W, 3) uint8, from that of a smaller copy.

    alpha: (h, w) float32 in [0, 1]; seen: the copy, (h, w, 3) float32 in [0, 1].
    """
    size = picture.shape[0], picture.shape[1]
    if alpha.shape == size:
        return _as_bytes(alpha)
    coefficients = np.dstack(linear_model(seen, alpha, MODEL_RADIUS_PX, MODEL_EPSILON))
    coefficients[..., :3] /= 255
    wide, close = (np.ones((side, side), np.uint8) for side in (4 * MODEL_RADIUS_PX + 3, NEAR_PX))
    lowest, highest = cv2.erode(alpha, wide), cv2.dilate(alpha, wide)
    bounds = np.dstack([cv2.erode(alpha, close), cv2.dilate(alpha, close)])
    found = np.empty(size, np.uint8)
    for top in range(0, size[0], TILE_PX):
        for left in range(0, size[1], TILE_PX):
            tile = slice(top, min(top + TILE_PX, size[0])), slice(left, min(left + TILE_PX, size[1]))
            below = tuple(
                slice(part.start * small // full, -(-part.stop * small // full))
                for part, small, full in zip(tile, alpha.shape, size)
            )
            least, most = float(lowest[below].min()), float(highest[below].max())
            if most - least < CONSTANT:
                found[tile] = round(255 * most)
                continue
            terms = _enlarged_part(coefficients, tile, size)
            terms[..., :3] *= picture[tile]
            value = cv2.transform(terms, np.ones((1, 4)))
            least_there, most_there = cv2.split(_enlarged_part(bounds, tile, size))
            found[tile] = _as_bytes(np.minimum(np.maximum(value, least_there), most_there))
    return found


def _enlarged_part(values: np.ndarray, tile: tuple[slice, slice], size: tuple[int, int]) -> np.ndarray:
    """A tile of (h, w, C) float32 values at a larger size (height, width)."""
    (rows, columns), (down, across) = tile, (small / full for small, full in zip(values.shape, size))
    back = [
        [across, 0, across * (columns.start + 0.5) - 0.5],
        [0, down, down * (rows.start + 0.5) - 0.5],
    ]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    target = columns.stop - columns.start, rows.stop - rows.start
    return cv2.warpAffine(values, np.array(back), target, flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _as_bytes(alpha: np.ndarray) -> np.ndarray:
    return (255 * np.clip(alpha, 0, 1) + 0.5).astype(np.uint8)


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


def disc(radius_px: int) -> np.ndarray:
    """(2 r + 1, 2 r + 1) uint8 in {0, 1}, for morphology."""
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius_px + 1, 2 * radius_px + 1))
