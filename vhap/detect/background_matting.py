"""BackgroundMattingV2 (Lin et al., CVPR 2021): needs a picture of the scene without the person."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vhap.data.pictures import list_pictures, read_rgb, shrink, some_names
from vhap.detect.torchscript import load_network, to_alpha, to_tensor
from vhap.detect.weights import BACKGROUND_MATTING, find_weights
from vhap.util.errors import InputError

BACKBONE_SCALE, REFINE_MODE, REFINE_PIXELS = 0.25, "sampling", 80_000


class BackgroundMatting:
    """`pha, fgr, ... = model(src, bgr)` with both pictures (1, 3, H, W) in [0, 1]."""

    is_recurrent = False

    def __init__(self, background_folder: Path, weights: Path | None = None, device: str = "auto") -> None:
        path = find_weights(BACKGROUND_MATTING, weights)
        self._background_path = find_background(background_folder)
        self._model, self._device = load_network(path, device)
        settings = {
            "backbone_scale": BACKBONE_SCALE,
            "refine_mode": REFINE_MODE,
            "refine_sample_pixels": REFINE_PIXELS,
        }
        for name, value in settings.items():
            if hasattr(self._model, name):
                setattr(self._model, name, value)
        self._background = read_rgb(self._background_path)

    def alpha(self, picture: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 RGB -> (H, W) uint8. Raises InputError where the background has another shape."""
        import torch

        height, width = picture.shape[:2]
        if abs(self._background.shape[0] * width - self._background.shape[1] * height) > 2 * max(height, width):
            raise InputError(
                f"expected a background of the pictures' shape ({width}x{height}) at "
                f"{self._background_path}, found "
                f"{self._background.shape[1]}x{self._background.shape[0]}; take it with the same camera"
            )
        background = shrink(self._background, (height, width))
        with torch.inference_mode():
            alpha, *_ = self._model(to_tensor(picture, self._device), to_tensor(background, self._device))
        return to_alpha(alpha)


def find_background(folder: Path) -> Path:
    """The one picture in a folder, or the file itself. Raises InputError where there is none, or several."""
    if folder.is_file():
        return folder
    pictures = list_pictures(folder)
    if len(pictures) != 1:
        found = f"{len(pictures)} ({some_names(list(pictures))})" if pictures else "none"
        raise InputError(
            f"expected one picture of the empty scene in {folder}, found {found}; put it there, name the "
            "folder or file "
            "with --background_folder, or choose another --matting_method"
        )
    return next(iter(pictures.values()))
