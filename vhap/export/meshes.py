"""OBJ files with the vertex order and the UV indices they were given, which trainers rely on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vhap.data.pictures import write_picture
from vhap.util.files import write_bytes, write_text

EXACT_DECIMALS = 12
"""By which numbers of single precision can be multiplied without rounding."""
MOST_SCALED = 4e9


class ObjWriter:
    """Meshes of one topology; the part of the file that never changes is formatted once.

    faces (F, 3); uvs (U, 2), origin at the lower left, and uv_faces (F, 3), or both None. scale: units of the vertices
    in a metre; they are written to a micrometre.
    """

    def __init__(
        self,
        faces: np.ndarray,
        uvs: np.ndarray | None = None,
        uv_faces: np.ndarray | None = None,
        scale: float = 1.0,
    ) -> None:
        self.decimals = max(0, 6 - math.floor(math.log10(scale)))
        if uvs is None or uv_faces is None or len(uv_faces) == 0:
            self.tail = _rows("f %d %d %d\n", faces + 1).encode()
            return
        corners = np.stack([faces + 1, uv_faces + 1], -1).reshape(len(faces), 6)
        self.tail = (_rows("vt %.6f %.6f\n", uvs) + _rows("f %d/%d %d/%d %d/%d\n", corners)).encode()

    def content(self, vertices: np.ndarray, material_lines: Sequence[str] = ()) -> bytes:
        """Of the file; vertices (V, 3)."""
        head = "".join(f"{line}\n" for line in material_lines)
        return head.encode() + vertex_lines(vertices, self.decimals) + self.tail

    def write(self, path: Path, vertices: np.ndarray, material: Path | None = None) -> None:
        """material: the file of write_material, in the folder of the mesh."""
        lines = (f"mtllib {material.name}", "usemtl head") if material else ()
        write_bytes(path, self.content(vertices, lines))


def write_material(path: Path, texture: np.ndarray, suffix: str = ".png") -> None:
    """A material for any number of meshes, NAME.mtl, and its texture beside it, NAME.png or with another suffix.

    texture (H, W, 3) uint8 RGB, row 0 on top (v = 1).
    """
    picture = path.with_suffix(suffix)
    write_picture(picture, texture)
    write_text(path, f"newmtl head\nKa 1 1 1\nKd 1 1 1\nKs 0 0 0\nillum 1\nmap_Kd {picture.name}\n")


def split_at_seams(faces: np.ndarray, uv_faces: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One index for each place that is one vertex with one texture coordinate, as formats need that have no others.

    faces, uv_faces (F, 3). Returns vertex ids (N,), uv ids (N,), and the faces (F, 3) among the N.
    """
    pairs = np.stack([faces, uv_faces], -1).reshape(-1, 2)
    places, corners = np.unique(pairs, axis=0, return_inverse=True)
    return places[:, 0], places[:, 1], corners.reshape(faces.shape)


def vertex_lines(vertices: np.ndarray, decimals: int) -> bytes:
    """ "v x y z" of vertices (V, 3), each number as `%.{decimals}f` has it, in a tenth of the time."""
    values = np.asarray(vertices, np.float64)
    scaled = np.abs(values) * 10.0**decimals
    whole = np.rint(scaled)
    # Products of single precision are exact, and ties are rounded to even here and there.
    lost = 0.0 if np.array_equal(values, values.astype(np.float32)) else 4e-16 * scaled.max(initial=0) + 1e-300
    is_tie = np.abs(np.abs(scaled - whole) - 0.5) < lost
    if not 0 < decimals <= EXACT_DECIMALS or not scaled.max(initial=0) < MOST_SCALED or is_tie.any():
        return _rows("v " + " ".join([f"%.{decimals}f"] * 3) + "\n", values).encode()
    rest = whole.astype(np.uint32)
    digits = max(decimals + 1, len(str(int(rest.max(initial=0)))))
    width = digits + 3
    letters = np.empty((len(values), 3 * width + 2), np.uint8)
    written = np.ones(letters.shape, bool)
    letters[:, 0], letters[:, -1] = ord("v"), ord("\n")
    numbers, kept = (array[:, 1:-1].reshape(len(values), 3, width) for array in (letters, written))
    numbers[..., 0], numbers[..., 1], numbers[..., -decimals - 1] = ord(" "), ord("-"), ord(".")
    kept[..., 1] = np.signbit(values)
    for place in range(digits):
        column = width - 1 - place - (place >= decimals)
        if place > decimals:
            kept[..., column] = rest > 0
        rest, digit = np.divmod(rest, 10)
        numbers[..., column] = digit + ord("0")
    return letters[written].tobytes()


def _rows(form: str, values: np.ndarray) -> str:
    return (form * len(values)) % tuple(values.reshape(-1).tolist())
