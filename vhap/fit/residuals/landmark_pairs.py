"""Pairs of landmarks of lids and lips: a detector knows their distance better than their positions, since both err in
the same way (as the eye closure loss of Feng et al. 2021 uses it)."""

from __future__ import annotations

from itertools import chain

import torch
from torch import Tensor

UPPER_LIDS = ((37, 38), (43, 44))
LOWER_LIDS = ((41, 40), (47, 46))
"""iBUG's points of each eye's lids, the one on the image's left (the subject's right) first, in matching pairs."""
INNER_UPPER_LIP, INNER_LOWER_LIP = (61, 62, 63), (67, 66, 65)
"""iBUG's points of the lips' inner edge, in matching pairs."""


IBUG_PAIRS = tuple(zip(chain(*UPPER_LIDS, INNER_UPPER_LIP), chain(*LOWER_LIDS, INNER_LOWER_LIP)))
MEDIAPIPE_PAIRS = (
    (159, 145), (158, 153), (157, 154), (160, 144), (161, 163),
    (386, 374), (385, 380), (384, 381), (387, 373), (388, 390),
    (13, 14), (82, 87), (81, 178), (80, 88), (312, 317), (311, 402), (310, 318),
)  # fmt: skip
"""Of the face mesh: both eyes' lids, upper first; the lips' inner edge."""


def landmark_pairs(landmark_set: str, detector_ids: Tensor) -> Tensor:
    """(P, 2) rows, of the landmarks with these ids (L,), of both points of each pair."""
    row_of = {point: row for row, point in enumerate(detector_ids.tolist())}
    pairs = IBUG_PAIRS if landmark_set == "ibug" else MEDIAPIPE_PAIRS
    rows = [(row_of[first], row_of[second]) for first, second in pairs if first in row_of and second in row_of]
    return torch.tensor(rows, dtype=torch.long, device=detector_ids.device).reshape(-1, 2)
