"""Whether landmarks and matte of a picture agree: a face that the landmarks follow lies within the matte."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from vhap.data.pictures import some_names

INSIDE = 128
"""Alpha from which a pixel counts as the person."""
LEAST_COVER = 0.5
"""Share of a face's points within the matte below which the two contradict each other; a hand or a microphone before
the face hides less."""
WITHIN_BOX = 0.35
"""Half axes of the ellipse of points that stands for a box, in its sides."""


@dataclass(frozen=True)
class Contradiction:
    """kind: the matte is empty where a face is, or the face lies outside the matte. cover: share of the face's points
    within the matte, in [0, 1]. at: the face's centre, x / width and y / height."""

    kind: Literal["empty", "outside"]
    cover: float
    at: tuple[float, float]


def contradictions(points: np.ndarray, alphas: Iterable[np.ndarray]) -> dict[int, Contradiction]:
    """Row -> what is wrong there; rows without a face, or with a matte around it, are left out.

    points: (T, N, 2 or 3) x / width, y / height and, where given, confidence; not found where x = y = -1 or the
    confidence is 0, as in landmark files. alphas: T maps (H, W) uint8 of any size, in the order of the points.
    """
    found: dict[int, Contradiction] = {}
    for row, (face, alpha) in enumerate(zip(points, alphas, strict=True)):
        wrong = contradiction(face, alpha)
        if wrong is not None:
            found[row] = wrong
    return found


def contradiction(points: np.ndarray, alpha: np.ndarray) -> Contradiction | None:
    """The same for one picture: points (N, 2 or 3), alpha (H, W) uint8."""
    seen = detected_points(points)
    if not len(seen):
        return None
    cover = face_cover(seen, alpha)
    if cover >= LEAST_COVER:
        return None
    x, y = seen.mean(0)
    return Contradiction("outside" if (alpha >= INSIDE).any() else "empty", cover, (float(x), float(y)))


def detected_points(points: np.ndarray) -> np.ndarray:
    """(M, 2) x / width, y / height of the points (N, 2 or 3) that were found and lie in the picture."""
    kept = ((points[:, :2] >= 0) & (points[:, :2] < 1)).all(1)
    if points.shape[1] > 2:
        # Readers set points of confidence 0, among them those turned away, to the picture's corner.
        kept &= points[:, 2] > 0
    return points[kept, :2]


def face_cover(points: np.ndarray, alpha: np.ndarray) -> float:
    """Share of points (N >= 1, 2) x / width, y / height in [0, 1) that lie within the matte (H, W) uint8."""
    height, width = alpha.shape
    columns, rows = (points * [width, height]).astype(int).T
    return float((alpha[rows, columns] >= INSIDE).mean())


def box_points(box: np.ndarray) -> np.ndarray:
    """(N, 2) points of the face in a box (x0, y0, x1, y1, ...), in its units."""
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, 15)] * 2), -1).reshape(-1, 2)
    disc = grid[np.hypot(*grid.T) <= 1]
    return (box[:2] + box[2:4]) / 2 + WITHIN_BOX * (box[2:4] - box[:2]) * disc


def describe(found: Mapping[str, Contradiction], count: int) -> str:
    """What is wrong in how many of `count` pictures and in which, for messages; found: name -> contradiction."""
    parts: list[str] = []
    for kind, words in (
        ("empty", "the matte is empty where a face is"),
        ("outside", "the face lies outside the matte"),
    ):
        names = [name for name, wrong in found.items() if wrong.kind == kind]
        if names:
            x, y = found[names[0]].at
            where = f"{some_names(names)}; in {names[0]} at {x:.0%} of the width, {y:.0%} of the height"
            parts.append(f"{words} in {len(names)} of {count} pictures ({where})")
    return "; ".join(parts)
