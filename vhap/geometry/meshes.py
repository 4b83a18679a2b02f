"""Triangle meshes: normals, edges. Faces are (F, 3) vertex indices, counter-clockwise seen from outside."""

from __future__ import annotations

import torch
from torch import Tensor


def face_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """(..., V, 3), (F, 3) -> (..., F, 3) normals whose length is twice the triangle's area."""
    a, b, c = (vertices.index_select(-2, faces[:, k]) for k in range(3))
    return torch.linalg.cross(b - a, c - a)


def summed_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """(..., V, 3), (F, 3) -> (..., V, 3): sums of the faces' normals, each as long as twice its triangle's area."""
    per_face = face_normals(vertices, faces)
    total = torch.zeros_like(vertices)
    for corner in range(3):
        total = total.index_add(-2, faces[:, corner], per_face)
    return total


def vertex_normals(vertices: Tensor, faces: Tensor) -> Tensor:
    """Area-weighted unit normals, (..., V, 3). A vertex without a face, or with opposing ones, gets (0, 0, 0)."""
    return torch.nn.functional.normalize(summed_normals(vertices, faces), dim=-1, eps=1e-12)


def unique_edges(faces: Tensor) -> Tensor:
    """(F, 3) -> (E, 2) vertex pairs, each once, smaller index first."""
    return _counted_edges(faces)[0]


def open_edges(faces: Tensor) -> Tensor:
    """(F, 3) -> (E, 2) edges that belong to exactly one face."""
    edges, count = _counted_edges(faces)
    return edges[count == 1]


def _counted_edges(faces: Tensor) -> tuple[Tensor, Tensor]:
    """Edges (E, 2), ascending, and how many faces each belongs to (E,). One number an edge is sorted: torch's rows are
    twenty times slower."""
    pairs = torch.cat([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]).sort(dim=1).values
    base = 1 << 31
    keys, count = torch.unique(pairs[:, 0].long() * base + pairs[:, 1], return_counts=True)
    return torch.stack([keys // base, keys % base], 1).to(faces), count


def barycentric_points(vertices: Tensor, faces: Tensor, face_ids: Tensor, barycentrics: Tensor) -> Tensor:
    """Points on a mesh: (..., V, C) with face_ids (L,) and barycentrics (L, 3) -> (..., L, C)."""
    corners = vertices.index_select(-2, faces[face_ids].reshape(-1))
    corners = corners.reshape(*vertices.shape[:-2], -1, 3, vertices.shape[-1])
    return (corners * barycentrics[..., None].to(vertices.dtype)).sum(-2)


def uniform_laplacian(n_vertices: int, faces: Tensor) -> Tensor:
    """(V, V) sparse: a vertex minus the mean of its neighbours (Sorkine 2005); rows of lone vertices are zero."""
    edges = unique_edges(faces)
    rows, columns = torch.cat([edges[:, 0], edges[:, 1]]), torch.cat([edges[:, 1], edges[:, 0]])
    count = torch.bincount(rows, minlength=n_vertices)
    linked = torch.nonzero(count).squeeze(1)
    indices = torch.stack([torch.cat([rows, linked]), torch.cat([columns, linked])])
    values = torch.cat([-1 / count[rows], torch.ones(len(linked), device=faces.device)])
    size = (n_vertices, n_vertices)
    return torch.sparse_coo_tensor(indices, values, size, check_invariants=True).coalesce()
