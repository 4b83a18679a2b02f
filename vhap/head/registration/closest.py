"""Points of a triangle mesh nearest to others, among triangles of the same part that face the same way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh
from scipy.spatial import KDTree

CANDIDATES = 24
"""Triangles with the nearest middles, whose nearest points are compared."""
FACING = 0.3
"""Least cosine between the normals of a point and of its counterpart."""


@dataclass(frozen=True)
class Nearest:
    """N points on a mesh. rows (N,): of its triangles; barycentrics (N, 3); places (N, 3); distances (N,), infinite
    where no triangle near by faces the same way."""

    rows: np.ndarray
    barycentrics: np.ndarray
    places: np.ndarray
    distances: np.ndarray


@dataclass(frozen=True)
class Triangles:
    """corners (F, 3, 3) and unit normals (F, 3); tree: of their middles."""

    corners: np.ndarray
    normals: np.ndarray
    tree: KDTree

    @classmethod
    def of(cls, corners: np.ndarray) -> Triangles:
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        lengths = np.linalg.norm(normals, axis=1, keepdims=True)
        return cls(corners, normals / np.maximum(lengths, 1e-20), KDTree(corners.mean(1)))

    def nearest(self, points: np.ndarray, normals: np.ndarray | None = None) -> Nearest:
        """points (N, 3), normals (N, 3): None takes triangles whichever way they face."""
        count = min(CANDIDATES, len(self.corners))
        near = self.tree.query(points, k=count)[1].reshape(len(points), count)
        queries = np.repeat(points, count, 0)
        places = trimesh.triangles.closest_point(self.corners[near.ravel()], queries)
        distances = np.linalg.norm(places - queries, axis=1).reshape(near.shape)
        if normals is not None:
            facing = np.einsum("nkd,nd->nk", self.normals[near], normals)
            distances[facing < FACING] = np.inf
        best = distances.argmin(1)
        line = np.arange(len(points))
        rows, chosen = near[line, best], places.reshape(*near.shape, 3)[line, best]
        weights = trimesh.triangles.points_to_barycentric(self.corners[rows], chosen)
        weights = np.nan_to_num(weights, nan=1 / 3).clip(0, 1)
        weights = weights / weights.sum(1, keepdims=True)
        return Nearest(rows, weights, chosen, distances[line, best])
