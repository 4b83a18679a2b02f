"""STAR (Zhou et al., CVPR 2023): the 68 iBUG points; a package and checkpoint that users install themselves."""

from __future__ import annotations

from typing import Any

import numpy as np

from vhap.detect.face_alignment import FaceAlignmentLandmarks
from vhap.detect.weights import STAR_CHECKPOINT, find_weights
from vhap.util.errors import InputError
from vhap.util.optional import import_or_explain

REMEDY = (
    "put the folder of https://github.com/ZhenglinZhou/STAR on PYTHONPATH under the name `star`, with a "
    "function "
    "`make_predictor(checkpoint, device)`, or choose another landmark_source"
)


class StarLandmarks:
    """Points of a user's `star` package on the faces that face-alignment's detector finds.

    The package has `make_predictor(checkpoint: str, device: str)`, which returns a function from an RGB
    picture (H, W, 3) uint8 and a box (x0, y0, x1, y1) in px to (68, 3) x, y px (pixel centres at integers)
    and score.
    """

    def __init__(self, device: str = "auto", finder: FaceAlignmentLandmarks | None = None) -> None:
        import torch

        package: Any = import_or_explain("star", REMEDY)
        if not hasattr(package, "make_predictor"):
            raise InputError(f"expected star.make_predictor in {package.__file__}, found none; {REMEDY}")
        checkpoint = find_weights(STAR_CHECKPOINT)
        chosen = "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
        self._predict = package.make_predictor(str(checkpoint), chosen)
        self._finder = finder or FaceAlignmentLandmarks(device)

    def faces(self, picture: np.ndarray) -> list[np.ndarray]:
        """(H, W, 3) uint8 RGB -> (68, 3) x, y px and score in [0, 1] for each face."""
        return [self._on_face(picture, points) for points in self._finder.faces(picture)]

    def face_near(self, picture: np.ndarray, points: np.ndarray) -> np.ndarray | None:
        """The network where the finder sees the face again; None where it does not."""
        found = self._finder.face_near(picture, points)
        return None if found is None else self._on_face(picture, found)

    def confidence(self, points: np.ndarray) -> np.ndarray:
        """(68, 3) -> (68,) scores."""
        return np.clip(points[:, 2], 0, 1)

    def _on_face(self, picture: np.ndarray, points: np.ndarray) -> np.ndarray:
        box = (*points[:, :2].min(0), *points[:, :2].max(0))
        found = np.asarray(self._predict(picture, box), float)
        return found + np.array([0.5, 0.5, 0.0])
