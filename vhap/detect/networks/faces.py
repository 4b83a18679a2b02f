"""Faces of pictures, each on its own: detector, region by the eyes, mesh; as MediaPipe's graph for single pictures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from vhap.detect.networks.face_detector import FaceDetector
from vhap.detect.networks.face_mesh import FaceMesh
from vhap.detect.networks.regions import Cut, crop, face_region

LEAST_SCORE = 0.5
"""Of the mesh, which looks more closely than the detector: below it there is no face."""


class Faces:
    """No state between pictures: threads may share it."""

    def __init__(self, device: str | torch.device = "cpu") -> None:
        self.detector = FaceDetector("short", device)
        self.mesh = FaceMesh(device)

    def find(self, pictures: Sequence[np.ndarray], most: int, cut: Cut = crop) -> list[list[np.ndarray]]:
        """(H, W, 3) uint8 RGB of any sizes -> up to `most` faces of each, (478, 3) px: see `FaceMesh.points`.

        All pictures, and all their faces, are one batch. cut: how the mesh's crops are made.
        """
        found = [detections[:most] for detections in self.detector.detect(pictures)]
        regions = [[face_region(face.box, *face.points[:2]) for face in faces] for faces in found]
        owners = [index for index, of_one in enumerate(regions) for _ in of_one]
        points, scores = self.mesh.points(
            [pictures[index] for index in owners], [region for of_one in regions for region in of_one], cut
        )
        faces: list[list[np.ndarray]] = [[] for _ in pictures]
        for index, of_face, score in zip(owners, points, scores):
            if score > LEAST_SCORE:
                faces[index].append(of_face)
        return faces
