"""A template bent onto another head's surface: closest points, and displacements that change smoothly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import coo_matrix, csr_matrix, diags
from scipy.sparse.linalg import splu

from vhap.geometry.meshes import uniform_laplacian, vertex_normals
from vhap.head.model import HeadModel
from vhap.head.registration.closest import Triangles
from vhap.head.registration.parts import cut_edge, skin_parts

STIFFNESS = (1000.0, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0)
"""Weights of the displacements' Laplacian, beside closest points of weight 1."""
SIMILARITY_ROUNDS = 30
ROUNDS = 4
"""At each stiffness."""
MARK_WEIGHTS = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01)
"""Of a landmark, at each stiffness."""
REACH_M = (0.03, 0.03, 0.02, 0.02, 0.015, 0.012, 0.010)
"""Closest points beyond it do not count."""
TRUST_M = 0.005
"""Distance beyond which closest points count less."""
ON_EDGE = 0.999
"""Barycentric share of corners on an edge, from which a point lies on it."""
LIP_WEIGHTS = (10.0, 10.0, 10.0, 5.0, 5.0, 5.0, 5.0)
"""Of a point where lips meet, likewise."""


@dataclass(frozen=True)
class Marks:
    """M known points. face_ids (M,), barycentrics (M, 3): on the template; places (M, 3): where they belong; weights:
    at each stiffness."""

    face_ids: np.ndarray
    barycentrics: np.ndarray
    places: np.ndarray
    weights: tuple[float, ...]

    def matrix(self, faces: np.ndarray, count: int) -> csr_matrix:
        """(M, V): the points, as means of vertices."""
        rows = np.repeat(np.arange(len(self.face_ids)), 3)
        corners = faces[self.face_ids].ravel()
        return csr_matrix((self.barycentrics.ravel(), (rows, corners)), shape=(len(self.face_ids), count))


@dataclass(frozen=True)
class Matches:
    """ids (N,) of vertices; face_ids (N,) and barycentrics (N, 3) of the points nearest to them on the surface, places
    (N, 3), distances (N,), infinite where there is none."""

    ids: np.ndarray
    face_ids: np.ndarray
    barycentrics: np.ndarray
    places: np.ndarray
    distances: np.ndarray


@dataclass(frozen=True)
class Surface:
    """What is bent onto: triangles of each part of a head's skin, and their ids in the head. at_edge (F, 3) bool:
    corners of the head's faces on the edge where it is cut off."""

    triangles: Mapping[str, Triangles]
    face_ids: Mapping[str, np.ndarray]
    at_edge: np.ndarray

    @classmethod
    def of(cls, vertices: np.ndarray, head: HeadModel) -> Surface:
        """vertices (W, 3) of the posed head."""
        faces = head.faces.numpy()
        ids = {name: part.faces.nonzero()[:, 0].numpy() for name, part in skin_parts(head).items()}
        ids = {name: rows for name, rows in ids.items() if len(rows)}
        return cls(
            {name: Triangles.of(vertices[faces[rows]]) for name, rows in ids.items()},
            ids,
            cut_edge(head).numpy()[faces],
        )

    def nearest(self, parts: Mapping[str, np.ndarray], points: np.ndarray, normals: np.ndarray) -> Matches:
        """Of the vertices (V,) bool of each part; a part that this head lacks lies on `rest`."""
        found = []
        for name, mask in parts.items():
            ids, where = np.flatnonzero(mask), name if name in self.triangles else "rest"
            if len(ids):
                near = self.triangles[where].nearest(points[ids], normals[ids])
                faces = self.face_ids[where][near.rows]
                beyond = (near.barycentrics * self.at_edge[faces]).sum(1) > ON_EDGE
                distances = np.where(beyond, np.inf, near.distances)
                found.append(Matches(ids, faces, near.barycentrics, near.places, distances))
        return Matches(*(np.concatenate([vars(part)[name] for part in found]) for name in vars(found[0])))


def bend(
    surface: Surface,
    parts: Mapping[str, np.ndarray],
    points: np.ndarray,
    faces: np.ndarray,
    marks: Sequence[Marks],
) -> np.ndarray:
    """Vertices (V, 3) of a template, float64, as they lie on the surface. parts: name -> (V,) bool, its skin; marks:
    the first of them place it to begin with."""
    count = len(points)
    known = [(each, each.matrix(faces, count)) for each in marks]
    points = _by_similarity(known[0][1] @ points, marks[0].places, points)
    torch_faces = torch.from_numpy(faces)
    laplacian = sparse_laplacian(count, torch_faces)
    stiff = laplacian.T @ laplacian
    points = _by_closest_points(surface, parts, points, torch_faces)
    bent = points.copy()
    for stage, (stiffness, reach) in enumerate(zip(STIFFNESS, REACH_M)):
        for _ in range(ROUNDS):
            near = surface.nearest(parts, bent, vertex_normals(torch.from_numpy(bent), torch_faces).numpy())
            weight = _trust(near, reach)
            of_vertices, goals = np.zeros(count), np.zeros((count, 3))
            of_vertices[near.ids] = weight
            goals[near.ids] = np.where(weight[:, None] > 0, near.places, 0)
            matrix = stiffness * stiff + diags(of_vertices + 1e-6)
            right = of_vertices[:, None] * (goals - points)
            for each, marked in known:
                matrix = matrix + each.weights[stage] * (marked.T @ marked)
                right = right + each.weights[stage] * (marked.T @ (each.places - marked @ points))
            bent = points + splu(matrix.tocsc()).solve(right)
    return bent


def _by_closest_points(
    surface: Surface, parts: Mapping[str, np.ndarray], points: np.ndarray, faces: torch.Tensor
) -> np.ndarray:
    """Moved and scaled as a whole until closest points stay where they are: landmarks of two heads' files are no more
    alike than their authors' taste, the surfaces of two heads are."""
    for _ in range(SIMILARITY_ROUNDS):
        near = surface.nearest(parts, points, vertex_normals(torch.from_numpy(points), faces).numpy())
        weight = _trust(near, REACH_M[0])
        points = _by_similarity(points[near.ids], np.where(weight[:, None] > 0, near.places, 0), points, weight)
    return points


def _trust(near: Matches, reach: float) -> np.ndarray:
    """(N,) in [0, 1]."""
    return np.where(near.distances < reach, 1 / (1 + (near.distances / TRUST_M) ** 2), 0.0)


def _by_similarity(
    marks: np.ndarray, places: np.ndarray, points: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
    """points (N, 3), moved as takes marks (M, 3) nearest to places (M, 3), weighted by weights (M,) (Umeyama 1991)."""
    share = np.ones(len(marks)) if weights is None else weights
    share = (share / share.sum())[:, None]
    from_middle, to_middle = (share * marks).sum(0), (share * places).sum(0)
    a, b = marks - from_middle, places - to_middle
    u, sizes, vt = np.linalg.svd((share * b).T @ a)
    signs = np.array([1, 1, np.sign(np.linalg.det(u @ vt))])
    rotation = u @ np.diag(signs) @ vt
    scale = (sizes * signs).sum() / (share * a**2).sum()
    return scale * (points - from_middle) @ rotation.T + to_middle


def sparse_laplacian(count: int, faces: torch.Tensor) -> csr_matrix:
    """`uniform_laplacian` for scipy, float64."""
    found = uniform_laplacian(count, faces).double()
    rows, columns = found.indices().numpy()
    return csr_matrix(coo_matrix((found.values().numpy(), (rows, columns)), shape=(count, count)))
