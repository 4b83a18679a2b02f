"""Fewer triangles by edge collapses that only drop vertices, so that every basis follows by selecting rows.

Quadric error (Garland and Heckbert 1997) with half-edge collapses: a vertex moves onto a neighbour, none moves to a
new place. Open edges and texture seams collapse along themselves only.
"""

from __future__ import annotations

import heapq

import numpy as np

BORDER_WEIGHT = 10.0
LENGTH_WEIGHT = 2e-3
"""Cost of an edge's length to the fourth power beside the quadric: keeps flat parts from losing all vertices."""
MIN_NORMAL_COSINE = 0.3
MIN_QUALITY = 0.12
"""Twice the area over the longest edge squared; below it a triangle is a sliver (equilateral: 0.87)."""


def decimate(
    poses: np.ndarray,
    faces: np.ndarray,
    uv_faces: np.ndarray,
    part_of: np.ndarray,
    part_targets: np.ndarray,
    keep: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Collapses edges until every part has at most its number of vertices (or nothing more can go).

    poses (K, V, 3): the mesh in several expressions, the error is summed over them; the first one is checked for
    flipped triangles. faces, uv_faces (F, 3). part_of (V,) part of each vertex; part_targets (P,) vertices to
    leave in each part. keep (V,) bool: vertices that stay.
    Returns the remaining faces and uv_faces, (F', 3) each, in the ids of the input.
    """
    mesh = _Collapser(poses, faces, uv_faces, keep)
    count = np.bincount(part_of[np.unique(faces)], minlength=len(part_targets))
    heap: list[tuple[float, int, int, int]] = []
    for vertex in np.unique(faces):
        mesh.push_best(heap, int(vertex))
    while heap and (count > part_targets).any():
        _, source, target, version = heapq.heappop(heap)
        if mesh.version[source] != version or count[part_of[source]] <= part_targets[part_of[source]]:
            continue
        if not mesh.may_collapse(source, target):
            mesh.push_best(heap, source)
            continue
        for changed in mesh.collapse(source, target):
            mesh.push_best(heap, changed)
        count[part_of[source]] -= 1
    alive = [index for index, is_alive in enumerate(mesh.alive) if is_alive]
    return np.array([mesh.faces[i] for i in alive]), np.array([mesh.wedges[i] for i in alive])


class _Collapser:
    """The mesh while it shrinks: faces with their texture corners, faces around each vertex, quadrics."""

    def __init__(self, poses: np.ndarray, faces: np.ndarray, uv_faces: np.ndarray, keep: np.ndarray):
        self.points = poses.astype(np.float64).transpose(1, 0, 2)
        self.faces = faces.tolist()
        self.wedges = uv_faces.tolist()
        self.keep = keep
        self.alive = [True] * len(self.faces)
        self.version = [0] * len(self.points)
        self.around: list[set[int]] = [set() for _ in self.points]
        for index, face in enumerate(self.faces):
            for vertex in face:
                self.around[vertex].add(index)
        ones = np.ones((*self.points.shape[:2], 1))
        self.homogeneous = np.concatenate([self.points, ones], -1)
        self.quadrics = _vertex_quadrics(poses.astype(np.float64), faces, uv_faces)

    def neighbours(self, vertex: int) -> set[int]:
        found = {v for index in self.around[vertex] for v in self.faces[index]}
        found.discard(vertex)
        return found

    def push_best(self, heap: list, source: int) -> None:
        """Queues the cheapest collapse of this vertex that is allowed now, if there is one."""
        self.version[source] += 1
        if self.keep[source] or not self.around[source]:
            return
        targets = sorted(self.neighbours(source))
        costs = self._costs(source, targets)
        for index in np.argsort(costs, kind="stable"):
            if self.may_collapse(source, targets[index]):
                heapq.heappush(heap, (float(costs[index]), source, targets[index], self.version[source]))
                return

    def _costs(self, source: int, targets: list[int]) -> np.ndarray:
        at = self.homogeneous[targets]
        quadric = self.quadrics[source] + self.quadrics[targets]
        error = np.matmul(np.matmul(at[:, :, None, :], quadric), at[..., None]).sum((1, 2, 3))
        squared = ((self.points[targets, 0] - self.points[source, 0]) ** 2).sum(-1)
        return error + LENGTH_WEIGHT * squared**2

    def may_collapse(self, source: int, target: int) -> bool:
        """Whether surface, texture charts and orientation survive moving source onto target."""
        shared = self.around[source] & self.around[target]
        if not shared or len(self.neighbours(source) & self.neighbours(target)) != len(shared):
            return False
        if self._is_open(source) and len(shared) != 1:
            return False
        return self._wedge_moves(source, target, shared) is not None and self._keeps_orientation(source, target, shared)

    def _is_open(self, vertex: int) -> bool:
        return len(self.neighbours(vertex)) != len(self.around[vertex])

    def _wedge_moves(self, source: int, target: int, shared: set[int]) -> dict[int, int] | None:
        """Texture corner of source -> that of target, or None where a chart would tear."""
        moves: dict[int, int] = {}
        for index in shared:
            face, wedge = self.faces[index], self.wedges[index]
            start, end = wedge[face.index(source)], wedge[face.index(target)]
            if moves.setdefault(start, end) != end:
                return None
        for index in self.around[source] - shared:
            if self.wedges[index][self.faces[index].index(source)] not in moves:
                return None
        return moves

    def _keeps_orientation(self, source: int, target: int, shared: set[int]) -> bool:
        rest = [self.faces[index] for index in self.around[source] - shared]
        if not rest:
            return False
        before = np.array(rest)
        after = np.where(before == source, target, before)
        old, _ = _normals_and_quality(self.points[before, 0])
        new, quality = _normals_and_quality(self.points[after, 0])
        return bool(((old * new).sum(-1) > MIN_NORMAL_COSINE).all() and (quality > MIN_QUALITY).all())

    def collapse(self, source: int, target: int) -> list[int]:
        """Moves source onto target; returns the vertices whose candidates changed."""
        shared = self.around[source] & self.around[target]
        moves = self._wedge_moves(source, target, shared)
        assert moves is not None
        for index in shared:
            self.alive[index] = False
            for vertex in self.faces[index]:
                self.around[vertex].discard(index)
        for index in self.around[source]:
            corner = self.faces[index].index(source)
            self.faces[index][corner] = target
            self.wedges[index][corner] = moves[self.wedges[index][corner]]
            self.around[target].add(index)
        self.around[source] = set()
        self.version[source] += 1
        self.quadrics[target] += self.quadrics[source]
        return [target, *sorted(self.neighbours(target))]


def _normals_and_quality(corners: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(F, 3, 3) -> unit normals (F, 3) and twice the area over the longest edge squared (F,)."""
    edges = corners[:, (1, 2, 0)] - corners
    (ax, ay, az), (bx, by, bz) = edges[:, 0].T, edges[:, 1].T
    normals = np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], -1)
    length = np.sqrt((normals * normals).sum(-1))
    longest = (edges * edges).sum(-1).max(-1)
    return normals / np.maximum(length, 1e-20)[:, None], length / np.maximum(longest, 1e-20)


def _vertex_quadrics(poses: np.ndarray, faces: np.ndarray, uv_faces: np.ndarray) -> np.ndarray:
    """(K, V, 3) -> (V, K, 4, 4): area-weighted planes of the faces around, and walls along rims and seams."""
    edges, rim_faces = _rims(faces, uv_faces)
    quadrics = np.zeros((poses.shape[1], len(poses), 4, 4))
    for k, points in enumerate(poses):
        a, b, c = (points[faces[:, corner]] for corner in range(3))
        normals = np.cross(b - a, c - a)
        area = np.linalg.norm(normals, axis=-1, keepdims=True)
        normals /= np.maximum(area, 1e-20)
        planes = _plane_quadrics(normals, a, area[:, 0] / 6)
        for corner in range(3):
            np.add.at(quadrics[:, k], faces[:, corner], planes)
        start, end = points[edges[:, 0]], points[edges[:, 1]]
        wall = np.cross(end - start, normals[rim_faces])
        length = np.linalg.norm(wall, axis=-1, keepdims=True)
        walls = _plane_quadrics(wall / np.maximum(length, 1e-20), start, BORDER_WEIGHT * length[:, 0] ** 2)
        for corner in range(2):
            np.add.at(quadrics[:, k], edges[:, corner], walls)
    return quadrics


def _plane_quadrics(normals: np.ndarray, points: np.ndarray, weights: np.ndarray) -> np.ndarray:
    plane = np.concatenate([normals, -(normals * points).sum(-1, keepdims=True)], -1)
    return weights[:, None, None] * plane[:, :, None] * plane[:, None, :]


def _rims(faces: np.ndarray, uv_faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Open edges and texture seams, (E, 2), with one adjoining face each (E,)."""
    follow = [1, 2, 0]
    edges = np.stack([faces, faces[:, follow]], -1).reshape(-1, 2)
    charts = np.stack([uv_faces, uv_faces[:, follow]], -1).reshape(-1, 2)
    owner = np.repeat(np.arange(len(faces)), 3)
    order = np.argsort(edges, axis=1)
    edges, charts = np.take_along_axis(edges, order, 1), np.take_along_axis(charts, order, 1)
    both = np.concatenate([edges, charts], 1)
    _, first, count = np.unique(both, axis=0, return_index=True, return_counts=True)
    alone = first[count == 1]
    return edges[alone], owner[alone]
