"""Puts skin, pockets and eyeballs together into one mesh, and places its vertices for any opening of the lids."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vhap.head.builtin import grid, surface
from vhap.head.builtin.grid import Array, Index, SkinGrid, Slit
from vhap.head.builtin.surface import Lids

# Pockets of the mouth: outward from the slit, inward from the lip, share of the slit's width.
MOUTH_RINGS = ((1.2, 2.2, 0.985), (4.0, 5.0, 0.95), (8.0, 11.0, 0.9), (11.0, 20.0, 0.85), (9.0, 30.0, 0.7))
SOCKET_RINGS = (0.5, 1.0)
# Places of the parts in the texture: left, bottom, width, height.
ISLANDS = {
    "skin": (0.004, 0.2, 0.992, 0.796),
    "left_eyeball": (0.005, 0.005, 0.185, 0.185),
    "right_eyeball": (0.2, 0.005, 0.185, 0.185),
    "mouth": (0.4, 0.01, 0.3, 0.175),
    "left_eye": (0.72, 0.01, 0.12, 0.175),
    "right_eye": (0.86, 0.01, 0.12, 0.175),
}


@dataclass(frozen=True)
class HeadMesh:
    """Topology and texture map. Vertex order: skin grid, then the rings of each pocket, then the eyeballs.

    rings: slit name -> (K, 2 m) vertex ids; eyeballs: `left_eyeball`, `right_eyeball` -> vertex ids.
    """

    skin: SkinGrid
    rings: dict[str, Index]
    eyeballs: dict[str, Index]
    faces: Index
    uvs: Array
    uv_faces: Index

    @property
    def n_skin(self) -> int:
        return len(self.skin.azimuth)

    @property
    def n_vertices(self) -> int:
        return int(self.faces.max()) + 1


def build_mesh() -> HeadMesh:
    skin = grid.build_skin_grid()
    faces, uvs, uv_faces = [skin.faces], [_place(skin.uvs, "skin")], [skin.uv_faces]
    n_vertices, n_uvs = len(skin.azimuth), len(skin.uvs)
    rings = {}
    for slit in skin.slits:
        count = len(MOUTH_RINGS) if slit.name == "mouth" else len(SOCKET_RINGS)
        size = len(slit.loop)
        rings[slit.name] = n_vertices + np.arange(count * size).reshape(count, size)
        faces.append(grid.pocket_faces(slit.loop, rings[slit.name]))
        pocket_uvs, pocket_uv_faces = _pocket_uvs(size, count)
        uvs.append(_place(pocket_uvs, slit.name))
        uv_faces.append(pocket_uv_faces + n_uvs)
        n_vertices, n_uvs = n_vertices + count * size, n_uvs + len(pocket_uvs)
    eyeballs = {}
    for name, mirrored in (("left_eyeball", False), ("right_eyeball", True)):
        ball, ball_faces, ball_uvs, ball_uv_faces = grid.eyeball()
        order = [0, 2, 1] if mirrored else [0, 1, 2]
        ball_uvs = np.abs(ball_uvs - [1.0, 0.0]) if mirrored else ball_uvs
        eyeballs[name] = n_vertices + np.arange(len(ball))
        faces.append(ball_faces[:, order] + n_vertices)
        uvs.append(_place(ball_uvs, name))
        uv_faces.append(ball_uv_faces[:, order] + n_uvs)
        n_vertices, n_uvs = n_vertices + len(ball), n_uvs + len(ball_uvs)
    return HeadMesh(skin, rings, eyeballs, np.concatenate(faces), np.concatenate(uvs), np.concatenate(uv_faces))


def place_vertices(mesh: HeadMesh, lids: Lids | None = None) -> Array:
    """(V, 3) mm: the neutral head with this opening of the lids."""
    points = np.zeros((mesh.n_vertices, 3))
    points[: mesh.n_skin] = surface.head_surface(mesh.skin.azimuth, mesh.skin.level, lids)
    for slit in mesh.skin.slits:
        loop = points[slit.loop]
        place = _mouth_rings if slit.name == "mouth" else _socket_rings
        points[mesh.rings[slit.name]] = place(loop)
    for name, ids in mesh.eyeballs.items():
        side = 1 if name.startswith("left") else -1
        ball = grid.eyeball()[0] * [side, 1, 1]
        points[ids] = surface.EYE_CENTRE * [side, 1, 1] + surface.EYE_RADIUS * ball
    return points


def loop_side(slit: Slit) -> Array:
    """(2 m,) +1 on the upper side of a slit, -1 on the lower one, 0 at its corners."""
    half = len(slit.loop) // 2
    side = np.ones(len(slit.loop))
    side[half + 1 :] = -1
    side[[0, half]] = 0
    return side


def _mouth_rings(loop: Array) -> Array:
    half = len(loop) // 2
    span = 1 - (loop[:, 0] / np.abs(loop[:, 0]).max()) ** 2
    side = np.where(np.arange(len(loop)) <= half, 1.0, -1.0) * span**0.5
    rings = []
    for rise, depth, share in MOUTH_RINGS:
        ring = loop * [share, 1, 1]
        ring[:, 1] += side * rise
        ring[:, 2] -= depth * (0.55 + 0.45 * span)
        rings.append(ring)
    return np.stack(rings)


def _socket_rings(loop: Array) -> Array:
    inside = surface.lid_shell_depth(loop[:, 0], loop[:, 1]) - surface.EYE_CENTRE[2]
    floor = np.sqrt(np.maximum(inside**2 - surface.LID_RADIUS**2 + (surface.EYE_RADIUS - 0.7) ** 2, 0))
    depth = surface.EYE_CENTRE[2] + floor - loop[:, 2]
    return np.stack([loop + np.outer(share * depth, [0.0, 0.0, 1.0]) for share in SOCKET_RINGS])


def _pocket_uvs(size: int, count: int) -> tuple[Array, Index]:
    """The loop and its rings around a square's centre, from the border inwards."""
    half = size // 2
    turn = np.pi * np.arange(size) / half
    ring = np.stack([-np.cos(turn), np.sin(turn)], -1)
    radii = np.linspace(1.0, 0.3, count + 1)
    uvs = np.concatenate([0.5 + 0.5 * ring * radius for radius in radii])
    ids = np.arange((count + 1) * size).reshape(count + 1, size)
    return uvs, grid.pocket_faces(ids[0], ids[1:])


def _place(uvs: Array, island: str) -> Array:
    left, bottom, width, height = ISLANDS[island]
    return np.array([left, bottom]) + uvs * [width, height]
