"""Hair that a head model does not have: a closed shell over the scalp that hangs down at the sides and at the back.

Strands run down the columns of a grid: from the top of the head over an ellipsoid to the hairline, and all but those
over the face on down to about the shoulders. A second grid below the first, and walls between their rims, close it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from vhap.geometry.meshes import vertex_normals
from vhap.head.model import HeadModel, pose, zero_params
from vhap.head.regions import complete_regions, faces_of_region
from vhap.util.errors import InputError

COLUMNS, CAP_ROWS, HANGING_ROWS = 192, 18, 32
VOLUME_M = np.array([0.007, 0.014, 0.018])
"""Over the ears, the top and the back of the head."""
THICKNESS_M = 0.008
BELOW_CHIN_M = 0.045
HAIRLINE_RAD, EQUATOR_RAD = np.radians(57.0), np.radians(90.0)
"""Angle from straight up at which hair ends over the forehead, and from which it hangs."""
FACE_RAD = np.radians((25.0, 74.0))
"""To either side of straight ahead: where the hairline begins to fall, and from where on hair hangs."""
WAVE_LENGTH_M, WAVE_M = 0.07, np.array([0.005, 0.004])
"""Along a strand; across it, in the surface and out of it."""
CLUMPS = ((13, 0.0022), (31, 0.0014), (57, 0.0008))
"""Of strands around the head: number, and height in metres."""
PARTING_M, PARTING_DEPTH_M = 0.006, 0.004
RIM_M = 0.008
"""By how much hair lies lower at its rim over the forehead."""
TAPER = 0.1
"""Share by which hanging hair comes in."""
NEEDED_REGIONS = ("hair", "crown", "ears", "face")
INSIDE = 0.4
"""Light that hair lets through to its inner side."""


@dataclass(frozen=True)
class Hair:
    """Fixed to the skull. vertices (N, 3), metres, on the person's neutral head; faces (F, 3) counter-clockwise from
    outside; uvs (U, 2), uv_faces (F, 3); texture (H, W, 3) albedo. skull_ids (K,): the head's vertices that it moves
    with; skull (K, 3): where these are on the neutral head."""

    vertices: Tensor
    faces: Tensor
    uvs: Tensor
    uv_faces: Tensor
    texture: Tensor
    skull_ids: Tensor
    skull: Tensor

    def posed(self, head: Tensor) -> Tensor:
        """The head's posed vertices (V, 3) -> (N, 3), by the rigid motion that is nearest to the skull's."""
        rest, now = self.skull.double(), head[self.skull_ids].double()
        centre, there = rest.mean(0), now.mean(0)
        u, _, vt = torch.linalg.svd((now - there).T @ (rest - centre))
        mirrored = torch.ones(3, dtype=u.dtype)
        mirrored[2] = torch.sign(torch.det(u @ vt))
        rotation = u @ (mirrored[:, None] * vt)
        return ((self.vertices.double() - centre) @ rotation.T + there).to(head)


@dataclass(frozen=True)
class _Grid:
    """points (R, C, 3) metres, rows from the top of the head down, columns around it; hangs (C,) bool."""

    points: np.ndarray
    hangs: np.ndarray


def make_hair(model: HeadModel, shape: Tensor, texture: Tensor, random: np.random.Generator) -> Hair:
    """Long hair for a person of shape (S,) and texture (H, W, 3), in the colour of the hair that is painted there."""
    model = complete_regions(model)
    neutral = pose(model, replace(zero_params(model), shape=shape))
    grid = _strands(model, neutral.double().numpy(), random)
    faces, uv_faces, uvs = _closed(grid)
    outer = torch.from_numpy(grid.points.reshape(-1, 3)).float()
    inner = outer - _thickness(grid) * vertex_normals(outer, _outer_faces(grid))
    used, corners = torch.unique(faces, return_inverse=True)
    skull_ids = model.regions["crown"]
    return Hair(
        vertices=torch.cat([outer, inner])[used].contiguous(),
        faces=corners.reshape(-1, 3),
        uvs=uvs,
        uv_faces=uv_faces,
        texture=_texture(texture.shape[0], texture.shape[1], _painted_colour(model, texture), random),
        skull_ids=skull_ids,
        skull=neutral[skull_ids],
    )


def require_regions(model: HeadModel) -> None:
    """InputError where the head does not say where hair is to be."""
    known = complete_regions(model).regions
    if missing := [name for name in NEEDED_REGIONS if name not in known]:
        raise InputError(
            f"expected a head with the regions {', '.join(NEEDED_REGIONS)} for its hair, found {model.name} without "
            f"{', '.join(missing)}; give --hair none or another --head"
        )


def _strands(model: HeadModel, head: np.ndarray, random: np.random.Generator) -> _Grid:
    centre, radii = _ellipsoid(model, head)
    azimuth = np.linspace(-np.pi, np.pi, COLUMNS, endpoint=False)
    from_face = np.clip((np.abs(azimuth) - FACE_RAD[0]) / (FACE_RAD[1] - FACE_RAD[0]), 0, 1)
    fallen = from_face * from_face * (3 - 2 * from_face)
    hairline = HAIRLINE_RAD + (EQUATOR_RAD - HAIRLINE_RAD) * fallen
    polar = hairline * np.linspace(0, 1, CAP_ROWS + 1)[:, None]
    around = np.stack([np.sin(azimuth), np.zeros(COLUMNS), np.cos(azimuth)], -1)
    up = np.array([0.0, 1.0, 0.0])
    cap = np.sin(polar)[..., None] * around + np.cos(polar)[..., None] * up
    end = head[model.regions["face"], 1].min() - BELOW_CHIN_M + 0.006 * _around(azimuth, (9, 23, 41), random)
    down = np.linspace(0, 1, HANGING_ROWS + 1)[1:, None]
    tapered = (1 - TAPER * down * down * (3 - 2 * down))[..., None] * around
    points = centre + radii * np.concatenate([cap, tapered])
    points[: CAP_ROWS + 1] -= (RIM_M * (1 - fallen) * np.linspace(0, 1, CAP_ROWS + 1)[:, None] ** 4)[..., None] * cap
    points[CAP_ROWS + 1 :, :, 1] = centre[1] + down * (end - centre[1])
    return _Grid(_waved(points, centre, azimuth, random), from_face == 1)


def _ellipsoid(model: HeadModel, head: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre (3,), level with the top of the ears, and semi-axes (3,) of the hair over the scalp, metres."""
    hair, ears = head[model.regions["hair"]], head[model.regions["ears"]]
    low, high = hair.min(0), hair.max(0)
    centre = np.array([(ears[:, 0].min() + ears[:, 0].max()) / 2, ears[:, 1].max(), (low[2] + high[2]) / 2])
    inside = np.array([np.abs(ears[:, 0] - centre[0]).max(), high[1] - centre[1], (high[2] - low[2]) / 2])
    radii = inside + VOLUME_M
    above = hair[hair[:, 1] > centre[1]]
    farthest = np.linalg.norm((above - centre) / (radii - VOLUME_M[0]), axis=1).max()
    return centre, radii * max(1.0, float(farthest))


def _waved(points: np.ndarray, centre: np.ndarray, azimuth: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Clumps of strands, their waves, and a parting. Displacements vanish at the top, where strands meet."""
    outwards = points - centre
    outwards[CAP_ROWS + 1 :, :, 1] = 0
    outwards /= np.linalg.norm(outwards, axis=-1, keepdims=True)
    sideways = np.stack([np.cos(azimuth), np.zeros(COLUMNS), -np.sin(azimuth)], -1)
    steps = np.linalg.norm(np.diff(points, axis=0), axis=-1)
    length = np.concatenate([np.zeros((1, COLUMNS)), np.cumsum(steps, 0)])
    grown = np.clip(length / 0.1, 0, 1.5)
    phase = 2 * np.pi * length / WAVE_LENGTH_M + 1.1 * _around(azimuth, (2, 4, 7), random)
    out = sum(height * _around(azimuth, (count,), random) for count, height in CLUMPS) * grown
    out = out + WAVE_M[1] * np.cos(phase) * grown
    is_front = (np.abs(azimuth) < np.pi / 2)[None]
    parting = np.exp(-(((points[..., 0] - centre[0]) / PARTING_M) ** 2)) * is_front
    parting[CAP_ROWS + 1 :] = 0
    out = out - PARTING_DEPTH_M * parting * np.clip(length / 0.03, 0, 1)
    across = WAVE_M[0] * np.sin(phase) * grown
    return points + out[..., None] * outwards + across[..., None] * sideways


def _around(azimuth: np.ndarray, counts: tuple[int, ...], random: np.random.Generator) -> np.ndarray:
    """(C,) about in [-1, 1]: waves that close around the head."""
    waves = [np.sin(count * azimuth + random.uniform(0, 2 * np.pi)) for count in counts]
    return np.sum(waves, 0) / np.sqrt(len(counts))


def _thickness(grid: _Grid) -> Tensor:
    """(R * C, 1) metres, thinner towards the ends."""
    rows, columns = grid.points.shape[:2]
    down = np.clip((np.arange(rows) - CAP_ROWS) / HANGING_ROWS, 0, 1)
    thickness = np.repeat(THICKNESS_M * (1 - 0.7 * down**2), columns)
    return torch.from_numpy(thickness).float()[:, None]


def _quads(grid: _Grid) -> tuple[np.ndarray, np.ndarray]:
    """Corners of the outer grid's cells as vertices and as texture coordinates, (Q, 4) each, counter-clockwise."""
    rows, columns = grid.points.shape[:2]
    vertex = np.arange(rows * columns).reshape(rows, columns)
    vertex[0] = vertex[0, 0]
    vertex = np.concatenate([vertex, vertex[:, :1]], 1)
    uv = np.arange(rows * (columns + 1)).reshape(rows, columns + 1)
    kept = np.ones((rows - 1, columns), bool)
    kept[CAP_ROWS:] = grid.hangs & np.roll(grid.hangs, -1)

    def corners(ids: np.ndarray) -> np.ndarray:
        return np.stack([ids[:-1, :-1], ids[1:, :-1], ids[1:, 1:], ids[:-1, 1:]], -1)[kept]

    return corners(vertex), corners(uv)


def _outer_faces(grid: _Grid) -> Tensor:
    return _triangles(_quads(grid)[0])


def _triangles(quads: np.ndarray) -> Tensor:
    return torch.from_numpy(np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])).long()


def _closed(grid: _Grid) -> tuple[Tensor, Tensor, Tensor]:
    """faces (F, 3), uv_faces (F, 3), uvs (U, 2) of outer and inner grid and the walls between. The inner vertices come
    after the outer ones; the outer side's texture is the upper half."""
    rows, columns = grid.points.shape[:2]
    vertex, uv = _quads(grid)
    n_vertices, n_uvs = rows * columns, rows * (columns + 1)
    edges = np.concatenate([vertex[:, [k, (k + 1) % 4]] for k in range(4)])
    uv_edges = np.concatenate([uv[:, [k, (k + 1) % 4]] for k in range(4)])
    known = set(map(tuple, edges.tolist()))
    is_rim = np.array([a != b and (b, a) not in known for a, b in edges.tolist()])
    rim, uv_rim = edges[is_rim][:, ::-1], uv_edges[is_rim][:, ::-1]
    walls = np.concatenate([rim, rim[:, ::-1] + n_vertices], 1)
    uv_walls = np.concatenate([uv_rim, uv_rim[:, ::-1] + n_uvs], 1)
    faces = _triangles(np.concatenate([vertex, vertex[:, ::-1] + n_vertices, walls]))
    uv_faces = _triangles(np.concatenate([uv, uv[:, ::-1] + n_uvs, uv_walls]))
    has_area = (faces != faces.roll(1, 1)).all(1)
    u, v = np.meshgrid(np.linspace(0.01, 0.99, columns + 1), np.linspace(0.98, 0.52, rows))
    outer = np.stack([u, v], -1).reshape(-1, 2)
    uvs = torch.from_numpy(np.concatenate([outer, outer - [0, 0.5]])).float()
    return faces[has_area], uv_faces[has_area], uvs


def _painted_colour(model: HeadModel, texture: Tensor) -> np.ndarray:
    """(3,): mean albedo of the hair that is painted on the scalp."""
    uvs = model.uvs[model.uv_faces[faces_of_region(model, "hair")].unique()]
    height, width = texture.shape[:2]
    columns, rows = (uvs[:, 0] * width).long(), ((1 - uvs[:, 1]) * height).long()
    return texture[rows.clamp(0, height - 1), columns.clamp(0, width - 1)].mean(0).double().numpy()


def _texture(height: int, width: int, colour: np.ndarray, random: np.random.Generator) -> Tensor:
    """(H, W, 3): streaks along the strands, lighter towards the tips; the inner side, the lower half, is darker."""
    half = height // 2
    streaks = np.zeros((half, width))
    for count, strength in ((24, 0.5), (90, 0.7), (300, 0.8)):
        coarse = random.standard_normal((7, count))
        at = np.linspace(0, count - 1, width)
        wide = np.stack([np.interp(at, np.arange(count), row) for row in coarse])
        share = np.linspace(0, len(coarse) - 1, half)
        low = np.minimum(share.astype(int), len(coarse) - 2)
        mix = (share - low)[:, None]
        streaks += strength * ((1 - mix) * wide[low] + mix * wide[low + 1])
    tips = np.linspace(0.85, 1.2, half)[:, None]
    warm = np.array([1.03, 1.0, 0.95]) ** streaks[..., None]
    outer = colour * warm * (tips * np.exp(0.22 * streaks))[..., None]
    whole = np.concatenate([outer, INSIDE * outer, np.repeat(INSIDE * outer[-1:], height - 2 * half, 0)])
    return torch.from_numpy(whole).float().clamp(0.01, 0.99)
