"""A mesh in the scene that changes many times a second: colours at its vertices, or a texture."""

from __future__ import annotations

import json
import struct
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vhap.evaluate.jpeg import encode_jpeg
from vhap.export.meshes import split_at_seams
from vhap.viewer.screen_colours import before_tone_mapping, to_srgb

if TYPE_CHECKING:
    from viser import GlbHandle, ViserServer

SETTLE_S = 0.06
"""What a browser takes to read a mesh, before which it is not shown: nothing would be there meanwhile."""
BRIGHTEST = 8.0
"""Of a texture's texels before tone mapping, which are stored as shares of it."""
LEAST = 0.02
"""Of a texture's colour by which one is divided."""
TEXTURE_QUALITY = 90
MAGIC, JSON_CHUNK, BINARY_CHUNK = 0x46546C67, 0x4E4F534A, 0x004E4942
FLOAT, UINT16, UINT32, ARRAY, ELEMENTS = 5126, 5123, 5125, 34962, 34963


@dataclass(frozen=True)
class Surface:
    """What stays the same of a mesh. vertex_ids (N,): of the head's vertices that are sent; faces (F, 3) among these.
    uvs (N, 2) with the origin at the upper left, and texture, a JPEG: both None for colours alone."""

    vertex_ids: np.ndarray
    faces: np.ndarray
    uvs: np.ndarray | None = None
    texture: bytes | None = None


def plain_surface(faces: np.ndarray, n_vertices: int) -> Surface:
    """Of a mesh whose colours stand at its vertices."""
    return Surface(np.arange(n_vertices), faces)


def textured_surface(
    faces: np.ndarray, uvs: np.ndarray, uv_faces: np.ndarray, texture: np.ndarray, longest_side: int
) -> Surface:
    """texture (R, R, 3) uint8, row 0 on top, sent at most longest_side large; uvs (U, 2), origin at the lower left."""
    vertex_ids, uv_ids, split_faces = split_at_seams(faces, uv_faces)
    stored = np.clip(before_tone_mapping(texture / 255.0) / BRIGHTEST, 0, 1)
    jpeg = encode_jpeg(np.rint(to_srgb(stored) * 255).astype(np.uint8), longest_side, TEXTURE_QUALITY)
    flipped = np.stack([uvs[uv_ids, 0], 1 - uvs[uv_ids, 1]], -1)
    return Surface(vertex_ids, split_faces, flipped.astype(np.float32), jpeg)


def painted(surface: Surface, rgb: np.ndarray, texture_rgb: np.ndarray | None = None) -> np.ndarray:
    """(N, 3) float32 colours of the surface's vertices as the material multiplies them.

    rgb (V, 3) sRGB in [0, 1]: what is to be seen. texture_rgb (V, 3): the texture's own colour there, which the
    vertices of a textured surface turn into rgb; between them the texture's detail stays.
    """
    wanted = before_tone_mapping(rgb)
    if surface.texture is not None:
        assert texture_rgb is not None
        wanted = BRIGHTEST * wanted / np.maximum(before_tone_mapping(texture_rgb), LEAST)
    return wanted[surface.vertex_ids].astype(np.float32)


def glb(surface: Surface, vertices: np.ndarray, colours: np.ndarray) -> bytes:
    """Binary glTF without light. vertices (V, 3); colours (N, 3) linear, as `painted` gives them."""
    positions = vertices[surface.vertex_ids].astype(np.float32)
    index_type = np.uint16 if len(positions) < 1 << 16 else np.uint32
    views: list[tuple[bytes, int | None]] = [
        (positions.tobytes(), ARRAY),
        (np.ascontiguousarray(colours, np.float32).tobytes(), ARRAY),
        (surface.faces.astype(index_type).tobytes(), ELEMENTS),
    ]
    accessors = [
        {"bufferView": 0, "componentType": FLOAT, "count": len(positions), "type": "VEC3",
         "min": positions.min(0).tolist(), "max": positions.max(0).tolist()},
        {"bufferView": 1, "componentType": FLOAT, "count": len(positions), "type": "VEC3"},
        {"bufferView": 2, "componentType": UINT16 if index_type == np.uint16 else UINT32, "type": "SCALAR",
         "count": surface.faces.size},
    ]  # fmt: skip
    attributes = {"POSITION": 0, "COLOR_0": 1}
    material: dict = {"extensions": {"KHR_materials_unlit": {}}, "pbrMetallicRoughness": {}, "doubleSided": True}
    tree: dict = {"asset": {"version": "2.0"}, "extensionsUsed": ["KHR_materials_unlit"]}
    if surface.texture is not None and surface.uvs is not None:
        attributes["TEXCOORD_0"] = 3
        accessors.append({"bufferView": 3, "componentType": FLOAT, "count": len(positions), "type": "VEC2"})
        views += [(surface.uvs.tobytes(), ARRAY), (surface.texture, None)]
        material["pbrMetallicRoughness"] = {"baseColorTexture": {"index": 0}}
        tree |= {"images": [{"bufferView": 4, "mimeType": "image/jpeg"}], "textures": [{"source": 0}]}
    tree |= {
        "scene": 0, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}], "materials": [material],
        "meshes": [{"primitives": [{"attributes": attributes, "indices": 2, "material": 0}]}], "accessors": accessors,
    }  # fmt: skip
    return _packed(tree, views)


def _packed(tree: dict, views: list[tuple[bytes, int | None]]) -> bytes:
    """The file's two chunks, each part at a multiple of four bytes."""
    binary, described = b"", []
    for content, target in views:
        view = {"buffer": 0, "byteOffset": len(binary), "byteLength": len(content)}
        described.append(view if target is None else {**view, "target": target})
        binary += content + b"\0" * (-len(content) % 4)
    tree = {**tree, "bufferViews": described, "buffers": [{"byteLength": len(binary)}]}
    text = json.dumps(tree, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 4)
    header = struct.pack("<3I", MAGIC, 2, 12 + 8 + len(text) + 8 + len(binary))
    return (
        header
        + struct.pack("<2I", len(text), JSON_CHUNK)
        + text
        + struct.pack("<2I", len(binary), BINARY_CHUNK)
        + binary
    )


class MeshNode:
    """The node NAME with two meshes below it, of which one is seen while the browser reads the other."""

    def __init__(self, server: ViserServer, name: str, settle_s: float = SETTLE_S) -> None:
        self.server, self.name, self.settle_s = server, name, settle_s
        self.top = server.scene.add_frame(name, show_axes=False)
        self.slots: list[GlbHandle] = []
        self.current = -1

    def show(self, content: bytes) -> None:
        """Puts a mesh, as `glb` makes it, in the place of the one that is seen."""
        following = (self.current + 1) % 2
        if following == len(self.slots):
            self.slots.append(self._slot(following, content))
        else:
            self.slots[following].glb_data = content
        if self.current >= 0:
            time.sleep(self.settle_s)
            with self.server.atomic():
                self.slots[following].visible = True
                self.slots[self.current].visible = False
        self.current = following

    @property
    def shown(self) -> GlbHandle | None:
        """The mesh that is seen."""
        return self.slots[self.current] if self.slots else None

    def _slot(self, number: int, content: bytes) -> GlbHandle:
        return self.server.scene.add_glb(
            f"{self.name}/{number}", content, visible=number == 0, cast_shadow=False, receive_shadow=False
        )
