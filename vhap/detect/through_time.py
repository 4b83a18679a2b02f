"""Maps of a video's pictures brought together along the motion between them (optical flow, both directions)."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import warp as wp

from vhap.detect.kernels.arrays import array, in_whole_lines
from vhap.detect.kernels.fuse import TILE, add_neighbour, make_layers

OFFSETS = (-4, -2, -1, 1, 2, 4)
"""Neighbours that count: blotches that come and go are outvoted, edges stay with the picture's own."""
SAME_COLOR = 0.08
"""Difference of colours, in [0, 1], after motion is taken out, at which a neighbour's weight has fallen to 60 %."""
LEAST_FLOW_DIAGONAL_PX = 256
"""Motion is sought at half the size, unless that is smaller than this."""
SURE = 0.98
"""Probabilities are cut here and at 1 minus this, so that no single picture decides."""


class View(NamedTuple):
    """What a picture says. layers: (H, W, 4) float32, its colours in [0, 1] and the log odds of the person; same:
    float32, the log odds that all pixels of a tile have, 0 for none; grey: (h, w) uint8, half as large or a little
    more, in which motion is sought."""

    layers: np.ndarray
    same: np.ndarray
    grey: np.ndarray


def view_of(probability: np.ndarray, picture: np.ndarray) -> View:
    """probability: (H, W) float32 of the person; picture: (H, W, 3) uint8 RGB."""
    height, width = probability.shape
    layers, same = in_whole_lines(height, width, 4), np.empty(_tiles(height) * _tiles(width), np.float32)
    given = [array(picture, np.uint8), array(probability), height, width, SURE, array(layers), array(same)]
    wp.launch(make_layers, len(same), given, device="cpu")
    factor = float(np.clip(LEAST_FLOW_DIAGONAL_PX / math.hypot(*picture.shape[:2]), 0.5, 1))
    rows, columns = (max(1, round(factor * side)) for side in picture.shape[:2])
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return View(layers, same, cv2.resize(grey, (columns, rows), interpolation=cv2.INTER_AREA))


def fused(view: View, others: Sequence[tuple[View, np.ndarray]]) -> np.ndarray:
    """(H, W) float32 probability: the mean of the log odds of a picture and its neighbours.

    others: of each neighbour its view, and the flow (h, w, 2) that leads from here to there, of any size, in px of that
    size.
    """
    height, width = view.layers.shape[:2]
    rows = height, TILE * _tiles(width)
    odds, weights = np.zeros(rows, np.float32), np.ones(rows, np.float32)
    odds[:, :width] = view.layers[..., 3]
    sums = [array(odds), array(weights)]
    for there, flow in others:
        views = [array(view.layers), array(there.layers), array(view.same), array(there.same)]
        given = [*views, array(flow), height, width, flow.shape[0], flow.shape[1], -0.5 / SAME_COLOR**2, *sums]
        wp.launch(add_neighbour, len(view.same), given, device="cpu")
    return 1 / (1 + cv2.exp(-odds[:, :width] / weights[:, :width]))


def _tiles(length: int) -> int:
    return -(-length // TILE)


def flow_between(first: View, second: View) -> np.ndarray:
    """(h, w, 2) float32 px of the grey pictures, from a picture to another, by DIS."""
    empty: np.ndarray = np.zeros((*first.grey.shape, 2), np.float32)
    # DIS needs a few pixels of picture at its coarsest level.
    return empty if min(first.grey.shape) < 16 else _flow().calc(first.grey, second.grey, empty)


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
