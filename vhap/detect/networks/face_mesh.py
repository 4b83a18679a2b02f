"""MediaPipe's face mesh: 478 points of a face in a crop, of which lips and eyes are looked at twice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from vhap.detect.networks.files import open_network
from vhap.detect.networks.regions import Cut, Region, crop

FILE = "face_landmark_with_attention.tflite"
MESH_COUNT, POINT_COUNT = 468, 478
IRIS_COUNT = 5
LID_COUNT = 16
"""Points of the lids, the first of an eye's; an iris lies as deep as they do in the mean."""
BATCH = 16
"""Crops at a time: more is no faster, and takes memory."""


class FaceMesh:
    """Points of faces whose regions are known."""

    def __init__(self, device: str | torch.device = "cpu") -> None:
        self.network = open_network(FILE, device)
        self.device = device
        graph = self.network.graph
        self.side = graph.shapes[graph.inputs[0]][1]
        looked_at = [each.options["subset_idxs"] for each in graph.of_kind("Landmarks2TransformMatrix v2")]
        self.lips, self.left_eye, self.right_eye = (np.array(indices) for indices in looked_at)

    def points(
        self, pictures: Sequence[np.ndarray], regions: Sequence[Region], cut: Cut = crop
    ) -> tuple[list[np.ndarray], list[float]]:
        """(H, W, 3) uint8 RGB and a square region of each -> (478, 3) px of the picture each, and scores in [0, 1].

        z: like x, smaller towards the camera, from the mean of the face. score: how sure it is that a face is there.
        """
        size = (self.side, self.side)
        crops = [cut(picture, region, size, True) for picture, region in zip(pictures, regions, strict=True)]
        found: list[np.ndarray] = []
        scores: list[float] = []
        for start in range(0, len(crops), BATCH):
            points, of_points = self._in_crops(np.stack(crops[start : start + BATCH]))
            found += list(points)
            scores += of_points.tolist()
        return [_in_picture(points, region) for points, region in zip(found, regions)], scores

    def _in_crops(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(B, side, side, 3) uint8 -> (B, 478, 3) in shares of the crop's side, and (B,) scores."""
        with torch.inference_mode():
            outputs = self.network(torch.from_numpy(crops).to(self.device).float() / 255)
        *parts, logits = (values.double().cpu().numpy().reshape(len(crops), -1) for values in outputs)
        mesh, lips, left_eye, right_eye, left_iris, right_iris = parts
        points = np.zeros((len(crops), POINT_COUNT, 3))
        points[:, :MESH_COUNT] = mesh.reshape(len(crops), MESH_COUNT, 3)
        for indices, seen in ((self.lips, lips), (self.left_eye, left_eye), (self.right_eye, right_eye)):
            points[:, indices, :2] = seen.reshape(len(crops), -1, 2)
        for first, seen, eye in ((0, left_iris, self.left_eye), (IRIS_COUNT, right_iris, self.right_eye)):
            iris = slice(MESH_COUNT + first, MESH_COUNT + first + IRIS_COUNT)
            points[:, iris, :2] = seen.reshape(len(crops), -1, 2)
            points[:, iris, 2] = points[:, eye[:LID_COUNT], 2].mean(1)[:, None]
        return points / self.side, 1 / (1 + np.exp(-logits[:, 0]))


def _in_picture(points: np.ndarray, region: Region) -> np.ndarray:
    return np.column_stack([region.to_picture(points[:, :2]), points[:, 2] * region.width])
