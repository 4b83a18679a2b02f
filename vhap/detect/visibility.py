"""How far a point of the face is turned to the camera, from MediaPipe's own 3D points."""

from __future__ import annotations

import functools

import numpy as np
from scipy import sparse

from vhap.detect.mesh_edges import mesh_edges

MESH_COUNT = 468
CHEEKS_AT_EARS = (234, 454)
IRIS_CORNERS = {(468, 473): (33, 133), (473, 478): (362, 263)}
"""Iris points -> corners of their eye, which turn away with it."""
SMOOTHING_ROUNDS = 3
SEEN_COSINE, HIDDEN_COSINE = 0.0, -0.4
"""Points on the outline (cosine about 0) are seen; the mesh guesses those well behind it."""


def visibility(points: np.ndarray) -> np.ndarray:
    """(478, 3) points, z smaller towards the camera -> (478,) in [0, 1].

    1 up to the outline, falling smoothly to 0 for surface that faces away from the camera. Hair and hands are
    not seen by it.
    """
    mesh = points[:MESH_COUNT]
    normals = _outward_normals(mesh)
    towards = -normals[:, 2]
    share = np.clip((towards - HIDDEN_COSINE) / (SEEN_COSINE - HIDDEN_COSINE), 0, 1)
    seen = np.empty(len(points))
    seen[:MESH_COUNT] = share * share * (3 - 2 * share)
    for (first, last), corners in IRIS_CORNERS.items():
        seen[first:last] = seen[list(corners)].mean()
    return seen


def _outward_normals(mesh: np.ndarray) -> np.ndarray:
    """(468, 3) unit normals: the direction in which a point's neighbours spread least, away from the head's centre."""
    joined, counts = _neighbours()
    places = mesh - mesh.mean(0)
    products = (places[:, :, None] * places[:, None, :]).reshape(-1, 9)
    summed = joined @ places
    # The sum of (n - p) (n - p)' over the neighbours n of each point p.
    across = places[:, :, None] * (summed - 0.5 * counts[:, None] * places)[:, None, :]
    normals = least_directions((joined @ products).reshape(-1, 3, 3) - across - across.transpose(0, 2, 1))
    centre = mesh[list(CHEEKS_AT_EARS)].mean(0)
    inwards = ((mesh - centre) * normals).sum(1) < 0
    normals = np.where(inwards[:, None], -normals, normals)
    # Lips and lids fold; what is wanted is how the surface around a point is turned, not the fold.
    for _ in range(SMOOTHING_ROUNDS):
        normals = normals + joined @ normals
        normals /= np.sqrt((normals**2).sum(1))[:, None]
    return normals


def least_directions(matrices: np.ndarray) -> np.ndarray:
    """Unit eigenvectors (N, 3) of symmetric matrices (N, 3, 3), of their smallest eigenvalues; in closed form, which is
    ten times as quick as LAPACK's way for thousands of small matrices."""
    mean = np.trace(matrices, axis1=1, axis2=2)[:, None, None] / 3
    rest = matrices - mean * np.eye(3)
    spread = np.maximum(np.sqrt((rest**2).sum((1, 2)) / 6), 1e-300)
    row, column, third = (rest[:, index] / spread[:, None] for index in range(3))
    angle = np.arccos(np.clip((row * np.cross(column, third)).sum(1) / 2, -1, 1)) / 3
    least = 2 * spread * np.cos(angle + 2 * np.pi / 3)
    row, column, third = (rest[:, index] - least[:, None] * np.eye(3)[index] for index in range(3))
    # The eigenvector is across all rows; the longest product is the surest.
    across = np.stack([np.cross(row, column), np.cross(column, third), np.cross(third, row)], 1)
    squares = (across**2).sum(2)
    longest = squares.argmax(1)
    each = np.arange(len(matrices))
    return across[each, longest] / np.sqrt(np.maximum(squares[each, longest], 1e-300))[:, None]


@functools.cache
def _neighbours() -> tuple[sparse.csr_array, np.ndarray]:
    """(468, 468), 1 where two points are joined; and how many each one is joined to (468,)."""
    ends = np.array([[a, b] for a, b in mesh_edges()])
    rows, columns = np.concatenate([ends, ends[:, ::-1]]).T
    joined = sparse.coo_array((np.ones(len(rows)), (rows, columns)), shape=(MESH_COUNT, MESH_COUNT)).tocsr()
    joined.data[:] = 1
    return joined, np.asarray(joined.sum(1)).ravel()
