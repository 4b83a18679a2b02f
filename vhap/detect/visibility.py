"""How far a point of the face is turned to the camera, from MediaPipe's own 3D points."""

from __future__ import annotations

import functools

import numpy as np

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
    neighbours, counted = _neighbours()
    rays = (mesh[neighbours] - mesh[:, None]) * counted[..., None]
    _, vectors = np.linalg.eigh(np.einsum("nki,nkj->nij", rays, rays))
    normals = vectors[:, :, 0]
    centre = mesh[list(CHEEKS_AT_EARS)].mean(0)
    inwards = np.einsum("ni,ni->n", normals, mesh - centre) < 0
    normals = np.where(inwards[:, None], -normals, normals)
    # Lips and lids fold; what is wanted is how the surface around a point is turned, not the fold.
    for _ in range(SMOOTHING_ROUNDS):
        normals = normals + (normals[neighbours] * counted[..., None]).sum(1)
        normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return normals


@functools.cache
def _neighbours() -> tuple[np.ndarray, np.ndarray]:
    """(468, K) indices of the points joined to each, and (468, K) 1 where there is one."""
    joined: list[set[int]] = [set() for _ in range(MESH_COUNT)]
    for a, b in mesh_edges():
        joined[a].add(b)
        joined[b].add(a)
    widest = max(map(len, joined))
    indices = np.array([sorted(near) + [0] * (widest - len(near)) for near in joined])
    counted = np.array([[1.0] * len(near) + [0.0] * (widest - len(near)) for near in joined])
    return indices, counted
