"""How unlike a picture is to the empty scene: change of exposure, soft shadows, camera noise and JPEG taken out.

Pictures here are (H, W, 3) float32 in [0, 1], sRGB as stored.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

SAMPLES = 60_000
"""Pixels, about, that exposure is measured on."""
LARGEST_CHANGE = 0.75
"""Of exposure, as a natural logarithm."""
GAIN_SIGMA, OFFSET_SIGMA = 0.3, 0.02
"""How far the exposure of the plate is expected to be from the picture's."""
LEAST_NOISE = 1 / 255
SHIFT_PX = 0.25
"""How far the plate's edges may lie from the picture's."""
SHADE, SHADE_GROWING = 0.02, 0.03
"""Share of brightness by which a pixel of the scene may differ beyond noise; more where shading is still unknown."""
MOST = 30.0
"""Distances are cut here, so that a neighbourhood is never decided by one pixel."""
IS_SCENE = 6.0
"""Mean squared distance of a neighbourhood below which it is the scene for certain; pure noise has 3."""
NEIGHBOURHOOD_PX = 3
SHADING_SHARE, SHADING_STEPS = 1 / 60, 16
"""Reach of a step of shading in picture diagonals, and how often it is grown from what is certain."""
SHADING_RANGE = (0.4, 1.3)


def match_exposure(picture: np.ndarray, plate: np.ndarray) -> tuple[np.ndarray, float]:
    """The plate with gain and offset of each channel as the picture has them, and the noise (standard deviation).

    Where the scene is seen, all pixels agree on one ratio of colours, the person's scatter: the most frequent ratio
    is the start, a robust (Tukey) line the answer.
    """
    step = max(1, round(math.sqrt(picture.shape[0] * picture.shape[1] / SAMPLES)))
    seen, empty = (values[::step, ::step].reshape(-1, 3).astype(np.float64) for values in (picture, plate))
    unclipped = (np.maximum(seen, empty) < 0.99).all(1)
    seen, empty = seen[unclipped], empty[unclipped]
    gain, offset, noise = _frequent_gain(seen, empty), np.zeros(3), 0.06
    for _ in range(12):
        residual = seen - (gain * empty + offset)
        distance = np.sqrt((residual**2).mean(1)) / (3 * noise)
        weight = np.maximum(1 - distance**2, 0) ** 2
        for channel in range(3):
            design = np.stack([empty[:, channel], np.ones(len(empty))], 1)
            prior = noise**2 * np.diag([GAIN_SIGMA**-2, OFFSET_SIGMA**-2])
            normal = (design * weight[:, None]).T @ design + prior
            right = (design * weight[:, None]).T @ seen[:, channel] + prior @ [1.0, 0.0]
            gain[channel], offset[channel] = np.linalg.solve(normal, right)
        inliers = np.abs(residual[distance < 1])
        spread = 1.4826 * float(np.median(inliers)) if inliers.size else noise
        noise = max(LEAST_NOISE, min(noise, spread))
    return (plate * gain + offset).astype(np.float32), noise


def _frequent_gain(seen: np.ndarray, empty: np.ndarray) -> np.ndarray:
    """(3,): the most frequent ratio of picture to plate, (N, 3) each."""
    bright = (seen > 0.02).all(1) & (empty > 0.08).all(1)
    ratios = np.log(seen[bright] / empty[bright])
    gain = np.ones(3)
    for channel in range(3):
        counts, edges = np.histogram(ratios[:, channel], 120, (-LARGEST_CHANGE, LARGEST_CHANGE))
        centres = (edges[1:] + edges[:-1]) / 2
        score = np.convolve(counts, [1, 2, 3, 2, 1], "same") * np.exp(-0.5 * (centres / GAIN_SIGMA) ** 2)
        gain[channel] = np.exp(centres[score.argmax()]) if score.any() else 1.0
    return gain


def squared_distance(picture: np.ndarray, plate: np.ndarray, noise: float, shade: float = SHADE) -> np.ndarray:
    """(H, W) squared Mahalanobis distance of the colours; the mean is 3 where the picture shows the plate.

    Variances are of noise, of edges that may have moved, and, along the plate's own colour, of shading.
    """
    slopes = [cv2.Sobel(plate, cv2.CV_32F, *axis, scale=1 / 8) for axis in ((1, 0), (0, 1))]
    variance = noise**2 + SHIFT_PX**2 * (slopes[0] ** 2 + slopes[1] ** 2).max(-1)
    residual = picture - plate
    along = shade**2 * (residual * plate).sum(-1) ** 2 / (variance + shade**2 * (plate**2).sum(-1))
    return ((residual**2).sum(-1) - along) / variance


def shading(picture: np.ndarray, plate: np.ndarray, noise: float) -> np.ndarray:
    """(H, W) smooth factors on the plate: soft shadows and stray light of the person.

    Grown from where picture and plate agree; 1 where the person hides the scene.
    """
    reach = SHADING_SHARE * math.hypot(*picture.shape[:2])
    factor = np.ones(picture.shape[:2], np.float32)
    both, empty = (picture * plate).sum(-1), (plate**2).sum(-1)
    for _ in range(SHADING_STEPS):
        distance = squared_distance(picture, plate * factor[..., None], noise, SHADE_GROWING)
        certain = (_mean_around(distance) < IS_SCENE).astype(np.float32)
        above, below = (cv2.GaussianBlur(certain * values, (0, 0), reach) + 1e-3 for values in (both, empty))
        factor = np.clip(above / below, *SHADING_RANGE)
    return factor


def log_odds(picture: np.ndarray, plate: np.ndarray, noise: float) -> np.ndarray:
    """(H, W) in [-6, 6], above 0 where a pixel is the person by its distance from the plate and by its colour.

    Colours that are frequent where the person is certain need less distance, others more.
    """
    bins, blur = 24, np.array([0.25, 0.5, 0.25])
    distance = squared_distance(picture, plate, noise)
    certain = _mean_around(distance) > MOST / 2
    counts, _ = np.histogramdd(picture[certain], bins, [(0, 1)] * 3)
    for axis in range(3):
        counts = np.apply_along_axis(lambda line: np.convolve(line, blur, "same"), axis, counts)
    density = counts / max(counts.sum(), 1) * bins**3
    red, green, blue = np.moveaxis(np.minimum((picture * bins).astype(int), bins - 1), -1, 0)
    frequent = np.clip(np.log(density[red, green, blue] + 1e-3), -2, 4)
    return np.clip(0.5 * (_mean_around(distance) - 10 + 0.5 * frequent), -6, 6)


def _mean_around(distance: np.ndarray) -> np.ndarray:
    return cv2.blur(np.minimum(distance, MOST), (NEIGHBOURHOOD_PX, NEIGHBOURHOOD_PX))
