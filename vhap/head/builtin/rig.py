"""Joints and skin weights of the built-in head, in the order of `JOINT_NAMES`."""

from __future__ import annotations

import numpy as np

from vhap.head.builtin.fields import Places, carry_rings, mesh_places
from vhap.head.builtin.grid import Array
from vhap.head.builtin.mesh import HeadMesh
from vhap.head.builtin.surface import EYE_CENTRE, EYE_HEIGHT, MOUTH_HALF_WIDTH, MOUTH_HEIGHT, smoothstep

ROOT = np.array([0.0, EYE_HEIGHT - 165, -28.0])
NECK = np.array([0.0, EYE_HEIGHT - 85, -22.0])
JAW = np.array([0.0, EYE_HEIGHT - 30, 2.0])


def joint_places() -> Array:
    """(5, 3) mm: root at the neck's base, neck at the skull's base, jaw hinge, eyeball centres."""
    return np.stack([ROOT, NECK, JAW, EYE_CENTRE, EYE_CENTRE * [-1.0, 1.0, 1.0]]).astype(np.float64)


def joint_shape_basis(mesh: HeadMesh, basis: Array) -> Array:
    """(5, 3, S) mm: eye joints move with their eyeballs, the others stay."""
    joints = np.zeros((5, 3, basis.shape[-1]))
    for row, name in ((3, "left_eyeball"), (4, "right_eyeball")):
        joints[row] = basis[mesh.eyeballs[name]].mean(0)
    return joints


def skin_weights(mesh: HeadMesh, points: Array) -> Array:
    """(V, 5), rows sum to one."""
    places = mesh_places(mesh, points)
    up = places.up
    behind = smoothstep((20 - places.z) / 80)
    head = smoothstep((up + 172 - 25 * behind) / (52 + 10 * behind))
    jaw = carry_rings(mesh, (_jaw_weight(places) * head)[:, None], (1.0, 1.0, 0.95, 0.85, 0.7))[:, 0]
    weights = np.stack([1 - head, head - jaw, jaw, np.zeros_like(up), np.zeros_like(up)], -1)
    for column, name in ((3, "left_eyeball"), (4, "right_eyeball")):
        weights[mesh.eyeballs[name]] = np.eye(5)[column]
    return weights


def _jaw_weight(places: Places) -> Array:
    s = np.clip(places.side / MOUTH_HALF_WIDTH, 0, 1)
    inside = 1 - s * s
    below = MOUTH_HEIGHT - places.y - 14 * places.lip * inside
    band = 26 + 0.55 * np.maximum(places.side - 20, 0)
    low = smoothstep(0.5 + below / band)
    return low * smoothstep((places.z - 4) / 42) * smoothstep((places.up + 148) / 30)
