"""Maps of a video's pictures brought together along the motion between them (optical flow, both directions)."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

OFFSETS = (-4, -2, -1, 1, 2, 4)
"""Neighbours that have a say: blotches that come and go are outvoted, edges stay with the picture's own."""
SAME_COLOR = 0.08
"""Difference of colours, in [0, 1], after motion is taken out, at which a neighbour's say has fallen to 60 %."""
OF_COLOURS = np.array([[1, 1, 1, 0]]) / (-2 * SAME_COLOR**2)
SURE = 0.98
"""Probabilities are cut here and at 1 minus this, so that no single picture decides."""


class View(NamedTuple):
    """What a picture says, at the size at which motion is sought. layers: (H, W, 4) float32, its colours in [0, 1] and
    the log odds of the person; grey: (H, W) uint8."""

    layers: np.ndarray
    grey: np.ndarray


def view_of(probability: np.ndarray, picture: np.ndarray) -> View:
    """probability: (H, W) float32 of the person; picture: (H, W, 3) uint8 RGB."""
    layers = np.dstack([picture.astype(np.float32) / 255, log_odds(probability)])
    return View(layers.astype(np.float32), cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY))


def fused(view: View, others: Sequence[tuple[View, np.ndarray]]) -> np.ndarray:
    """(H, W) float32 probability: the mean of the log odds of a picture and its neighbours.

    others: of each neighbour its view, and the flow (H, W, 2) px that leads from here to there.
    """
    odds, weights = view.layers[..., 3].copy(), np.ones(view.grey.shape, np.float32)
    for there, flow in others:
        layers = warped(there.layers, flow)
        difference = layers - view.layers
        apart = cv2.blur(cv2.transform(difference * difference, OF_COLOURS), (5, 5))
        trust = cv2.exp(apart)
        odds += trust * layers[..., 3]
        weights += trust
    return 1 / (1 + cv2.exp(-odds / weights))


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
    """(H, W, 2) float32 px from a picture to another, both (H, W) uint8, by DIS."""
    empty: np.ndarray = np.zeros((*first.shape, 2), np.float32)
    # DIS needs a few pixels of picture at its coarsest level.
    return empty if min(first.shape) < 16 else _flow().calc(first, second, empty)


_of_thread = threading.local()


def _flow() -> cv2.DISOpticalFlow:
    """One for each thread: it keeps its buffers."""
    if not hasattr(_of_thread, "flow"):
        _of_thread.flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    return _of_thread.flow


def fused_at(index: int, count: int, recall: Callable[[int], View]) -> np.ndarray:
    """The fused probability (H, W) of one of `count` pictures. recall: index of a picture -> its view."""
    view = recall(index)
    others = [recall(index + offset) for offset in OFFSETS if 0 <= index + offset < count]
    return fused(view, [(there, flow_between(view.grey, there.grey)) for there in others])
