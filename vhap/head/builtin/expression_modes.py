"""Named expression modes (names as ARKit's): a unit is full activation. Jaw opening is the jaw joint's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from vhap.head.builtin.fields import Field, Places, carry_rings, mesh_places, vector
from vhap.head.builtin.grid import Array
from vhap.head.builtin.mesh import HeadMesh, place_vertices
from vhap.head.builtin.surface import (
    EYE_CENTRE,
    LID_CLOSURE,
    MOUTH_HALF_WIDTH,
    MOUTH_HEIGHT,
    Lids,
    bump,
    smoothstep,
)


def _brow(p: Places, centre: float, size: float) -> Array:
    keep = smoothstep((np.hypot((p.side - EYE_CENTRE[0]) / 16, p.up / 11) - 1) / 0.8)
    return bump(p.side, p.up, (centre, 25), (size, 15)) * p.front * keep


def _raised_brow(p: Places, sign: float) -> Array:
    return vector(0, 1.2 * _brow(p, 30, 24) * p.half(sign), 0)


def _raised_cheek(p: Places, sign: float) -> Array:
    weight = bump(p.side, p.up, (33, -19), (20, 9)) * p.front * p.half(sign)
    return vector(0, 2.4 * weight, 1.2 * weight)


def _lowered_brow(p: Places, sign: float) -> Array:
    return vector(0, -0.8 * _brow(p, 32, 22) * p.half(sign), 0)


def _lip_weight(p: Places, upper: bool) -> Array:
    """1 on one lip's free edge, 0 at the corners and on the other lip."""
    s = np.clip(p.side / MOUTH_HALF_WIDTH, 0, 1)
    offset = np.abs(p.y - MOUTH_HEIGHT)
    chosen = np.where(p.lip > 0, 1.0, 0.0) if upper else np.where(p.lip < 0, 1.0, 0.0)
    return chosen * (1 - s * s) ** 1.2 * np.exp(-((offset / 13) ** 2)) * p.front


def _corner(p: Places, sign: float, size: float = 20) -> Array:
    return np.exp(-((np.hypot(sign * p.x - MOUTH_HALF_WIDTH, p.y - MOUTH_HEIGHT) / size) ** 2)) * p.front * p.half(sign)


def _mouth_area(p: Places, width: float = 34, height: float = 22) -> Array:
    return bump(p.side, p.y - MOUTH_HEIGHT, (0, -2), (width, height)) * p.front


def _smile(p: Places, sign: float) -> Array:
    pull, cheek = _corner(p, sign), np.exp(-((np.hypot(sign * p.x - 44, p.up + 38) / 18) ** 2)) * p.front
    return vector(sign * (6.0 * pull + 1.0 * cheek), 6.5 * pull + 2.5 * cheek, -3.0 * pull + 2.5 * cheek)


def _frown(p: Places, sign: float) -> Array:
    pull = _corner(p, sign, 16)
    return vector(sign * 1.0 * pull, -6.0 * pull, -0.8 * pull)


def _sneer(p: Places, sign: float) -> Array:
    weight = np.exp(-((np.hypot(sign * p.x - 15, p.up + 42) / 11) ** 2)) * p.front * p.half(sign)
    return vector(sign * 0.8 * weight, 4.0 * weight, 1.2 * weight)


def _pucker(p: Places) -> Array:
    weight = _mouth_area(p)
    return vector(-0.34 * p.x * weight, -0.1 * (p.y - MOUTH_HEIGHT) * weight, 5.5 * weight)


def _funnel(p: Places) -> Array:
    area = _mouth_area(p, 26, 17)
    s = np.clip(p.side / MOUTH_HALF_WIDTH, 0, 1)
    part = 4.8 * p.lip * (1 - s * s) * np.exp(-(((p.y - MOUTH_HEIGHT) / 24) ** 2)) * p.front
    return vector(-0.16 * p.x * area, part, 5.0 * area)


def _cheek_puff(p: Places) -> Array:
    weight = bump(p.side, p.up, (45, -62), (20, 24)) * p.front
    return vector(np.sign(p.x) * 5.0 * weight, 0, 6.0 * weight)


def _jaw_left(p: Places) -> Array:
    d = np.where(p.lip < 0, 10.0, -10.0) * np.clip(1 - (p.side / MOUTH_HALF_WIDTH) ** 2, 0, 1) ** 0.5
    low = smoothstep(0.5 + (MOUTH_HEIGHT - p.y + d) / 30)
    return vector(7.0 * low * smoothstep((p.z - 5) / 50) * p.head, 0, 0)


EXPRESSION_FIELDS: dict[str, Field] = {
    "browInnerUp": lambda p: vector(0, 6.0 * _brow(p, 6, 20), 0),
    "browDown_L": lambda p: vector(-1.2, -5.0, 0.6) * (_brow(p, 24, 22) * p.half(1))[:, None],
    "browDown_R": lambda p: vector(1.2, -5.0, 0.6) * (_brow(p, 24, 22) * p.half(-1))[:, None],
    "browOuterUp_L": lambda p: vector(0, 6.0 * _brow(p, 46, 18) * p.half(1), 0),
    "browOuterUp_R": lambda p: vector(0, 6.0 * _brow(p, 46, 18) * p.half(-1), 0),
    "cheekPuff": _cheek_puff,
    "jawLeft": _jaw_left,
    "mouthSmile_L": lambda p: _smile(p, 1),
    "mouthSmile_R": lambda p: _smile(p, -1),
    "mouthFrown_L": lambda p: _frown(p, 1),
    "mouthFrown_R": lambda p: _frown(p, -1),
    "mouthPucker": _pucker,
    "mouthFunnel": _funnel,
    "mouthUpperUp": lambda p: vector(0, 5.5 * _lip_weight(p, True), 0.8 * _lip_weight(p, True)),
    "mouthLowerDown": lambda p: vector(0, -7.0 * _lip_weight(p, False), -0.5 * _lip_weight(p, False)),
    "mouthLeft": lambda p: vector(7.0 * _mouth_area(p, 36, 16), 0, 0),
    "noseSneer_L": lambda p: _sneer(p, 1),
    "noseSneer_R": lambda p: _sneer(p, -1),
}
LID_MODES: dict[str, Lids] = {
    "eyeBlink_L": replace(Lids(), upper_left=LID_CLOSURE, lower_left=LID_CLOSURE),
    "eyeBlink_R": replace(Lids(), upper_right=LID_CLOSURE, lower_right=LID_CLOSURE),
    "eyeWide_L": replace(Lids(), upper_left=7.2, lower_left=-4.8),
    "eyeWide_R": replace(Lids(), upper_right=7.2, lower_right=-4.8),
    "eyeSquint_L": replace(Lids(), upper_left=4.8, lower_left=-2.4),
    "eyeSquint_R": replace(Lids(), upper_right=4.8, lower_right=-2.4),
}
# What else moves with the lids of a mode.
LID_COMPANIONS = {"eyeBlink": _lowered_brow, "eyeWide": _raised_brow, "eyeSquint": _raised_cheek}


def expression_basis(mesh: HeadMesh, points: Array) -> Array:
    """(V, 3, E) mm at full activation: lid modes first, then the fields."""
    places = mesh_places(mesh, points)
    columns = []
    for name, lids in LID_MODES.items():
        moved = place_vertices(mesh, lids) - points
        sign = 1.0 if name.endswith("L") else -1.0
        moved = moved + carry_rings(mesh, LID_COMPANIONS[name[:-2]](places, sign))
        columns.append(moved)
    balls = np.concatenate(list(mesh.eyeballs.values()))
    for field in EXPRESSION_FIELDS.values():
        columns.append(carry_rings(mesh, field(places)))
    basis = np.stack(columns, -1)
    basis[balls] = 0
    return basis
