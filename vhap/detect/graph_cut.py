"""The outline that evidence and edges agree on, as the minimal cut of a graph (Boykov and Jolly 2001)."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

CUT_COST, LEAST_COST = 16.0, 0.8
"""Cost of parting two equal neighbours, and two unlike ones, in log odds."""
EDGE = 0.04
"""Difference of colours, in [0, 1], at which the cost has fallen to 60 %."""
UNITS = 1000
"""Capacities are whole numbers of 1 / UNITS."""


def cut_out(log_odds: np.ndarray, picture: np.ndarray, plate: np.ndarray) -> np.ndarray:
    """(H, W) bool: the person. log_odds (H, W): evidence of each pixel; picture, plate (H, W, 3) in [0, 1].

    The outline should follow edges of the picture that the plate does not have.
    """
    count = log_odds.size
    source, sink = count, count + 1
    pixels = np.arange(count).reshape(log_odds.shape)
    rows, columns, capacities = [], [], []
    for axis in (0, 1):
        step, plate_step = np.diff(picture, axis=axis), np.diff(plate, axis=axis)
        new_edge = np.minimum((step**2).sum(-1), ((step - plate_step) ** 2).sum(-1))
        cost = (CUT_COST * np.exp(-new_edge / (2 * EDGE**2)) + LEAST_COST).ravel()
        first, second = (np.delete(pixels, end, axis).ravel() for end in (-1, 0))
        rows += [first, second]
        columns += [second, first]
        capacities += [cost, cost]
    evidence = log_odds.ravel()
    rows += [np.full(count, source), pixels.ravel()]
    columns += [pixels.ravel(), np.full(count, sink)]
    capacities += [np.maximum(evidence, 0), np.maximum(-evidence, 0)]
    whole = (UNITS * np.concatenate(capacities)).astype(np.int32)
    graph = csr_matrix((whole, (np.concatenate(rows), np.concatenate(columns))), (count + 2, count + 2))
    left = graph - maximum_flow(graph, source, sink).flow
    left.data = np.maximum(left.data, 0)
    left.eliminate_zeros()
    is_person = np.zeros(count + 2, bool)
    is_person[breadth_first_order(left, source, return_predecessors=False)] = True
    return is_person[:count].reshape(log_odds.shape)
