"""Every vertex with its neighbours in order: how vertex normals depend on single vertices."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Fans:
    """The directed edges of a mesh, sorted by the vertex that they start from.

    start (V + 1,): the edges from vertex v are start[v] .. start[v + 1] - 1; neighbour (E,): where they end. ahead,
    behind (F, 3): of corner k of a face the edges to the corners that follow and precede it; faces (F, 3).
    """

    faces: Tensor
    start: Tensor
    neighbour: Tensor
    ahead: Tensor
    behind: Tensor

    def across(self, vertices: Tensor) -> Tensor:
        """(V, 3) -> (E, 3): for the edge from c to u the vector e with d(normal of c) = du x e, where the normal of c
        is the sum of its faces' and only u moves: the next neighbour minus the previous one, around a closed fan."""
        result = vertices.new_zeros(len(self.neighbour), 3)
        corners = vertices[self.faces]
        for k in range(3):
            centre, following, preceding = corners[:, k], corners[:, (k + 1) % 3], corners[:, (k + 2) % 3]
            result.index_add_(0, self.ahead[:, k], preceding - centre)
            result.index_add_(0, self.behind[:, k], centre - following)
        return result

    def edges_of(self, vertex: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The edges from N vertices (N,), one vertex after the other: which of the N each is of (K,), which edge (K,),
        and how many there are of each (N,)."""
        counts = self.start[vertex + 1] - self.start[vertex]
        owner = torch.repeat_interleave(torch.arange(len(vertex), device=vertex.device), counts)
        before = counts.cumsum(0) - counts
        edge = torch.arange(len(owner), device=vertex.device) + (self.start[vertex] - before)[owner]
        return owner, edge, counts


def fans_of(n_vertices: int, faces: Tensor) -> Fans:
    """faces (F, 3), counter-clockwise seen from outside."""
    following, preceding = faces.roll(-1, 1), faces.roll(1, 1)
    keys = torch.stack([faces * n_vertices + following, faces * n_vertices + preceding])
    edges, place = torch.unique(keys, return_inverse=True)
    counts = torch.bincount(edges // n_vertices, minlength=n_vertices)
    start = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    return Fans(faces, start, edges % n_vertices, *place)
