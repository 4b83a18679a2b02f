"""First points of a scene: the head's vertices with the colours that the pictures show them in."""

from __future__ import annotations

import numpy as np
import torch

from vhap.export.layouts.scene import Scene, View
from vhap.geometry.similarities import scaling
from vhap.render.topology import build_topology
from vhap.util.choice import even_choice

VIEWS_ASKED = 12
MATTE = 0.9
"""Of pixels whose colours count as the person's."""


def scene_points(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Points (V, 3) float64 in the scene, as the middle picture has the head, and colours (V, 3) uint8 RGB: the mean of
    some pictures in which a vertex is visible; of those that none shows, that of all others."""
    sums, counts = np.zeros((scene.track.head.n_vertices, 3)), np.zeros(scene.track.head.n_vertices)
    for index in even_choice(len(scene.views), VIEWS_ASKED):
        visible, colours = visible_colours(scene, scene.views[index])
        sums[visible] += colours
        counts[visible] += 1
    mean = sums.sum(0) / max(counts.sum(), 1)
    colours = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], mean)
    middle = scene.views[len(scene.views) // 2].row
    return scene.vertices(middle), np.rint(colours * 255).clip(0, 255).astype(np.uint8)


@torch.no_grad()
def visible_colours(scene: Scene, view: View) -> tuple[np.ndarray, np.ndarray]:
    """Ids (N,) of the vertices that a picture shows, and their colours (N, 3) in [0, 1]."""
    shown = scene.read(view)
    picture, mask = shown.exact_picture(), shown.exact_mask()
    # The renderer's depths have bounds in metres.
    camera = view.camera.moved(scaling(1 / scene.unit))
    vertices = torch.from_numpy(scene.vertices(view.row) / scene.unit)
    head = scene.track.head
    clip = camera.to_clip(vertices)[None].float()
    raster = scene.job.backend.rasterize(clip, build_topology(head.faces, head.uv_faces), camera.height, camera.width)
    faces = raster.face_id[0].reshape(-1).long().unique().cpu()
    ids = head.faces[faces[faces >= 0]].unique()
    pixels = camera.project(vertices[ids])[0].floor().long().numpy()
    inside = ((pixels >= 0) & (pixels < [camera.width, camera.height])).all(1)
    ids, pixels = ids.numpy()[inside], pixels[inside]
    own = mask[pixels[:, 1], pixels[:, 0]] >= MATTE
    return ids[own], picture[pixels[own, 1], pixels[own, 0]]


def ply(points: np.ndarray, colours: np.ndarray) -> bytes:
    """Binary PLY of points (N, 3) with uint8 colours (N, 3)."""
    names = [f"property float {axis}" for axis in "xyz"] + [
        f"property uchar {name}" for name in ("red", "green", "blue")
    ]
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {len(points)}", *names, "end_header"]
    rows = np.zeros(len(points), [("place", "<f4", 3), ("colour", "u1", 3)])
    rows["place"], rows["colour"] = points, colours
    return ("\n".join(lines) + "\n").encode() + rows.tobytes()
