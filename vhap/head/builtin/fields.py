"""Displacement fields: functions of places on the neutral head that say how far each point moves, in mm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vhap.head.builtin.grid import Array
from vhap.head.builtin.mesh import HeadMesh, loop_side
from vhap.head.builtin.surface import EYE_HEIGHT, MOUTH_LEVEL, smoothstep


@dataclass(frozen=True)
class Places:
    """Points where fields are evaluated. x, y, z (N,) mm; lip (N,): +1 above the mouth slit, -1 below it."""

    x: Array
    y: Array
    z: Array
    lip: Array

    @property
    def side(self) -> Array:
        return np.abs(self.x)

    @property
    def up(self) -> Array:
        """Height over the eyes."""
        return self.y - EYE_HEIGHT

    @property
    def front(self) -> Array:
        return smoothstep((self.z - 5) / 35)

    @property
    def head(self) -> Array:
        """1 on the head, fading to 0 down the neck."""
        return smoothstep((self.up + 150) / 45)

    def half(self, sign: float) -> Array:
        """1 on one side of the face, 0 on the other, smooth across the middle."""
        return smoothstep(0.5 + sign * self.x / 20)


Field = Callable[[Places], Array]


def vector(x: Array | float, y: Array | float, z: Array | float) -> Array:
    """(N, 3) or (3,) displacements from their components."""
    return np.stack(np.broadcast_arrays(x, y, z), -1).astype(np.float64)


def outwards(p: Places, softness: float) -> Array:
    """+1 on the subject's left, -1 on the right, smooth across the middle."""
    return np.tanh(p.x / softness)


def places_of(point: Array) -> Places:
    """One place (3,) above the mouth slit."""
    x, y, z = point[:, None]
    return Places(x, y, z, np.ones(1))


def mesh_places(mesh: HeadMesh, points: Array) -> Places:
    lip = np.zeros(len(points))
    lip[: mesh.n_skin] = np.sign(mesh.skin.level - MOUTH_LEVEL)
    for slit in mesh.skin.slits:
        lip[mesh.rings[slit.name]] = loop_side(slit) if slit.name == "mouth" else 1
    return Places(points[:, 0], points[:, 1], points[:, 2], lip)


def carry_rings(mesh: HeadMesh, values: Array, fade: tuple[float, ...] = (1.0, 0.95, 0.8, 0.5, 0.25)) -> Array:
    """Gives the mouth's rings the values of the lip edge before them, and the sockets' those of the lids."""
    carried = values.copy()
    for slit in mesh.skin.slits:
        for k, ring in enumerate(mesh.rings[slit.name]):
            carried[ring] = values[slit.loop] * (fade[k] if slit.name == "mouth" else 1.0)
    return carried
