"""How alike two pictures are: PSNR, SSIM, and GMSD as a perceptual measure that needs no trained weights.

Pictures are (H, W, 3) in [0, 1], mask (H, W) says which pixels count. Structure is compared around each pixel, so that
a mask chooses where it is averaged, not what is looked at.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import convolve, gaussian_filter, uniform_filter

SIGMA_PX, TRUNCATE = 1.5, 3.5
BORDER_PX = 5
"""Of the Gaussian window, which has 11 x 11 pixels: nearer to the picture's border it is not whole."""
C1, C2 = 0.01**2, 0.03**2
GMSD_C = 170 / 255**2
PREWITT = np.array([[1, 0, -1], [1, 0, -1], [1, 0, -1]]) / 3
LUMA = np.array([0.299, 0.587, 0.114])
"""ITU-R BT.601, as GMSD's authors take it."""


def psnr_db(picture: np.ndarray, truth: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Peak signal to noise ratio; infinite where the pictures are equal, NaN where no pixel counts."""
    _require_pair(picture, truth, mask)
    squares = (picture.astype(np.float64) - truth) ** 2
    error = _mean(squares.mean(-1), mask)
    with np.errstate(divide="ignore"):
        return float(-10 * np.log10(error))


def ssim(picture: np.ndarray, truth: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Mean structural similarity, 1 where equal; by a Gaussian window of 1.5 px, each channel by itself.

    Wang et al. 2004, with their constants and without the sample covariance. Pixels whose window leaves the picture do
    not count. NaN where none does.
    """
    _require_pair(picture, truth, mask)
    channels = [_ssim_map(picture[..., k].astype(np.float64), truth[..., k].astype(np.float64)) for k in range(3)]
    inside = (slice(BORDER_PX, -BORDER_PX),) * 2
    return _mean(np.mean(channels, 0)[inside], None if mask is None else mask[inside])


def gmsd(picture: np.ndarray, truth: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Gradient magnitude similarity deviation, 0 where equal, larger is worse (some 0.05 to 0.35 on visible damage).

    Xue et al. 2014: of the grey pictures at half size. NaN where no pixel counts.
    """
    _require_pair(picture, truth, mask)
    first, second = (_gradient_magnitude(_half(_grey(image))) for image in (picture, truth))
    similarity = (2 * first * second + GMSD_C) / (first**2 + second**2 + GMSD_C)
    if mask is not None:
        rows, columns = similarity.shape
        similarity = similarity[mask[::2, ::2][:rows, :columns] > 0]
    return float(similarity.std()) if similarity.size else float("nan")


def _ssim_map(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    mean_x, mean_y = _blurred(x), _blurred(y)
    variance_x, variance_y = _blurred(x * x) - mean_x**2, _blurred(y * y) - mean_y**2
    covariance = _blurred(x * y) - mean_x * mean_y
    structure = (2 * covariance + C2) / (variance_x + variance_y + C2)
    return structure * (2 * mean_x * mean_y + C1) / (mean_x**2 + mean_y**2 + C1)


def _blurred(values: np.ndarray) -> np.ndarray:
    return gaussian_filter(values, SIGMA_PX, truncate=TRUNCATE, mode="reflect")


def _grey(picture: np.ndarray) -> np.ndarray:
    return picture.astype(np.float64) @ LUMA


def _half(grey: np.ndarray) -> np.ndarray:
    """Means of 2 x 2 pixels, of which every second one in each direction is taken."""
    return uniform_filter(grey, 2, origin=-1, mode="constant")[::2, ::2]


def _gradient_magnitude(grey: np.ndarray) -> np.ndarray:
    return np.hypot(convolve(grey, PREWITT, mode="constant"), convolve(grey, PREWITT.T, mode="constant"))


def _mean(values: np.ndarray, mask: np.ndarray | None) -> float:
    counted = values if mask is None else values[mask > 0]
    return float(counted.mean()) if counted.size else float("nan")


def _require_pair(picture: np.ndarray, truth: np.ndarray, mask: np.ndarray | None) -> None:
    size = truth.shape[:2]
    if picture.shape != truth.shape or picture.shape[2:] != (3,) or (mask is not None and mask.shape != size):
        shapes = f"{picture.shape}, {truth.shape}, {None if mask is None else mask.shape}"
        raise ValueError(f"expected two pictures (H, W, 3) and a mask (H, W) of one size, found {shapes}")
    if picture.dtype == np.uint8 or truth.dtype == np.uint8:
        raise ValueError("expected pictures as numbers in [0, 1], found uint8")
