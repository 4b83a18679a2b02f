"""A frame's curves as the Live Link Face app sends them: UDP packets of its version 6, which Unreal's plugin reads.

A packet is a byte 6; the device's and the subject's names, each a length (int32) and UTF-8; the time of the frame:
frame number (int32), part of a frame (float32), rate as numerator and denominator (int32 each); a byte 61; and 61
float32. All of it is big-endian. Without a face the packet ends after the rate.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from vhap.export.blendshapes import ANGLES, ARKIT, arkit_sources
from vhap.geometry.rotations import yaw_pitch_roll
from vhap.head.model import HeadParams, joint_rotations

VERSION = 6
SWAPPED = (("JawRight", "JawLeft"), ("MouthRight", "MouthLeft"))
"""The app's CSV has right before left, packets (EARFaceBlendShape of Unreal's plugin) left before right."""
COLUMNS = (*ARKIT, *ANGLES)
"""Of the CSV: 52 curves and nine angles."""
PORT = 11111


def _packet_columns() -> tuple[str, ...]:
    other = {name: partner for pair in SWAPPED for name, partner in (pair, pair[::-1])}
    return tuple(other.get(name, name) for name in COLUMNS)


PACKET_COLUMNS = _packet_columns()
_ORDER = [COLUMNS.index(name) for name in PACKET_COLUMNS]


def has_curves(expr_names: Sequence[str]) -> bool:
    """Whether any of a head's coefficients has a name of ARKit's."""
    return any(arkit_sources(expr_names).values())


def frame_curves(expr_names: Sequence[str], params: HeadParams) -> np.ndarray:
    """(61,) in the order of COLUMNS, of one frame (a leading axis of 1): coefficients in [0, 1], zero where the head
    has none of that name, and angles in radians, as `yaw_pitch_roll`: head (root and neck), left eye, right eye."""
    expr = params.expr[0].numpy()
    curves = [float(expr[found].mean()) if found else 0.0 for found in arkit_sources(expr_names).values()]
    rotations = joint_rotations(params)[0]
    parts = (rotations[0] @ rotations[1], rotations[3], rotations[4])
    angles = np.concatenate([yaw_pitch_roll(part).numpy() for part in parts])
    return np.concatenate([np.clip(curves, 0, 1), angles])


def packet(device: str, subject: str, time_s: float, rate: Fraction, curves: np.ndarray | None) -> bytes:
    """One frame's packet. curves: (61,) in the order of COLUMNS, None where there is no head. time_s: since the start;
    the frame's number counts at `rate` frames a second and starts anew after a day, as the app's does."""
    frames = time_s % 86400 * float(rate)
    number = math.floor(frames)
    parts = [bytes([VERSION])]
    for name in (device, subject):
        encoded = name.encode()
        parts += [struct.pack("!i", len(encoded)), encoded]
    parts.append(struct.pack("!if2i", number, frames - number, rate.numerator, rate.denominator))
    if curves is not None:
        parts.append(struct.pack(f"!B{len(_ORDER)}f", len(_ORDER), *curves[_ORDER]))
    return b"".join(parts)
