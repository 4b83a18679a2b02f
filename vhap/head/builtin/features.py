"""iBUG's 68 points and the iris centres on the built-in head, found by casting rays at known places of features."""

from __future__ import annotations

import numpy as np

from vhap.head.builtin.grid import Array, Index
from vhap.head.builtin.mesh import HeadMesh
from vhap.head.builtin.surface import EYE_HEIGHT, MOUTH_HEIGHT

# Places on the subject's left half, mm: (x, height over the eyes), in the order of the iBUG scheme's left half.
JAW = (
    (69, 11, -12),
    (68, 11, -33),
    (65, 16, -55),
    (59, 27, -76),
    (50, 41, -94),
    (39, 54, -106),
    (26, 65, -114),
    (13, 74, -119),
)
BROW = ((13.5, 24.0), (22.5, 26.6), (33, 28.3), (44, 28.0), (54, 21.0))
NOSE_RIDGE = ((0, 3), (0, -11), (0, -22), (0, -33))
NOSE_BASE = ((7, -48.5), (13, -46.5))
UPPER_LIP = ((4, 8.6), (14, 7.4))
LOWER_LIP = ((9, -9.8), (17, -7.3))


def build_ibug(mesh: HeadMesh, points: Array) -> tuple[Index, Array]:
    """face_ids (70,), barycentrics (70, 3): 68 points, then the iris centre on the picture's left and right."""
    skin_faces = np.arange(len(mesh.skin.faces))
    found: dict[int, tuple[int, Array]] = {}

    def place(index: int, start: tuple[float, float, float], towards: tuple[float, float, float]) -> None:
        found[index] = cast_ray(points, mesh.faces, skin_faces, np.array(start), np.array(towards))

    for k, (x, z, up) in enumerate(JAW):
        y = EYE_HEIGHT + up
        place(k, (-4.0 * x, y, 4.0 * z), (x, 0, -z))
        place(16 - k, (4.0 * x, y, 4.0 * z), (-x, 0, -z))
    place(8, (0, EYE_HEIGHT - 121, 300), (0, 0, -1))
    for index, x, y in _front_places():
        place(index, (x, y, 300), (0, 0, -1))
    for index, vertex in _slit_vertices(mesh):
        found[index] = vertex_place(mesh.faces, vertex)
    for index, name in ((68, "right_eyeball"), (69, "left_eyeball")):
        found[index] = vertex_place(mesh.faces, mesh.eyeballs[name][0])
    order = [found[index] for index in range(70)]
    return np.array([face for face, _ in order]), np.stack([weights for _, weights in order])


def _front_places() -> list[tuple[int, float, float]]:
    """(iBUG index, x, y) of the points on brows, nose and the lips' outer line."""
    places = []
    for k, (x, up) in enumerate(BROW):
        places += [(21 - k, -x, up), (22 + k, x, up)]
    places += [(27 + k, x, up) for k, (x, up) in enumerate(NOSE_RIDGE)]
    places.append((33, 0, -50.0))
    for k, (x, up) in enumerate(NOSE_BASE):
        places += [(32 - k, -x, up), (34 + k, x, up)]
    mouth = MOUTH_HEIGHT - EYE_HEIGHT
    for k, (x, up) in enumerate(UPPER_LIP):
        places += [(50 - k, -x, mouth + up), (52 + k, x, mouth + up)]
    for k, (x, up) in enumerate(LOWER_LIP):
        places += [(58 + k, -x, mouth + up), (56 - k, x, mouth + up)]
    places += [(51, 0, mouth + 7.6), (57, 0, mouth - 10.4)]
    return [(index, float(x), up + EYE_HEIGHT) for index, x, up in places]


def _slit_vertices(mesh: HeadMesh) -> list[tuple[int, int]]:
    """Points on the edges of eyes and lips: (iBUG index, vertex)."""
    loops = {slit.name: slit.loop for slit in mesh.skin.slits}
    half = len(loops["left_eye"]) // 2
    near, far = round(half * 0.32), round(half * 0.68)
    steps = [0, near, far, half, 2 * half - far, 2 * half - near]
    chosen = [*zip(range(36, 42), loops["right_eye"][steps]), *zip(range(42, 48), loops["left_eye"][steps])]
    mouth, half = loops["mouth"], len(loops["mouth"]) // 2
    middle, step = half // 2, round(half * 0.22)
    inner = [1, middle - step, middle, middle + step, half - 1]
    inner += [2 * half - middle - step, 2 * half - middle, 2 * half - middle + step]
    chosen += [(48, mouth[0]), (54, mouth[half]), *zip(range(60, 68), mouth[inner])]
    return [(index, int(vertex)) for index, vertex in chosen]


def vertex_place(faces: Index, vertex: int) -> tuple[int, Array]:
    face = int(np.flatnonzero((faces == vertex).any(1))[0])
    return face, (faces[face] == vertex).astype(np.float64)


def cast_ray(points: Array, faces: Index, face_ids: Index, start: Array, towards: Array) -> tuple[int, Array]:
    """Nearest front face on a ray and the barycentrics there (Moller and Trumbore 1997)."""
    a, b, c = (points[faces[face_ids, k]] for k in range(3))
    first, second = b - a, c - a
    across = np.cross(towards, second)
    det = (first * across).sum(-1)
    det = np.where(np.abs(det) < 1e-12, np.inf, det)
    offset = start - a
    u = (offset * across).sum(-1) / det
    q = np.cross(offset, first)
    v = (q @ towards) / det
    distance = (second * q).sum(-1) / det
    slack = 1e-9
    hit = (u >= -slack) & (v >= -slack) & (u + v <= 1 + slack) & (det > 0) & (distance > 0) & np.isfinite(det)
    assert hit.any(), "a landmark's ray must meet the head"
    best = int(np.where(hit, distance, np.inf).argmin())
    weights = np.clip(np.array([1 - u[best] - v[best], u[best], v[best]]), 0, 1)
    return int(face_ids[best]), weights / weights.sum()
