"""MediaPipe's two face detectors: boxes and six points of each face in a picture.

Every cell of a coarse grid guesses a box beside it and how sure it is; guesses of one face are averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from vhap.detect.networks.files import open_network
from vhap.detect.networks.regions import Region, crop_as_mediapipe, whole_picture

Reach = Literal["short", "full"]
GRIDS: dict[Reach, tuple[tuple[int, int], ...]] = {"short": ((16, 2), (8, 6)), "full": ((48, 1),)}
"""Cells along a side, and guesses a cell, of the parts of each network's output."""
FILES: dict[Reach, str] = {
    "short": "face_detection_short_range.tflite",
    "full": "face_detection_full_range_sparse.tflite",
}
LEAST_SCORE: dict[Reach, float] = {"short": 0.5, "full": 0.6}
"""Guesses that are less sure do not count, as in MediaPipe's graphs."""
SAME_FACE = 0.3
"""Intersection over union beyond which two guesses are of one face."""
MOST_SURE = 100.0
"""Logits are cut there."""


@dataclass(frozen=True)
class Detection:
    """box: (4,) x0 y0 x1 y1 px. points: (6, 2) px: the eyes, left one of the picture first, nose, mouth, ears."""

    box: np.ndarray
    points: np.ndarray
    score: float


class FaceDetector:
    """reach: short for faces larger than about a tenth of the picture, full for smaller ones too."""

    def __init__(self, reach: Reach = "short", device: str | torch.device = "cpu") -> None:
        self.network = open_network(FILES[reach], device)
        self.device = device
        self.side = self.network.graph.shapes[self.network.graph.inputs[0]][1]
        self.anchors = anchors(GRIDS[reach])
        self.least_score = LEAST_SCORE[reach]

    def detect(self, pictures: Sequence[np.ndarray]) -> list[list[Detection]]:
        """(H, W, 3) uint8 RGB of any sizes, in one batch -> the faces of each, the surest first."""
        if not pictures:
            return []
        regions = [whole_picture(picture, is_square=True) for picture in pictures]
        crops = [
            crop_as_mediapipe(picture, region, (self.side, self.side), False)
            for picture, region in zip(pictures, regions)
        ]
        with torch.inference_mode():
            batch = torch.from_numpy(np.stack(crops)).to(self.device)
            raw, logits = self.network(batch.float() / 127.5 - 1)
        raw, logits = raw.double().cpu().numpy(), logits[..., 0].double().cpu().numpy()
        scores = 1 / (1 + np.exp(-logits.clip(-MOST_SURE, MOST_SURE)))
        guesses = [_decoded(raw[index], self.anchors, self.side) for index in range(len(raw))]
        return [self._faces(*of_one) for of_one in zip(guesses, scores, regions, strict=True)]

    def _faces(self, guesses: np.ndarray, scores: np.ndarray, region: Region) -> list[Detection]:
        is_box = (guesses[:, 1] >= guesses[:, 0]).all(1)
        kept = np.flatnonzero((scores >= self.least_score) & is_box)
        found, of_faces = weighted_suppression(guesses[kept], scores[kept])
        places = region.to_picture(found)
        return [Detection(place[:2].ravel(), place[2:], float(score)) for place, score in zip(places, of_faces)]


def anchors(grids: Sequence[tuple[int, int]]) -> np.ndarray:
    """(N, 2) x, y of the cells' centres in shares of the crop, row by row, each as often as it guesses."""
    parts = []
    for cells, count in grids:
        centres = (np.arange(cells) + 0.5) / cells
        y, x = np.meshgrid(centres, centres, indexing="ij")
        parts.append(np.repeat(np.stack([x.ravel(), y.ravel()], -1), count, axis=0))
    return np.concatenate(parts)


def _decoded(raw: np.ndarray, anchors: np.ndarray, side: int) -> np.ndarray:
    """(N, 16) x, y, width, height and six points in px of the crop, seen from the cell -> (N, 8, 2) in shares of it:
    two corners and the points."""
    values = raw.reshape(len(raw), 8, 2) / side
    centre, size = values[:, 0] + anchors, values[:, 1]
    corners = np.stack([centre - size / 2, centre + size / 2], 1)
    return np.concatenate([corners, values[:, 2:] + anchors[:, None]], 1)


def weighted_suppression(guesses: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, P, 2) with two corners first, and (N,) -> (M, P, 2), (M,): the surest guess and what overlaps it become their
    mean, weighted by score, with the surest one's score; then the next that is left."""
    order = np.argsort(-scores, kind="stable")
    found, of_found = [guesses[:0]], [scores[:0]]
    while len(order):
        same = _overlap(guesses[order, :2], guesses[order[0], :2]) > SAME_FACE
        # A box without an area overlaps nothing, not even itself.
        same[0] = True
        members = order[same]
        found.append(np.average(guesses[members], axis=0, weights=scores[members])[None])
        of_found.append(scores[order[:1]])
        order = order[~same]
    return np.concatenate(found), np.concatenate(of_found)


def _overlap(boxes: np.ndarray, box: np.ndarray) -> np.ndarray:
    """(N, 2, 2) and (2, 2) corners -> (N,) intersection over union."""
    low, high = np.maximum(boxes[:, 0], box[0]), np.minimum(boxes[:, 1], box[1])
    common = (high - low).clip(min=0).prod(1)
    union = (boxes[:, 1] - boxes[:, 0]).prod(1) + (box[1] - box[0]).prod() - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)
