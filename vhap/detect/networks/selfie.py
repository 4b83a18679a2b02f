"""MediaPipe's selfie segmentation: where a person is, from the whole picture at a small size."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from vhap.detect.networks.files import open_network
from vhap.detect.networks.regions import crop_as_mediapipe, whole_picture

Kind = Literal["general", "landscape"]
FILES: dict[Kind, str] = {
    "general": "selfie_segmentation.tflite",
    "landscape": "selfie_segmentation_landscape.tflite",
}


class SelfieSegmentation:
    """kind: general, of 256 x 256 pixels, or landscape, of 256 x 144, which is quicker and sees less."""

    def __init__(self, kind: Kind = "general", device: str | torch.device = "cpu") -> None:
        self.network = open_network(FILES[kind], device)
        self.device = device
        graph = self.network.graph
        self.height, self.width = graph.shapes[graph.inputs[0]][1:3]

    def probability(self, picture: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 RGB -> (H, W) float32 in [0, 1] of the person, without detail."""
        import cv2

        small = crop_as_mediapipe(picture, whole_picture(picture), (self.width, self.height), False)
        with torch.inference_mode():
            (found,) = self.network(torch.from_numpy(small[None]).to(self.device).float() / 255)
        mask = found[0, :, :, 0].cpu().numpy()
        return cv2.resize(mask, (picture.shape[1], picture.shape[0]), interpolation=cv2.INTER_LINEAR)
