"""Every vertex with its neighbours: what its normal is made of, and how it turns when one of them moves."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Fans:
    """The directed edges of a mesh, sorted by the vertex c that they start from.

    Where the normal of c is the sum of its faces' normals and only neighbour u moves, d(normal of c) = du x (a - b):
    a is the neighbour after u, b the one before it, around c; c itself on the side of u where there is no triangle. The
    normal is half the sum of (u - c) x (a - b). An edge that more than two triangles share is listed several times.

    start (V + 1,): the edges from vertex c are start[c] .. start[c + 1] - 1; neighbour, after, before (E,): u, a, b;
    most: edges from one vertex, at most. All int32.
    """

    start: Tensor
    neighbour: Tensor
    after: Tensor
    before: Tensor
    most: int


def fans_of(n_vertices: int, faces: Tensor) -> Fans:
    """faces (F, 3), counter-clockwise seen from outside."""
    corner, following, preceding = (faces.roll(-turn, 1).flatten() for turn in range(3))
    ahead, behind = (_numbered(corner * n_vertices + end) for end in (following, preceding))
    edges, place = torch.unique(torch.stack([ahead, behind], 1), return_inverse=True)
    centre, neighbour = edges // _TWINS // n_vertices, edges // _TWINS % n_vertices
    after, before = centre.clone(), centre.clone()
    after[place[:, 0]], before[place[:, 1]] = preceding, following
    counts = torch.bincount(centre, minlength=n_vertices)
    start = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    most = int(counts.max()) if n_vertices else 0
    return Fans(start.int(), neighbour.int(), after.int(), before.int(), most)


_TWINS = 1 << 10
"""More triangles than share one edge."""


def _numbered(keys: Tensor) -> Tensor:
    """Keys (K,), each times _TWINS plus how many equal ones come before it."""
    order = torch.argsort(keys, stable=True)
    sorted_keys = keys[order]
    first = torch.searchsorted(sorted_keys, sorted_keys)
    rank = torch.empty_like(keys)
    rank[order] = torch.arange(len(keys), device=keys.device) - first
    return keys * _TWINS + rank
