"""Named shape modes: a unit stands for one standard deviation, a few millimetres, chosen by hand."""

from __future__ import annotations

import numpy as np

from vhap.head.builtin.fields import Field, Places, carry_rings, mesh_places, outwards, places_of, vector
from vhap.head.builtin.grid import Array
from vhap.head.builtin.mesh import HeadMesh
from vhap.head.builtin.surface import EYE_CENTRE, MOUTH_HEIGHT, bump, smoothstep

# The eye's move is read at the iris, since fields fade with depth.
IRIS_OFFSET = np.array([0.0, 0.0, 12.0])


def _chin_drop(p: Places) -> Array:
    return smoothstep((-72 - p.up) / 38) * smoothstep((p.z + 5) / 60) * p.head


def _cheekbones(p: Places) -> Array:
    weight = bump(p.side, p.up, (54, -24), (20, 16)) * p.front
    return vector(1.4 * outwards(p, 20) * weight, 0, 1.8 * weight)


def _lip_fullness(p: Places) -> Array:
    offset = p.y - MOUTH_HEIGHT
    weight = bump(p.side, offset, (0, 0), (24, 13)) * p.front
    return vector(0, 0.14 * offset * weight, 1.5 * weight)


def _cheek_fullness(p: Places) -> Array:
    weight = 2.2 * bump(p.side, p.up, (47, -58), (18, 22)) * p.front
    return vector(0.5 * np.sign(p.x) * weight, 0, weight)


def _ear_size(p: Places) -> Array:
    weight = 0.1 * smoothstep((p.side - 66) / 10) * smoothstep((40 - np.hypot(p.y + 2, p.z + 12)) / 15)
    return vector((p.side - 72) * np.sign(p.x) * weight, (p.y + 2) * weight, (p.z + 6) * weight)


def _neck_width(p: Places) -> Array:
    weight = np.exp(-(((p.up + 150) / 34) ** 2))
    return vector(0.06 * p.x * weight, 0, 0.05 * (p.z + 22) * weight)


SHAPE_FIELDS: dict[str, Field] = {
    "head_width": lambda p: vector(0.035 * p.x * p.head, 0, 0),
    "head_height": lambda p: vector(0, 5.0 * smoothstep((p.up - 5) / 115), 0),
    "head_depth": lambda p: vector(0, 0, -5.0 * smoothstep((20 - p.z) / 110) * p.head),
    "face_length": lambda p: vector(0, -4.0 * smoothstep((-8 - p.up) / 112) * smoothstep((p.z + 40) / 60) * p.head, 0),
    "face_width": lambda p: vector(2.6 * outwards(p, 35) * bump(p.up, p.z, (-25, 35), (50, 45)), 0, 0),
    "jaw_width": lambda p: vector(3.0 * outwards(p, 30) * bump(p.up, p.z, (-85, 22), (28, 45)), 0, 0),
    "chin_length": lambda p: vector(0, -3.0 * _chin_drop(p), 0),
    "chin_forward": lambda p: vector(0, 0, 3.2 * bump(p.x, p.up, (0, -108), (30, 24)) * p.front),
    "nose_length": lambda p: vector(0, -2.2 * bump(p.side, p.up, (0, -40), (19, 17)) * p.front, 0),
    "nose_width": lambda p: vector(1.7 * outwards(p, 8) * bump(p.side, p.up, (10, -40), (16, 13)) * p.front, 0, 0),
    "nose_bridge": lambda p: vector(0, 0, 2.0 * bump(p.side, p.up, (0, -7), (11, 16)) * p.front),
    "nose_tip": lambda p: vector(0, 0, 2.2 * bump(p.side, p.up, (0, -36), (16, 14)) * p.front),
    "eye_distance": lambda p: vector(1.5 * outwards(p, 12) * bump(p.side, p.up, (32, 2), (26, 24)) * p.front, 0, 0),
    "eye_height": lambda p: vector(0, 1.6 * bump(p.side, p.up, (32, 0), (30, 22)) * p.front, 0),
    "eye_depth": lambda p: vector(0, 0, -1.5 * bump(p.side, p.up, (32, 0), (24, 20)) * p.front),
    "brow_ridge": lambda p: vector(0, 0, 1.8 * bump(p.side, p.up, (24, 24), (28, 11)) * p.front),
    "cheekbones": _cheekbones,
    "cheek_fullness": _cheek_fullness,
    "lip_fullness": _lip_fullness,
    "mouth_width": lambda p: vector(1.8 * outwards(p, 14) * bump(p.side, p.up, (22, -72), (24, 16)) * p.front, 0, 0),
    "mouth_height": lambda p: vector(0, 1.7 * bump(p.side, p.up, (0, -72), (40, 20)) * p.front, 0),
    "forehead_slope": lambda p: vector(0, 0, -3.0 * bump(p.side, p.up, (0, 62), (60, 34)) * p.front),
    "ear_size": _ear_size,
    "neck_width": _neck_width,
}


def shape_basis(mesh: HeadMesh, points: Array) -> Array:
    """(V, 3, S) mm per standard deviation. Lids and eyeball move as one, so that they keep fitting each other."""
    places = mesh_places(mesh, points)
    columns = []
    for field in SHAPE_FIELDS.values():
        moved = carry_rings(mesh, field(places), (1.0,) * 5)
        for name, ids in mesh.eyeballs.items():
            side = 1 if name.startswith("left") else -1
            centre: Array = np.multiply(EYE_CENTRE, [side, 1.0, 1.0])
            rigid = field(places_of(centre + IRIS_OFFSET))[0]
            distance = np.hypot(points[:, 0] - centre[0], points[:, 1] - centre[1])
            weight = smoothstep((27 - distance) / 10) * smoothstep((points[:, 2] - 30) / 15)
            weight[ids] = 1
            moved = moved + weight[:, None] * (rigid - moved)
        columns.append(moved)
    return np.stack(columns, -1)
