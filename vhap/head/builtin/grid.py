"""Topology of the built-in head: one quad grid with slits for eyes and mouth, pockets behind them, two eyeballs."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

from vhap.head.builtin import surface

Array = NDArray[np.float64]
Index = NDArray[np.int64]

INNER_EYE, MOUTH_COLUMN, OUTER_EYE, HALF_COLUMNS = 6, 9, 16, 39


@dataclass(frozen=True)
class Slit:
    """A cut along a grid row. loop (2 m,): subject's right corner, upper side, left corner, lower side."""

    name: str
    loop: Index
    columns: Index


@dataclass(frozen=True)
class SkinGrid:
    """azimuth, level (V,): surface coordinates; faces (F, 3); uvs (U, 2) in the unit square; uv_faces (F, 3)."""

    azimuth: Array
    level: Array
    faces: Index
    uvs: Array
    uv_faces: Index
    slits: tuple[Slit, ...]
    column_azimuths: Array
    row_levels: Array


def column_azimuths() -> Array:
    """(2 HALF_COLUMNS,) ascending from -pi; dense on the face, with columns at the eye and mouth corners."""
    keys = [0, INNER_EYE, MOUTH_COLUMN, OUTER_EYE, 20, 32, HALF_COLUMNS]
    angles = [0.0, surface.EYE_CORNERS[0], surface.MOUTH_CORNER, surface.EYE_CORNERS[1], *np.radians([52, 112, 180])]
    half = PchipInterpolator(keys, angles)(np.arange(HALF_COLUMNS + 1))
    return np.concatenate([-half[:0:-1], half[:-1]])


def row_levels() -> Array:
    """Levels of the grid rows from the torso rim up, the pole left out; dense at mouth and eyes."""
    eye, mouth = surface.EYE_HEIGHT, surface.MOUTH_HEIGHT
    heights = [-195, -126, -108, -84, -71, -58, -38, -13, 0, 13, 40]
    counts = [8, 7, 7, 6, 6, 6, 7, 6, 6, 8]
    pieces = [
        np.linspace(low, high, count, endpoint=False) for low, high, count in zip(heights[:-1], heights[1:], counts)
    ]
    levels = surface.level_of_height(np.concatenate(pieces) + eye)
    top = np.linspace(float(surface.level_of_height(40 + eye)), surface.TOP_LEVEL, 11, endpoint=False)
    levels = np.concatenate([levels, top])
    levels[np.abs(levels - surface.EYE_LEVEL).argmin()] = surface.EYE_LEVEL
    levels[np.abs(levels - surface.level_of_height(mouth)).argmin()] = surface.MOUTH_LEVEL
    return levels


def build_skin_grid() -> SkinGrid:
    azimuths, levels = column_azimuths(), row_levels()
    n_columns, n_rows = len(azimuths), len(levels)
    upper_ids = np.arange(n_rows * n_columns).reshape(n_rows, n_columns)
    lower_ids = upper_ids.copy()
    azimuth = np.tile(azimuths, n_rows)
    level = np.repeat(levels, n_columns)
    eye_row = int(np.abs(levels - surface.EYE_LEVEL).argmin())
    mouth_row = int(np.abs(levels - surface.MOUTH_LEVEL).argmin())
    front = int(np.abs(azimuths).argmin())
    spans = {
        "mouth": (mouth_row, front - MOUTH_COLUMN, front + MOUTH_COLUMN),
        "left_eye": (eye_row, front + INNER_EYE, front + OUTER_EYE),
        "right_eye": (eye_row, front - OUTER_EYE, front - INNER_EYE),
    }
    slits = []
    for name, (row, first, last) in spans.items():
        inner = np.arange(first + 1, last)
        copies = len(azimuth) + np.arange(len(inner))
        lower_ids[row, inner] = copies
        azimuth = np.concatenate([azimuth, azimuths[inner]])
        level = np.concatenate([level, np.full(len(inner), levels[row] - surface.SLIT_STEP)])
        level[upper_ids[row, inner]] += surface.SLIT_STEP
        loop = np.concatenate([upper_ids[row, first : last + 1], copies[::-1]])
        slits.append(Slit(name, loop, np.concatenate([np.arange(first, last + 1), inner[::-1]])))
    pole = len(azimuth)
    azimuth, level = np.append(azimuth, 0.0), np.append(level, surface.TOP_LEVEL)
    faces, uv_faces = _grid_faces(upper_ids, lower_ids, pole)
    return SkinGrid(azimuth, level, faces, _grid_uvs(azimuths, levels), uv_faces, tuple(slits), azimuths, levels)


def _split(corners: list[Index], flip: NDArray[np.bool_]) -> Index:
    """Quads (four corners, counter-clockwise) to triangles; flip takes the other diagonal, for a symmetric mesh."""
    a, b, c, d = (corner.reshape(-1) for corner in corners)
    other = flip.reshape(-1, 1)
    first = np.where(other, np.stack([a, b, c], -1), np.stack([a, b, d], -1))
    second = np.where(other, np.stack([a, c, d], -1), np.stack([b, c, d], -1))
    return np.concatenate([first, second])


def _grid_faces(upper_ids: Index, lower_ids: Index, pole: int) -> tuple[Index, Index]:
    n_rows, n_columns = upper_ids.shape
    right = np.roll(np.arange(n_columns), -1)
    corners = [upper_ids[:-1], upper_ids[:-1, right], lower_ids[1:, right], lower_ids[1:]]
    flip = np.broadcast_to(np.arange(n_columns) < n_columns // 2, (n_rows - 1, n_columns))
    faces = _split(corners, flip)
    cap = np.stack([upper_ids[-1], upper_ids[-1, right], np.full(n_columns, pole)], -1)
    uv_ids = np.arange(n_rows * (n_columns + 1)).reshape(n_rows, n_columns + 1)
    uv_corners = [uv_ids[:-1, :-1], uv_ids[:-1, 1:], uv_ids[1:, 1:], uv_ids[1:, :-1]]
    uv_faces = _split(uv_corners, flip)
    tips = n_rows * (n_columns + 1) + np.arange(n_columns)
    uv_cap = np.stack([uv_ids[-1, :-1], uv_ids[-1, 1:], tips], -1)
    return np.concatenate([faces, cap]), np.concatenate([uv_faces, uv_cap])


def _grid_uvs(azimuths: Array, levels: Array) -> Array:
    n_columns, n_rows = len(azimuths), len(levels)
    u = np.linspace(0, 1, n_columns + 1)
    v = np.linspace(0, 1, n_rows + 1)
    grid = np.stack(np.broadcast_arrays(u[None, :], v[:n_rows, None]), -1).reshape(-1, 2)
    tips = np.stack([(u[:-1] + u[1:]) / 2, np.ones(n_columns)], -1)
    return np.concatenate([grid, tips])


def pocket_faces(loop: Index, ring_ids: Index) -> Index:
    """Faces of a pocket behind a slit: quads from the loop (2 m,) to the first of the rings (K, 2 m) and on, and a
    cap that joins the last ring's upper and lower side."""
    rings = [loop, *ring_ids]
    faces = []
    for outer, inner in itertools.pairwise(rings):
        outer_next, inner_next = np.roll(outer, -1), np.roll(inner, -1)
        faces.append(np.stack([outer_next, outer, inner], -1))
        faces.append(np.stack([outer_next, inner, inner_next], -1))
    last, half = rings[-1], len(loop) // 2
    k = np.arange(half)
    upper_next, upper, lower, lower_next = last[k + 1], last[k], last[-k], last[-(k + 1)]
    faces.append(np.stack([upper_next, upper, lower], -1)[1:])
    faces.append(np.stack([upper_next, lower, lower_next], -1)[:-1])
    return np.concatenate(faces)


def polar_radius(polar: Array | float) -> Array | float:
    """Distance from the texture map's centre, in half its side: the iris gets more texels than the back."""
    return 0.92 * (polar / np.pi) ** 0.6


def eyeball(n_polar: int = 9, n_sectors: int = 24) -> tuple[Array, Index, Array, Index]:
    """A unit sphere whose pole looks along +z: vertices (V, 3), faces (F, 3), uvs (U, 2) in [0, 1], uv_faces (F, 3).

    The map is azimuthal about the pole; the back pole has one texture point for each sector.
    """
    polar = np.concatenate([np.linspace(0, 0.5, n_polar)[1:], np.linspace(0.5, 1, 5)[1:-1]]) * np.pi
    turn = 2 * np.pi * np.arange(n_sectors) / n_sectors
    ring = np.stack([np.cos(turn), np.sin(turn)], -1)
    body = [np.concatenate([ring * np.sin(p), np.full((n_sectors, 1), np.cos(p))], -1) for p in polar]
    vertices = np.concatenate([[[0.0, 0.0, 1.0]], *body, [[0.0, 0.0, -1.0]]])
    ids = 1 + np.arange(len(polar) * n_sectors).reshape(len(polar), n_sectors)
    after = np.roll(ids, -1, axis=1)
    back = len(vertices) - 1
    body_faces = [
        np.stack([np.zeros(n_sectors, dtype=np.int64), ids[0], after[0]], -1),
        np.stack([ids[:-1], ids[1:], after[1:]], -1).reshape(-1, 3),
        np.stack([ids[:-1], after[1:], after[:-1]], -1).reshape(-1, 3),
    ]
    ends = [np.stack([ids[-1], np.full(n_sectors, tip), after[-1]], -1) for tip in (back, 0)]
    ends[1][:, 1] = back + np.arange(n_sectors)
    half = turn + np.pi / n_sectors
    tips = 0.5 + 0.5 * np.stack([np.cos(half), np.sin(half)], -1)
    uvs = np.concatenate([[[0.5, 0.5]], *(0.5 + 0.5 * ring * polar_radius(p) for p in polar), tips])
    return (
        vertices,
        np.concatenate([*body_faces, ends[0]]),
        uvs,
        np.concatenate([*body_faces, ends[1]]),
    )
