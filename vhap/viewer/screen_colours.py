"""Colours that look in the browser as they are: the page's tone mapping, undone beforehand.

The page draws meshes through three.js' filmic curve (ACES, fitted by S. Hill), which no message switches off. Pictures
do not go through it.
"""

from __future__ import annotations

import numpy as np

INPUT = np.array([[0.59719, 0.35458, 0.04823], [0.07600, 0.90834, 0.01566], [0.02840, 0.13383, 0.83777]])
OUTPUT = np.array([[1.60475, -0.53108, -0.07367], [-0.10208, 1.10813, -0.00605], [-0.00327, -0.07276, 1.07602]])
EXPOSURE = 1 / 0.6
WHITEST = 0.98
"""Of linear colours: the curve reaches 1 at infinity."""
CURVE = np.array([[1.0, 0.0245786, -0.000090537], [0.983729, 0.4329510, 0.238081]])
"""y = (a v^2 + b v + c) / (d v^2 + e v + f)."""


def to_linear(rgb: np.ndarray) -> np.ndarray:
    """sRGB in [0, 1] -> linear."""
    return np.where(rgb <= 0.04045, rgb / 12.92, ((np.maximum(rgb, 0) + 0.055) / 1.055) ** 2.4)


def to_srgb(linear: np.ndarray) -> np.ndarray:
    """Linear in [0, 1] -> sRGB."""
    above = 1.055 * np.maximum(linear, 0.0031308) ** (1 / 2.4) - 0.055
    return np.where(linear <= 0.0031308, 12.92 * linear, above)


def tone_mapped(linear: np.ndarray) -> np.ndarray:
    """(..., 3) linear, as materials have it -> (..., 3) linear, as the screen has it."""
    v = EXPOSURE * linear @ INPUT.T
    (a, b, c), (d, e, f) = CURVE
    return np.clip(((a * v + b) * v + c) / ((d * v + e) * v + f) @ OUTPUT.T, 0, 1)


def before_tone_mapping(rgb: np.ndarray) -> np.ndarray:
    """(..., 3) sRGB in [0, 1] as it is to look -> (..., 3) linear colours of a material; white comes out a little grey,
    and saturated colours may have negative channels."""
    y = np.minimum(to_linear(np.clip(rgb, 0, 1)), WHITEST) @ np.linalg.inv(OUTPUT).T
    y = np.clip(y, 0, 1)
    (a, b, c), (d, e, f) = CURVE
    p, q, r = a - d * y, b - e * y, c - f * y
    v = (-q + np.sqrt(np.maximum(q * q - 4 * p * r, 0))) / (2 * p)
    return v @ np.linalg.inv(INPUT).T / EXPOSURE
