"""Maps of a video's pictures brought together along the motion between them (optical flow, both directions)."""

from __future__ import annotations

import functools
import math
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
LEAST_FLOW_DIAGONAL_PX = 256
"""Motion is sought at half the size, unless that is smaller than this."""
SURE = 0.98
"""Probabilities are cut here and at 1 minus this, so that no single picture decides."""


class View(NamedTuple):
    """What a picture says. layers: (H, W, 4) float32, its colours in [0, 1] and the log odds of the person; grey:
    (h, w) uint8, half as large or a little more, in which motion is sought."""

    layers: np.ndarray
    grey: np.ndarray


def view_of(probability: np.ndarray, picture: np.ndarray) -> View:
    """probability: (H, W) float32 of the person; picture: (H, W, 3) uint8 RGB."""
    layers = np.dstack([picture.astype(np.float32) / 255, log_odds(probability)])
    factor = float(np.clip(LEAST_FLOW_DIAGONAL_PX / math.hypot(*picture.shape[:2]), 0.5, 1))
    height, width = (max(1, round(factor * side)) for side in picture.shape[:2])
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return View(layers.astype(np.float32), cv2.resize(grey, (width, height), interpolation=cv2.INTER_AREA))


def fused(view: View, others: Sequence[tuple[View, np.ndarray]]) -> np.ndarray:
    """(H, W) float32 probability: the mean of the log odds of a picture and its neighbours.

    others: of each neighbour its view, and the flow (H, W, 2) px that leads from here to there.
    """
    odds, weights = cv2.extractChannel(view.layers, 3), np.ones(view.layers.shape[:2], np.float32)
    for there, flow in others:
        layers = warped(there.layers, flow)
        odds_there = cv2.extractChannel(layers, 3)
        layers -= view.layers
        layers *= layers
        trust = cv2.exp(cv2.blur(cv2.transform(layers, OF_COLOURS), (5, 5)))
        odds += trust * odds_there
        weights += trust
    return 1 / (1 + cv2.exp(-odds / weights))


def log_odds(probability: np.ndarray) -> np.ndarray:
    likely = np.clip(probability, 1 - SURE, SURE)
    return np.log(likely / (1 - likely))


def warped(values: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Values at the places where a flow (H, W, 2) px leads."""
    places = flow + _pixels(flow.shape[0], flow.shape[1])
    return cv2.remap(values, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # pyright: ignore


@functools.lru_cache(2)
def _pixels(height: int, width: int) -> np.ndarray:
    """(H, W, 2) float32 column and row of each pixel."""
    return np.dstack(np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)))


def flow_between(first: View, second: View) -> np.ndarray:
    """(H, W, 2) float32 px of the layers, from a picture to another, by DIS."""
    height, width = first.layers.shape[:2]
    empty: np.ndarray = np.zeros((*first.grey.shape, 2), np.float32)
    # DIS needs a few pixels of picture at its coarsest level.
    flow = empty if min(first.grey.shape) < 16 else _flow().calc(first.grey, second.grey, empty)
    flow *= np.array([width / flow.shape[1], height / flow.shape[0]], np.float32)
    return cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR)


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
    return fused(view, [(there, flow_between(view, there)) for there in others])
