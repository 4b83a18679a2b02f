"""RobustVideoMatting (Lin et al., WACV 2022): recurrent, a picture's alpha depends on those before it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vhap.detect.torchscript import load_network, to_alpha, to_tensor
from vhap.detect.weights import ANOTHER_MATTING, ROBUST_VIDEO_MATTING, find_weights

COARSE_SIDE_PX = 512


class RobustVideoMatting:
    """`fgr, pha, *rec = model(src, *rec, downsample_ratio)`; the first picture is shown twice, to warm the state."""

    is_recurrent = True

    def __init__(
        self,
        weights: Path | None = None,
        device: str = "auto",
        allow_unknown: bool = False,
        otherwise: str = ANOTHER_MATTING,
    ) -> None:
        path = find_weights(ROBUST_VIDEO_MATTING, weights, otherwise=otherwise)
        self._model, self._device = load_network(ROBUST_VIDEO_MATTING, path, device, allow_unknown)
        self._state: list | None = None

    def alpha(self, picture: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 RGB, the next of the video -> (H, W) uint8."""
        import torch

        source = to_tensor(picture, self._device)
        ratio = min(COARSE_SIDE_PX / max(picture.shape[:2]), 1.0)
        with torch.inference_mode():
            if self._state is None:
                _, _, *self._state = self._model(source, None, None, None, None, ratio)
            _, alpha, *self._state = self._model(source, *self._state, ratio)
        return to_alpha(alpha)
