"""BackgroundMattingV2 (Lin et al., CVPR 2021): needs a picture of the scene without the person."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vhap.detect.clean_plate import CleanPlate
from vhap.detect.torchscript import load_network, to_alpha, to_tensor
from vhap.detect.weights import ANOTHER_MATTING, BACKGROUND_MATTING, find_weights

BACKBONE_SCALE, REFINE_MODE, REFINE_PIXELS = 0.25, "sampling", 80_000


class BackgroundMatting:
    """`pha, fgr, ... = model(src, bgr)` with both pictures (1, 3, H, W) in [0, 1]."""

    is_recurrent = False

    def __init__(
        self,
        background_folder: Path,
        weights: Path | None = None,
        device: str = "auto",
        allow_unknown: bool = False,
        otherwise: str = ANOTHER_MATTING,
    ) -> None:
        path = find_weights(BACKGROUND_MATTING, weights, otherwise=otherwise)
        self._plate = CleanPlate(background_folder)
        self._model, self._device = load_network(BACKGROUND_MATTING, path, device, allow_unknown)
        settings = {
            "backbone_scale": BACKBONE_SCALE,
            "refine_mode": REFINE_MODE,
            "refine_sample_pixels": REFINE_PIXELS,
        }
        for name, value in settings.items():
            if hasattr(self._model, name):
                setattr(self._model, name, value)

    def alpha(self, picture: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 RGB -> (H, W) uint8. Raises InputError where the background has another shape."""
        import torch

        background = self._plate.at((picture.shape[0], picture.shape[1]))
        with torch.inference_mode():
            alpha, *_ = self._model(to_tensor(picture, self._device), to_tensor(background, self._device))
        return to_alpha(alpha)
