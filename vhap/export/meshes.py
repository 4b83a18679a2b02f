"""OBJ files with the vertex order and the UV indices they were given, which trainers rely on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vhap.data.pictures import write_picture
from vhap.util.files import write_text


class ObjWriter:
    """Meshes of one topology; the part of the file that never changes is formatted once.

    faces (F, 3); uvs (U, 2), origin at the lower left, and uv_faces (F, 3), or both None.
    """

    def __init__(self, faces: np.ndarray, uvs: np.ndarray | None = None, uv_faces: np.ndarray | None = None) -> None:
        if uvs is None or uv_faces is None or len(uv_faces) == 0:
            self.tail = _rows("f %d %d %d\n", faces + 1)
            return
        corners = np.stack([faces + 1, uv_faces + 1], -1).reshape(len(faces), 6)
        self.tail = _rows("vt %.6f %.6f\n", uvs) + _rows("f %d/%d %d/%d %d/%d\n", corners)

    def text(self, vertices: np.ndarray, material_lines: Sequence[str] = ()) -> str:
        """The file's content; vertices (V, 3) metres, written to a micrometre."""
        head = "".join(f"{line}\n" for line in material_lines)
        return head + _rows("v %.6f %.6f %.6f\n", vertices) + self.tail

    def write(self, path: Path, vertices: np.ndarray) -> None:
        write_text(path, self.text(vertices))

    def write_textured(self, path: Path, vertices: np.ndarray, texture: np.ndarray) -> None:
        """The mesh with its texture beside it: NAME.obj, NAME.mtl and NAME.jpg.

        texture (H, W, 3) uint8 RGB, row 0 on top (v = 1).
        """
        picture, material = path.with_suffix(".jpg"), path.with_suffix(".mtl")
        write_picture(picture, texture)
        write_text(material, f"newmtl head\nKa 1 1 1\nKd 1 1 1\nKs 0 0 0\nillum 1\nmap_Kd {picture.name}\n")
        write_text(path, self.text(vertices, (f"mtllib {material.name}", "usemtl head")))


def _rows(form: str, values: np.ndarray) -> str:
    return (form * len(values)) % tuple(values.reshape(-1).tolist())
