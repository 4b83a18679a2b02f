"""A room to stand in: procedural pictures with edges and gradients, none of them from a photograph."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

SHAPES = 9


def make_background(height: int, width: int, seed: int) -> Tensor:
    """(H, W, 3) in [0, 1]: soft noise behind rectangles and discs of random colours."""
    random = np.random.default_rng((seed, 20))
    picture = _muted_colour(random) + 0.2 * smooth_noise(height, width, 1, (3, 8, 40), random)
    picture = picture + 0.06 * smooth_noise(height, width, 3, (3, 8), random)
    y, x = np.mgrid[:height, :width] + 0.5
    side = max(height, width)
    for _ in range(SHAPES):
        centre = random.uniform(0, 1, 2) * (width, height)
        half = random.uniform(0.03, 0.2, 2) * side
        inside_x, inside_y = np.abs(x - centre[0]) / half[0], np.abs(y - centre[1]) / half[1]
        round_shape = random.random() < 0.5
        distance = np.hypot(inside_x, inside_y) if round_shape else np.maximum(inside_x, inside_y)
        cover = np.clip((1 - distance) * half.min(), 0, 1)[..., None]
        colour = _muted_colour(random) + 0.1 * smooth_noise(height, width, 1, (5, 30), random)
        picture = picture * (1 - cover) + colour * cover
    return torch.from_numpy(picture.clip(0, 1)).float()


def _muted_colour(random: np.random.Generator) -> np.ndarray:
    """(3,) as rooms have them: mostly grey."""
    return random.uniform(0.15, 0.8) + random.uniform(-0.12, 0.12, 3)


def smooth_noise(
    height: int, width: int, channels: int, cells: tuple[int, ...], random: np.random.Generator
) -> np.ndarray:
    """(H, W, channels), about in [-1, 1]: random grids of so many cells, enlarged and added, finer ones weaker."""
    total = torch.zeros(1, channels, height, width, dtype=torch.float64)
    weight_sum = 0.0
    for octave, count in enumerate(cells):
        grid = torch.from_numpy(random.uniform(-1, 1, (1, channels, count + 3, count + 3)))
        weight = 0.6**octave
        total += weight * interpolate(grid, (height, width), mode="bicubic", align_corners=True)
        weight_sum += weight
    return (total / weight_sum)[0].permute(1, 2, 0).numpy()
