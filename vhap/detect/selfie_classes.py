"""MediaPipe's multiclass selfie segmentation (Apache-2.0): six parts of people. Its file is not in the wheel."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from vhap.detect.networks.network import Network, load_network
from vhap.detect.networks.regions import crop_as_mediapipe, whole_picture
from vhap.detect.weights import SELFIE_MULTICLASS
from vhap.util.errors import InputError, shown
from vhap.util.files import read_bytes

PARTS = ("background", "hair", "body-skin", "face-skin", "clothes", "others")
"""In the order of the network's outputs; others are accessories."""
OTHERWISE = f"from {SELFIE_MULTICLASS.url}, or remove it: parsing works without it"


class SelfieClasses:
    """One picture at a time, no state between them."""

    def __init__(self, path: Path) -> None:
        """InputError for a file that is not this network."""
        content = read_bytes(path, f"the weights of {SELFIE_MULTICLASS.network}")
        try:
            self._network = load_network(content, path)
        except InputError as error:
            raise InputError(f"{error} {OTHERWISE}") from error
        self._height, self._width = _size(self._network, path)
        graph = self._network.graph
        # The published file ends before its softmax, which MediaPipe applies.
        self._has_softmax = any(operator.output == graph.outputs[0] for operator in graph.of_kind("SOFTMAX"))

    def shares(self, picture: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 RGB -> (H, W, 6) float32 probabilities of PARTS."""
        small = crop_as_mediapipe(picture, whole_picture(picture), (self._width, self._height), False)
        with torch.inference_mode():
            (found,) = self._network(torch.from_numpy(small[None]).float() / 255)
            shares = found[0] if self._has_softmax else found[0].softmax(-1)
        return cv2.resize(shares.numpy(), (picture.shape[1], picture.shape[0]), interpolation=cv2.INTER_LINEAR)


def _size(network: Network, path: Path) -> tuple[int, int]:
    """Height and width of the pictures that the network takes; InputError where it is another one."""
    graph = network.graph
    given, made = graph.shapes[graph.inputs[0]], [graph.shapes[number] for number in graph.outputs]
    if len(given) != 4 or given[3] != 3 or len(made) != 1 or len(made[0]) != 4 or made[0][3] != len(PARTS):
        raise InputError(
            f"expected {SELFIE_MULTICLASS.network} in {path}, (1, H, W, 3) to (1, H, W, {len(PARTS)}), found a network "
            f"of {shown(given)} to {shown(made)}; get {SELFIE_MULTICLASS.files[0]} {OTHERWISE}"
        )
    return given[1], given[2]
