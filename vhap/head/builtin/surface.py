"""The skin of the built-in head as a function of two surface coordinates: a lofted skull and face, then features.

Lengths here are millimetres relative to the point between the ears. `azimuth` is the angle about the vertical
axis (0 = face, +pi/2 = the subject's left); `level` counts the cross-sections of SECTIONS from the torso rim up to
the crown. Sculpted by hand; the proportions were set by where
MediaPipe sees the features of adult faces and of this head.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

Array = NDArray[np.float64]

EYE_HEIGHT = 12.0
EYE_CENTRE = np.array([31.5, EYE_HEIGHT, 58.0])
EYE_RADIUS = 13.2
LID_RADIUS = 14.2
MOUTH_HEIGHT = EYE_HEIGHT - 71.0
MOUTH_HALF_WIDTH = 27.0
EYE_CORNERS = np.radians([13.2, 35.2])
MOUTH_CORNER = np.radians(18.3)
SLIT_STEP = 1e-6

# One cross-section a row: height in front and at the back (relative to the eyes), half width, front z, back z,
# exponent of the front's superellipse.
SECTIONS = np.array(
    [
        [-195, -172, 112, 40, -92, 2.3],
        [-180, -158, 78, 30, -88, 2.1],
        [-160, -136, 57, 28, -82, 2.0],
        [-141, -108, 53, 35, -78, 2.0],
        [-128, -82, 57, 54, -76, 2.0],
        [-122, -68, 63.5, 73, -78, 2.05],
        [-114, -58, 67.5, 81, -82, 2.1],
        [-102, -50, 69.5, 84, -84, 2.15],
        [-87, -44, 70.5, 85, -87, 2.2],
        [-71, -37, 71.5, 86.5, -90, 2.35],
        [-50, -30, 72, 88, -93, 2.5],
        [-35, -24, 73, 86, -96, 2.65],
        [-20, -15, 73.5, 82.5, -99, 2.5],
        [0, 0, 74.5, 80, -102, 2.2],
        [16, 16, 75, 85, -104, 2.0],
        [28, 28, 76, 86.5, -105, 2.0],
        [42, 42, 75.5, 83.5, -104.5, 2.0],
        [57, 57, 74, 76, -101, 2.0],
        [80, 80, 66, 59, -86, 2.05],
        [99, 99, 48.5, 35, -64, 2.0],
        [110, 110, 29.5, 13, -42, 2.0],
        [114.6, 114.6, 14, -2, -26, 2.0],
        [116, 116, 0, -14, -14, 2.0],
    ]
)
SECTIONS[:, :2] += EYE_HEIGHT
TOP_LEVEL = float(len(SECTIONS) - 1)
_LEVELS = np.arange(len(SECTIONS), dtype=np.float64)
_CURVES = PchipInterpolator(_LEVELS, SECTIONS, axis=0)
_AXIS = PchipInterpolator([0, 3, 6, 9, 17, TOP_LEVEL], [-25.0, -22.0, -4.0, 0.0, 0.0, -14.0])
_FINE_LEVELS = np.linspace(0, TOP_LEVEL, 4001)
_FINE_HEIGHTS = _CURVES(_FINE_LEVELS)[:, 0]


@dataclass(frozen=True)
class Lids:
    """Height of the lid margins over the line between the eye corners at mid-eye, mm (left = subject's left)."""

    upper_left: float = 5.6
    lower_left: float = -4.6
    upper_right: float = 5.6
    lower_right: float = -4.6


# Where the lids meet, in the same measure.
LID_CLOSURE = -2.2


def smoothstep(value: Array) -> Array:
    """0 below 0, 1 above 1, a cubic between."""
    t = np.clip(value, 0.0, 1.0)
    return t * t * (3 - 2 * t)


def bump(x: Array, y: Array, centre: tuple[float, float], size: tuple[float, float]) -> Array:
    """A Gaussian of height 1 with radii `size` (where it falls to 1 / e)."""
    return np.exp(-(((x - centre[0]) / size[0]) ** 2) - ((y - centre[1]) / size[1]) ** 2)


def level_of_height(height: Array | float) -> Array:
    """Level whose cross-section has this height in front (mm)."""
    return np.asarray(np.interp(height, _FINE_HEIGHTS, _FINE_LEVELS))


def height_of_level(level: Array) -> Array:
    """Height (mm) in front of the cross-section at this level."""
    return _CURVES(level)[..., 0]


EYE_LEVEL = float(level_of_height(EYE_HEIGHT))
MOUTH_LEVEL = float(level_of_height(MOUTH_HEIGHT))


def head_surface(azimuth: Array, level: Array, lids: Lids | None = None) -> Array:
    """(N,) azimuth in radians and (N,) level -> (N, 3) mm. A level just above or below a slit is on its upper or
    lower side."""
    shifted = _open_lids(azimuth, level, lids or Lids())
    points = _loft(azimuth, shifted)
    points = _add_face(points, level)
    points = _add_lid_shell(points)
    return _add_ears(points)


def eye_parameter(azimuth: Array) -> Array:
    """-1 at the inner eye corner, 1 at the outer one."""
    return (np.abs(azimuth) - EYE_CORNERS.mean()) / (np.diff(EYE_CORNERS)[0] / 2)


def _lid_profile(azimuth: Array) -> Array:
    s = np.clip(eye_parameter(azimuth), -1, 1)
    return (1 - s * s) ** 0.8 * (1 - 0.12 * s)


def _open_lids(azimuth: Array, level: Array, lids: Lids) -> Array:
    """Moves levels near the eye slits apart, so that the slits open to almonds."""
    height = _CURVES(level)[:, 0]
    offset = height - EYE_HEIGHT
    left = azimuth > 0
    upper = np.where(left, lids.upper_left, lids.upper_right)
    lower = np.where(left, lids.lower_left, lids.lower_right)
    above = level > EYE_LEVEL
    reach = np.where(above, 9.0, 8.0)
    margin = np.where(above, upper, lower) * _lid_profile(azimuth)
    tilt = 1.3 * np.clip(eye_parameter(azimuth), -1.2, 1.2) * smoothstep(2.2 - np.abs(eye_parameter(azimuth)))
    shift = margin * np.exp(-((offset / reach) ** 2)) + tilt * np.exp(-((offset / 14) ** 2))
    near = (np.abs(azimuth) < 1.0) & (np.abs(offset) < 40)
    return np.where(near, level_of_height(height + shift), level)


def _loft(azimuth: Array, level: Array) -> Array:
    front, back, width, z_front, z_back, exponent = _CURVES(level).T
    axis = _AXIS(level)
    faces_front = np.cos(azimuth) >= 0
    depth = np.maximum(np.where(faces_front, z_front - axis, axis - z_back), 1e-9)
    power = np.where(faces_front, exponent, 2.0)
    sine, cosine = np.abs(np.sin(azimuth)), np.abs(np.cos(azimuth))
    radius = ((sine / np.maximum(width, 1e-9)) ** power + (cosine / depth) ** power) ** (-1 / power)
    lift = smoothstep((np.abs(azimuth) - 0.18) / 1.55)
    y = front + (back - front) * lift
    return np.stack([radius * np.sin(azimuth), y, axis + radius * np.cos(azimuth)], -1)


def _add_face(points: Array, level: Array) -> Array:
    x, y, z = points.T
    side, up = np.abs(x), y - EYE_HEIGHT
    front = smoothstep(z / 30)
    relief = (
        -6.5 * bump(side, up, (31, 1), (13, 9.5))
        - 6.0 * bump(side, up, (17, 0), (6.5, 9))
        + 2.5 * bump(side, up, (27, 21), (20, 6))
        + 2.0 * bump(side, up, (48, -26), (14, 12))
        - 2.0 * bump(side, up, (47, -62), (13, 16))
        + 3.0 * bump(side, up, (0, -106), (14, 10))
        + 2.0 * bump(side, up, (0, -92), (18, 10))
        - 4.0 * bump(side, up, (38, 50), (20, 16))
        + 2.5 * bump(side, up, (0, -112), (26, 10))
        + 3.0 * bump(side, up, (0, -55), (15, 7))
    )
    relief = relief + _nose(side, up) + _lips(side, y, level)
    moved = points.copy()
    moved[:, 2] += relief * front
    return moved


def _nose(side: Array, up: Array) -> Array:
    ridge = PchipInterpolator(
        [-60, -53, -49, -45, -40, -35, -30, -22, -12, 0, 8, 18], [0, 1.5, 5, 14, 24, 27.5, 27, 23, 17, 9.5, 4, 0]
    )
    width = PchipInterpolator([-60, -45, -34, -22, -8, 18], [14.0, 12.5, 12.5, 10.5, 8.5, 11.0])
    height = ridge(np.clip(up, -60, 18))
    shape = np.exp(-((side / width(np.clip(up, -60, 18))) ** 2.2))
    wings = 8.5 * bump(side, up, (14.5, -40.5), (5.2, 6.2))
    nostrils = -4.0 * bump(side, up, (7.0, -46.5), (3.6, 2.4))
    return height * shape + wings + nostrils


def _lips(side: Array, y: Array, level: Array) -> Array:
    offset = y - MOUTH_HEIGHT
    s = np.clip(side / MOUTH_HALF_WIDTH, 0, 1.4)
    taper = smoothstep(1.15 - s)
    arch = 3.5 * np.exp(-((side / 26) ** 4) - ((offset + 2) / 20) ** 2)
    upper = 4.5 * np.exp(-(((offset - 5.0) / 4.6) ** 2)) * taper
    lower = 5.0 * np.exp(-(((offset + 7.0) / 5.2) ** 2)) * taper
    philtrum = -1.2 * bump(side, offset, (0, 13), (3.2, 6))
    roll = -3.0 * np.exp(-((offset / 1.7) ** 2)) * taper
    corner = -4.0 * bump(side, offset, (MOUTH_HALF_WIDTH, 0), (7, 7))
    return arch + upper + lower + philtrum + roll + corner


def lid_shell_depth(x: Array, y: Array) -> Array:
    """z (mm) of the sphere on which the lids lie; the eyeball centre's z beside it."""
    dx, dy = np.abs(x) - EYE_CENTRE[0], y - EYE_CENTRE[1]
    return EYE_CENTRE[2] + np.sqrt(np.maximum(LID_RADIUS**2 - dx**2 - dy**2, 0.0))


def _add_lid_shell(points: Array) -> Array:
    x, y, z = points.T
    near = (z > 20) & (np.hypot(np.abs(x) - EYE_CENTRE[0], y - EYE_CENTRE[1]) < 30)
    shell = lid_shell_depth(x, y)
    softness = 1.2
    gap = np.clip((z - shell) / softness, -30, 30)
    blended = shell + softness * np.logaddexp(0.0, gap)
    moved = points.copy()
    moved[:, 2] = np.where(near, blended, z)
    return moved


def _add_ears(points: Array) -> Array:
    x, y, z = points.T
    lean = (y + 2.0) * 0.25
    along, across = (y + 2.0) / 33.0, (z + 6.0 + lean) / 19.0
    rho = np.hypot(along, across)
    flap = smoothstep((1.05 - rho) / 0.45) * smoothstep((np.abs(x) - 45) / 15)
    rise = 11.0 - 7.0 * across + 2.0 * along
    helix = 3.0 * np.exp(-(((rho - 0.72) / 0.16) ** 2))
    concha = -7.0 * bump(across, along, (0.15, -0.1), (0.38, 0.38))
    moved = points.copy()
    moved[:, 0] += np.sign(x) * flap * (rise + helix + concha)
    moved[:, 2] -= flap * 7.0
    return moved
