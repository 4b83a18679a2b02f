"""Alpha in the band around an outline: closed-form matting at a limited size, carried on to the pictures' own size.

The linear function of the colour that alpha is nearby at the limited size makes alpha of the colours at the full one.
"""

from __future__ import annotations

import cv2
import numpy as np
import warp as wp

from vhap.detect.kernels.arrays import array, in_whole_lines
from vhap.detect.kernels.enlarge import SMALL_TILE, TILE, apply_functions, find_functions
from vhap.detect.matting_laplacian import closed_form

DATA_WEIGHT = 0.3
"""Of the mixing share measured from colours, where it is certain."""
SHARE_SIGMA = 0.05
"""Standard deviation of a measured share at which its weight has halved."""
MODEL_EPSILON = 1e-4
"""Of the linear functions of colour, in squares of [0, 1]."""
CONSTANT = 1e-3
"""Less than a grey value: where alpha differs by no more, colours have no say."""


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

    alpha: (h, w) float32 in [0, 1]; seen: the copy, (h, w, 3) float32 in [0, 1]. What colours make of alpha stays
    between its least and its most in 3 x 3 pixels of the copy.
    """
    size = picture.shape[0], picture.shape[1]
    if alpha.shape == size:
        return _as_bytes(alpha)
    small_height, small_width = alpha.shape
    functions, found = in_whole_lines(small_height, small_width, 4), np.empty(size, np.uint8)
    given = [array(alpha), small_height, small_width]
    tiles = -(-small_height // SMALL_TILE) * -(-small_width // SMALL_TILE)
    wp.launch(find_functions, tiles, [array(seen), *given, MODEL_EPSILON, array(functions)], device="cpu")
    target = [array(picture, np.uint8), *size, CONSTANT, array(found, np.uint8)]
    tiles = -(-size[0] // TILE) * -(-size[1] // TILE)
    wp.launch(apply_functions, tiles, [array(functions), *given, *target], device="cpu")
    return found


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
