"""Smooth random displacements of a mesh, for stand-ins of statistical heads."""

from __future__ import annotations

from typing import Protocol

import numpy as np

WAVES = 6


class Points(Protocol):
    points: np.ndarray


class Fields(Protocol):
    def next(self, size_m: float, detail: float = 1.0) -> np.ndarray: ...


class RandomFields:
    """Sums of waves through space, each field another one, finer and finer."""

    def __init__(self, mesh: Points, seed: int) -> None:
        self.points = mesh.points
        self.random = np.random.default_rng((seed, 5))
        self.made = 0

    def next(self, size_m: float, detail: float = 1.0) -> np.ndarray:
        """(V, 3) metres, of about this size. detail: waves a head's size."""
        self.made += 1
        reach = detail * 10 * (1 + self.made / 250)
        turns = self.points @ self.random.normal(0, reach, (3, WAVES)) + self.random.uniform(0, 2 * np.pi, WAVES)
        return size_m * np.cos(turns) @ self.random.normal(0, 1 / np.sqrt(WAVES), (WAVES, 3))


def bump(distance: np.ndarray, reach: float) -> np.ndarray:
    """1 in the middle, 0 from `reach` on, smooth."""
    near = np.clip(1 - distance / reach, 0, 1)
    return near * near * (3 - 2 * near)
