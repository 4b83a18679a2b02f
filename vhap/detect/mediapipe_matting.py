"""MediaPipe's selfie segmentation, its coarse mask (256 x 256, a little too wide) drawn to the picture's edges."""

from __future__ import annotations

import math

import cv2
import numpy as np

from vhap.data.pictures import shrink
from vhap.detect.guided_filter import guided_filter
from vhap.detect.networks.selfie import SelfieSegmentation
from vhap.detect.tracked_person import SPECK_SHARE, close_region, speck_share

CERTAIN = 0.95
"""Mask values beyond which (or below 1 minus which) a pixel counts as an example of person or background."""
WINDOW_SHARE = 1 / 20
"""Side of the neighbourhood whose colours are compared, in picture diagonals; wider than the mask's soft border."""
STATISTICS_PX = 512
"""Diagonal at which colours are gathered: they change slowly, and large pictures would take a second each."""
COLOR_NOISE = 4e-4
"""Variance added to the colours of a neighbourhood, in squares of [0, 1]."""
MAX_EVIDENCE = 5.0
"""Most that colour can say, in log odds, against the mask."""
GUIDE_RADIUS_SHARE, GUIDE_EPSILON = 1 / 200, 65.0
"""Radius in picture diagonals, and variance of colours, in squares of 8-bit levels, up to which nothing is an edge."""
LOW, HIGH = 0.1, 0.9
"""Values of the filtered mask that become 0 and 1: the filter leaves a faint haze on both sides."""
WORK_DIAGONAL_PX = 800
"""Diagonal at which the edges are sought: the mask has no more than 256 x 256 pixels. Only the filter, and that along
the outline alone, works on larger pictures."""
TILE_PX = 256


class MediapipeMatting:
    """One picture at a time, no state between them."""

    is_recurrent = False

    def __init__(self) -> None:
        self._network = SelfieSegmentation("general")

    def alpha(self, picture: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 RGB -> (H, W) uint8."""
        return self._alpha(picture, None)

    def alpha_around(self, picture: np.ndarray, face: np.ndarray) -> np.ndarray:
        """The same where a face is known, (4,) x0 y0 x1 y1 px; a small one is looked at closely."""
        whole = self._alpha(picture, face)
        region = close_region(face, (picture.shape[0], picture.shape[1]))
        if region is None:
            return whole
        left, top = region.corner
        close = self._alpha(picture[region.rows, region.columns], face - [left, top, left, top])
        weight = region.weight()
        there = whole[region.rows, region.columns]
        there[:] = (weight * close + (1 - weight) * there).round()
        return whole

    def _alpha(self, picture: np.ndarray, face: np.ndarray | None) -> np.ndarray:
        size = _work_size((picture.shape[0], picture.shape[1]))
        found = self._network.probability(shrink(picture, size))
        speck = speck_share((picture.shape[0], picture.shape[1]), face)
        alpha = draw_to_edges(picture.astype(np.float32) / 255, found, speck)
        return (alpha * 255).round().astype(np.uint8)


def draw_to_edges(picture: np.ndarray, mask: np.ndarray, smallest: float = SPECK_SHARE) -> np.ndarray:
    """A soft mask made sharp by the colours on its two sides.

    picture: (H, W, 3) float32 in [0, 1]; mask: (h, w) float32, probability of the person, of the picture's size or
    smaller. Returns (H, W) in [0, 1]. Where person and background have the same colours nearby, or only one of them is
    near, the mask decides. smallest: share of the picture below which holes and islands are errors.
    """
    size = _work_size((picture.shape[0], picture.shape[1]))
    sharp = _sharpened(shrink(picture, size), shrink(mask, size), smallest)
    radius = max(2, round(GUIDE_RADIUS_SHARE * math.hypot(*picture.shape[:2])))
    smooth = _filtered(picture, sharp, radius)
    return np.clip((smooth - LOW) / (HIGH - LOW), 0, 1)


def _sharpened(picture: np.ndarray, mask: np.ndarray, smallest: float) -> np.ndarray:
    mask = without_specks_of(mask, smallest)
    inside = (mask > 0.5).astype(np.uint8)
    reach = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (_window(mask), _window(mask)))
    at_border = cv2.morphologyEx(inside, cv2.MORPH_GRADIENT, reach) > 0
    # Away from the border a doubtful patch is jewellery, a pattern or a shadow, not a hole in the person.
    sharp = np.where(at_border, _posterior(mask, color_evidence(picture, mask)), inside)
    return without_specks_of(sharp, smallest)


def _filtered(picture: np.ndarray, sharp: np.ndarray, radius: int) -> np.ndarray:
    """sharp at the picture's size, drawn to its edges by a guided filter."""
    height, width = picture.shape[:2]
    if sharp.shape == (height, width):
        return guided(picture, sharp, radius)
    smooth = cv2.resize(sharp, (width, height), interpolation=cv2.INTER_LINEAR)
    coarse = smooth.copy()
    # Two means over the radius stand behind a pixel of the filter's.
    margin = 2 * radius + 1
    for top in range(0, height, TILE_PX):
        for left in range(0, width, TILE_PX):
            wide = (
                slice(max(0, top - margin), min(height, top + TILE_PX + margin)),
                slice(max(0, left - margin), min(width, left + TILE_PX + margin)),
            )
            near = coarse[wide]
            # Values that become 0 or 1 in the end need no edges.
            if near.max() < LOW / 2 or near.min() > (1 + HIGH) / 2:
                continue
            found = guided(picture[wide], near, radius)
            own = found[top - wide[0].start :, left - wide[1].start :][:TILE_PX, :TILE_PX]
            smooth[top : top + TILE_PX, left : left + TILE_PX] = own
    return smooth


def guided(picture: np.ndarray, values: np.ndarray, radius_px: int) -> np.ndarray:
    """(H, W) float32 values drawn to the edges of a picture, (H, W, 3) float32 in [0, 1], by a guided filter."""
    return guided_filter(picture * 255, values, radius_px, GUIDE_EPSILON)


def _work_size(size: tuple[int, int]) -> tuple[int, int]:
    factor = min(1.0, WORK_DIAGONAL_PX / math.hypot(*size))
    return max(1, round(size[0] * factor)), max(1, round(size[1] * factor))


def without_specks(inside: np.ndarray, smallest: float = SPECK_SHARE) -> np.ndarray:
    """(H, W) bool with small enclosed holes filled and small islands taken away. smallest: share of the picture."""
    cleaned = inside.copy()
    for value in (False, True):
        # Areas by counting labels: OpenCV's statistics take several times as long as the labels.
        _, found = cv2.connectedComponents((cleaned == value).astype(np.uint8), connectivity=4)
        labels = np.asarray(found, np.int32)
        small = np.bincount(labels.ravel()) < smallest * inside.size
        small[0] = False
        if small.any():
            cleaned[small[labels]] = not value
    return cleaned


def without_specks_of(mask: np.ndarray, smallest: float) -> np.ndarray:
    """The same for a soft mask, split at 0.5; specks take the value of what is around them."""
    inside = mask > 0.5
    cleaned = without_specks(inside, smallest)
    return np.where(cleaned == inside, mask, cleaned).astype(np.float32)


def _posterior(prior: np.ndarray, log_odds: np.ndarray) -> np.ndarray:
    """Probabilities (H, W) after evidence in log odds (H, W)."""
    likely = np.minimum(np.maximum(prior, 0.01), 0.99)
    return 1 / (1 + (1 - likely) / likely * np.exp(-log_odds))


def color_evidence(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(H, W) log odds that a pixel has the colour of the person nearby rather than of the background nearby."""
    height, width = mask.shape
    scale = min(1.0, STATISTICS_PX / math.hypot(height, width))
    small = (max(1, round(height * scale)), max(1, round(width * scale)))
    small_picture, small_mask = shrink(picture, small), shrink(mask, small)
    side, grow = (_window(small_mask), _window(small_mask)), (width, height)
    likelihoods: list[np.ndarray] = []
    shares: list[np.ndarray] = []
    for examples in (small_mask > CERTAIN, small_mask < 1 - CERTAIN):
        weight = examples.astype(np.float32)
        share = cv2.blur(weight, side)
        known = np.maximum(share, 1e-6)[..., None]
        mean = cv2.blur(small_picture * weight[..., None], side) / known
        square = cv2.blur(small_picture**2 * weight[..., None], side) / known
        variance = cv2.resize(np.maximum(square - mean**2, 0) + COLOR_NOISE, grow)
        distance = (picture - cv2.resize(mean, grow)) ** 2 / variance
        likelihoods.append(-0.5 * (distance + np.log(variance)).sum(-1))
        shares.append(cv2.resize(share, grow))
    both_near = np.minimum(shares[0], shares[1]) > 0.01
    evidence = np.where(both_near, likelihoods[0] - likelihoods[1], 0)
    return np.minimum(np.maximum(evidence, -MAX_EVIDENCE), MAX_EVIDENCE)


def _window(mask: np.ndarray) -> int:
    """Odd side of the neighbourhood in px."""
    return 2 * max(2, round(WINDOW_SHARE * math.hypot(*mask.shape) / 2)) + 1
