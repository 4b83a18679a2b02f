"""Every vertex with the triangles around it: what its normal is made of."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Fans:
    """The corners of all triangles, sorted by the vertex that they lie at.

    start (V + 1,) int32: the corners at vertex v are start[v] .. start[v + 1] - 1; following, preceding (3 F,) int32:
    the two other vertices of a corner's triangle, counter-clockwise; most: neighbours of one vertex, at most.
    """

    start: Tensor
    following: Tensor
    preceding: Tensor
    most: int


def fans_of(n_vertices: int, faces: Tensor) -> Fans:
    """faces (F, 3), counter-clockwise seen from outside."""
    order = torch.argsort(faces.flatten(), stable=True)
    counts = torch.bincount(faces.flatten(), minlength=n_vertices)
    start = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    following, preceding = (faces.roll(-turn, 1).flatten()[order].int() for turn in (1, 2))
    around = torch.cat([faces.flatten() * n_vertices + faces.roll(-turn, 1).flatten() for turn in (1, 2)])
    neighbours = torch.bincount(torch.unique(around) // n_vertices) if len(faces) else counts
    return Fans(start.int(), following, preceding, int(neighbours.max()))
