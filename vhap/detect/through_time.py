"""Maps of a video's pictures brought together along the motion between them (optical flow, both directions)."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import cv2
import numpy as np

OFFSETS = (-4, -2, -1, 1, 2, 4)
"""Neighbours that have a say: blotches that come and go are outvoted, edges stay with the picture's own."""
SAME_COLOR = 0.08
"""Difference of colours, in [0, 1], after motion is taken out, at which a neighbour's say has fallen to 60 %."""
SURE = 0.98
"""Probabilities are cut here and at 1 minus this, so that no single picture decides."""


def fused(
    probability: np.ndarray, picture: np.ndarray, others: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]
) -> np.ndarray:
    """(H, W) float32 probability: the mean of the log odds of a picture and its neighbours.

    probability: (H, W); picture: (H, W, 3) float32 in [0, 1]; others: of each neighbour probability, picture, and the
    flow (H, W, 2) px that leads from here to there.
    """
    odds, weights = log_odds(probability), np.ones(probability.shape, np.float32)
    for there, pictured, flow in others:
        difference = (warped(pictured, flow) - picture) ** 2
        trust = np.exp(-cv2.blur(difference.sum(-1), (5, 5)) / (2 * SAME_COLOR**2))
        odds += trust * warped(log_odds(there), flow)
        weights += trust
    return 1 / (1 + np.exp(-odds / weights))


def log_odds(probability: np.ndarray) -> np.ndarray:
    likely = np.clip(probability, 1 - SURE, SURE)
    return np.log(likely / (1 - likely))


def warped(values: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Values at the places where a flow (H, W, 2) px leads."""
    height, width = flow.shape[:2]
    columns = np.arange(width, dtype=np.float32) + flow[..., 0]
    rows = np.arange(height, dtype=np.float32)[:, None] + flow[..., 1]
    return cv2.remap(values, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def flow_between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(H, W, 2) float32 px from a picture to another, both (H, W, 3) float32 in [0, 1], by DIS."""
    grey = [cv2.cvtColor((255 * picture).astype(np.uint8), cv2.COLOR_RGB2GRAY) for picture in (first, second)]
    empty: np.ndarray = np.zeros((*grey[0].shape, 2), np.float32)
    # DIS needs a few pixels of picture at its coarsest level.
    return empty if min(grey[0].shape) < 16 else _flow().calc(grey[0], grey[1], empty)


@functools.cache
def _flow() -> cv2.DISOpticalFlow:
    return cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)


Recall = Callable[[int], tuple[np.ndarray, np.ndarray]]
"""Index of a picture -> its probability (H, W) and the picture (H, W, 3) at the same size."""


def fused_at(index: int, count: int, recall: Recall) -> np.ndarray:
    """The fused probability (H, W) of one of `count` pictures."""
    probability, picture = recall(index)
    others = []
    for neighbour in (index + offset for offset in OFFSETS):
        if 0 <= neighbour < count:
            there, pictured = recall(neighbour)
            others.append((there, pictured, flow_between(picture, pictured)))
    return fused(probability, picture, others)
