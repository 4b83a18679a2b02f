"""Procedural albedo of the built-in head: every texel is painted from its place on the neutral head."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter, map_coordinates

from vhap.head.builtin import surface
from vhap.head.builtin.grid import Array, SkinGrid
from vhap.head.builtin.mesh import ISLANDS
from vhap.head.builtin.surface import EYE_HEIGHT, MOUTH_HEIGHT, smoothstep

TEXTURE_SIZE = 768
IRIS_ANGLE = np.radians(25.3)
PUPIL_ANGLE = np.radians(10.5)
SEED = 20240229
NOISE_STEP, NOISE_SIZE, NOISE_PERIODS = 0.5, 512, 2

SKIN = np.array([0.80, 0.61, 0.51])
RED_SKIN = np.array([0.80, 0.46, 0.40])
LIP = np.array([0.70, 0.34, 0.33])
HAIR = np.array([0.20, 0.135, 0.09])
BROW = np.array([0.24, 0.16, 0.11])
LASH = np.array([0.13, 0.09, 0.08])
SCLERA = np.array([0.90, 0.88, 0.86])
IRIS = np.array([0.30, 0.40, 0.42])
MOUTH_INSIDE = np.array([0.16, 0.05, 0.05])


def offset_from_eyes(level: Array) -> Array:
    """Height of a level over the eye slit before the lids open, mm."""
    return surface.height_of_level(level) - EYE_HEIGHT


def lip_cover(side: Array, offset: Array) -> Array:
    """1 on the lips' red, 0 off it; offset (N,) mm above the mouth slit."""
    upper = PchipInterpolator([0, 3, 7, 15, 22, 27.5], [7.6, 8.4, 8.6, 6.8, 3.8, 0.3])(np.clip(side, 0, 27.5))
    lower = PchipInterpolator([0, 8, 16, 22, 27.5], [10.5, 10.0, 7.8, 4.6, 0.3])(np.clip(side, 0, 27.5))
    reach = np.where(offset > 0, upper, lower)
    return smoothstep((reach - np.abs(offset)) / 1.4 + 0.5) * (side < 27.8)


def hair_cover(x: Array, y: Array, z: Array) -> Array:
    """1 under hair, 0 off it: short, from the forehead around the ears to the nape."""
    azimuth = np.degrees(np.arctan2(np.abs(x), z + 10))
    line = PchipInterpolator([0, 25, 45, 62, 76, 88, 100, 118, 140, 180], [64, 62, 55, 38, 8, 6, 10, -35, -58, -62])
    ragged = 1.5 * np.sin(azimuth * 0.9) + np.sin(azimuth * 2.3)
    return smoothstep((y - EYE_HEIGHT - line(azimuth) + ragged) / 5 + 0.5) * (1 - ear_cover(x, y, z))


def ear_cover(x: Array, y: Array, z: Array) -> Array:
    """1 on the ears, 0 off them."""
    rho = np.hypot((y + 2) / 35, (z + 11 + 0.25 * (y + 2)) / 22)
    return smoothstep((1.1 - rho) / 0.15) * smoothstep((np.abs(x) - 70) / 5)


def paint_texture(grid: SkinGrid) -> Array:
    """(TEXTURE_SIZE, TEXTURE_SIZE, 3) sRGB in [0, 1], row 0 on top."""
    texture = np.broadcast_to(SKIN, (TEXTURE_SIZE, TEXTURE_SIZE, 3)).copy()
    for name, (left, bottom, width, height) in ISLANDS.items():
        margin = 3 / TEXTURE_SIZE
        columns = _texels(left - margin, left + width + margin)
        rows = TEXTURE_SIZE - 1 - _texels(bottom - margin, bottom + height + margin)
        u = ((columns + 0.5) / TEXTURE_SIZE - left) / width
        v = ((TEXTURE_SIZE - rows - 0.5) / TEXTURE_SIZE - bottom) / height
        u, v = np.meshgrid(u, v)
        texture[np.ix_(rows, columns)] = _paint_island(name, grid, u, v)
    return np.clip(texture, 0, 1)


def _texels(low: float, high: float) -> np.ndarray:
    first, last = int(np.floor(low * TEXTURE_SIZE)), int(np.ceil(high * TEXTURE_SIZE))
    return np.arange(max(first, 0), min(last, TEXTURE_SIZE))


def _paint_island(name: str, grid: SkinGrid, u: Array, v: Array) -> Array:
    if name == "skin":
        return _paint_skin(grid, u, v)
    if name.endswith("eyeball"):
        return _paint_eyeball(u, v)
    return _paint_pocket(name, u, v)


class _Noise:
    """Periodic smooth noise of unit variance on the cylinder about the head, so that it is as fine on the nape as on
    the nose. Texels of NOISE_STEP mm."""

    def __init__(self, around: Array, height: Array) -> None:
        self.places = np.stack([height / NOISE_STEP, around / (2 * np.pi) * NOISE_SIZE * NOISE_PERIODS])

    def __call__(self, size_mm: float, seed: int) -> Array:
        coarse = max(1, int(size_mm / NOISE_STEP / 2))
        white = np.random.default_rng(SEED + seed).standard_normal((NOISE_SIZE // coarse,) * 2)
        smooth = gaussian_filter(white, size_mm / NOISE_STEP / coarse, mode="wrap")
        places = self.places * (len(white) / NOISE_SIZE)
        return map_coordinates(smooth / smooth.std(), places, order=1, mode="grid-wrap")


def _mix(colour: Array, other: Array, weight: Array) -> Array:
    return colour + weight[..., None] * (other - colour)


def _paint_skin(grid: SkinGrid, u: Array, v: Array) -> Array:
    columns, rows = np.arange(len(grid.column_azimuths) + 1), np.arange(len(grid.row_levels) + 1)
    azimuth = np.interp(u * columns[-1], columns, np.append(grid.column_azimuths, np.pi))
    level = np.interp(v * rows[-1], rows, np.append(grid.row_levels, surface.TOP_LEVEL - 1e-3))
    places = surface.head_surface(azimuth.reshape(-1), level.reshape(-1)).reshape(*u.shape, 3)
    x, y, z = np.moveaxis(places, -1, 0)
    side, up, front = np.abs(x), y - EYE_HEIGHT, smoothstep(z / 40)
    noise = _Noise(azimuth, y)
    colour = SKIN * (1 + 0.028 * noise(7, 1) + 0.022 * noise(0.6, 2))[..., None]
    red = 0.45 * surface.bump(side, up, (44, -34), (20, 18)) + 0.35 * surface.bump(side, up, (0, -38), (15, 12))
    red = red + 0.3 * ear_cover(x, y, z)
    colour = _mix(colour, RED_SKIN, np.clip(red * (1 + 0.3 * noise(8, 3)), 0, 1))
    freckles = smoothstep((noise(0.8, 4) - 2.1) / 0.5) * (0.35 + 0.3 * surface.bump(side, up, (25, -25), (30, 20)))
    colour = _mix(colour, SKIN * [0.66, 0.55, 0.50], freckles)
    colour = _paint_eye_area(colour, azimuth, level, side, up, front, noise)
    colour = colour * _occlusion(places, side, up)[..., None] ** [0.85, 1.05, 1.1]
    offset = y - MOUTH_HEIGHT
    lips = lip_cover(side, offset) * front
    colour = _mix(colour, LIP * (1 + 0.05 * noise(0.7, 5))[..., None], 0.9 * lips)
    seam = np.exp(-((offset / 0.8) ** 2)) * smoothstep((28.5 - side) / 4) * front
    colour = _mix(colour, MOUTH_INSIDE * 1.6, 0.75 * seam)
    nostril = surface.bump(side, up, (7.2, -46.8), (4.2, 2.4)) * front
    colour = _mix(colour, MOUTH_INSIDE, np.clip(1.3 * nostril, 0, 0.92))
    strands = noise(0.5, 6) + _Noise(azimuth, y / 14)(0.6, 7)
    hair = HAIR * (1 + 0.15 * strands + 0.1 * noise(5, 8))[..., None]
    return _mix(colour, hair, hair_cover(x, y, z))


def _occlusion(places: Array, side: Array, up: Array) -> Array:
    """Ambient occlusion, roughly: less light from below, at the sides of the nose, in folds and under the lip."""
    normal = np.cross(np.gradient(places, axis=1), np.gradient(places, axis=0))
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9)
    downward = smoothstep((-normal[..., 1] - 0.2) / 0.8)
    groove = surface.bump(np.hypot((side - 12.5) / 9.5, (up + 40) / 8.5), up, (1.0, -42), (0.16, 9)) * (side > 12)
    nose_side = surface.bump(side, up, (12, -18), (4.5, 20))
    under_lip = surface.bump(side, up, (0, -85), (15, 3.5))
    fold = np.exp(-(((side - 24 - 0.28 * (-45 - up)) / 2.5) ** 2) - (((up + 52) / 11) ** 2))
    philtrum = surface.bump(side, up, (0, -55.5), (2.5, 5))
    tip = surface.bump(side, up, (0, -34), (5, 6)) + 0.6 * surface.bump(side, up, (0, -10), (3.5, 18))
    dark = 0.36 * downward + 0.4 * groove + 0.1 * nose_side + 0.2 * under_lip + 0.1 * fold + 0.1 * philtrum
    return (1 - np.clip(dark * (places[..., 2] > -20), 0, 0.7)) * (1 + 0.07 * tip * (places[..., 2] > 40))


def _paint_eye_area(
    colour: Array, azimuth: Array, level: Array, side: Array, up: Array, front: Array, noise: _Noise
) -> Array:
    offset, s = offset_from_eyes(level), surface.eye_parameter(azimuth)
    near = smoothstep((1.25 - np.abs(s)) / 0.25)
    shade = 0.35 * np.exp(-(((offset - 4) / 5) ** 2)) + 0.22 * np.exp(-(((offset + 5) / 5) ** 2))
    colour = _mix(colour, SKIN * [0.74, 0.62, 0.58], np.clip(shade * near, 0, 1))
    crease = 0.55 * np.exp(-(((offset - 7.0) / 1.0) ** 2)) * near
    colour = _mix(colour, SKIN * [0.5, 0.38, 0.34], crease)
    tips = smoothstep((1.06 - np.abs(s)) / 0.1)
    upper = smoothstep((2.3 - offset) / 0.8) * (offset > 0) * tips
    lower = 0.55 * smoothstep((1.0 + offset) / 0.6) * (offset <= 0) * tips
    colour = _mix(colour, LASH, np.clip(0.92 * upper + lower, 0, 1))
    middle = PchipInterpolator([8, 13, 28, 42, 50, 60], [21.5, 23.5, 26.3, 27.0, 23.5, 15.0])(np.clip(side, 8, 60))
    half = PchipInterpolator([8, 13, 28, 42, 50, 60], [2.0, 4.2, 4.0, 3.0, 2.2, 1.0])(np.clip(side, 8, 60))
    ends = smoothstep((side - 8.5) / 5) * smoothstep((59 - side) / 6)
    brow = smoothstep((half - np.abs(up - middle)) / 2.2 + 0.5) * ends * front
    hairs = 0.92 + 0.08 * np.clip(noise(0.5, 9), -1, 1)
    return _mix(colour, BROW, np.clip(brow * hairs, 0, 1))


def _paint_eyeball(u: Array, v: Array) -> Array:
    dx, dy = u - 0.5, v - 0.5
    polar = np.pi * (np.hypot(dx, dy) * 2 / 0.92) ** (1 / 0.6)
    turn = np.arctan2(dy, dx)
    colour = np.broadcast_to(SCLERA, (*u.shape, 3)).copy()
    veins = smoothstep((_Noise(turn, 14 * polar)(0.6, 10) - 1.3) / 0.6) * smoothstep((polar - 0.55) / 0.5)
    colour = _mix(colour, np.array([0.78, 0.45, 0.42]), 0.4 * veins)
    fibres = 1 + 0.18 * np.sin(23 * turn + 2 * np.sin(5 * turn)) + 0.35 * smoothstep((0.30 - polar) / 0.12)
    iris = np.clip(IRIS * fibres[..., None], 0, 1)
    rim = smoothstep((polar - IRIS_ANGLE + 0.09) / 0.09)
    iris = _mix(iris, IRIS * 0.3, 0.8 * rim)
    colour = _mix(colour, iris, smoothstep((IRIS_ANGLE - polar) / 0.03 + 0.5))
    return _mix(colour, np.array([0.03, 0.03, 0.035]), smoothstep((PUPIL_ANGLE - polar) / 0.03 + 0.5))


def _paint_pocket(name: str, u: Array, v: Array) -> Array:
    radius = 2 * np.hypot(u - 0.5, v - 0.5)
    outer = LIP if name == "mouth" else np.array([0.72, 0.46, 0.42])
    inner = MOUTH_INSIDE if name == "mouth" else np.array([0.45, 0.2, 0.18])
    start = 0.86 if name == "mouth" else 0.6
    colour = np.broadcast_to(inner, (*u.shape, 3)).copy()
    return _mix(colour, outer, 0.9 * smoothstep((radius - start) / 0.14))
