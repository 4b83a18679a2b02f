"""The light of a finished run, told apart from the albedo by how its head turns."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from vhap.geometry.meshes import vertex_normals
from vhap.pipeline.rendered_frames import RunScene
from vhap.tracking.light_separation import PointViews, separate_light
from vhap.util.choice import even_choice
from vhap.util.optional import import_or_explain

MOST_PICTURES = 60
SAME_PLACE_M = 0.004
"""Between a vertex and the surface that its pixel shows."""
LEAST_FACING, LEAST_ALPHA = 0.3, 0.95
DETAIL = 0.015
"""Spread of the blur that takes spots and pores out, in sides of a square as large as the head."""
NOT_SKIN = ("eyeballs", "teeth", "teeth_upper", "teeth_lower", "lip_inside", "hair", "boundary")
NOT_ALIKE = ("lips_tight", "brows")
"""Of another colour than the rest of the face."""


@torch.no_grad()
def light_of_run(scene: RunScene) -> Tensor:
    """(9, 3) in world axes, as `separate_light` gives them. Eyes, teeth and hair are left out."""
    count = scene.model.n_vertices
    seen = torch.ones(count, dtype=torch.bool)
    for name in NOT_SKIN:
        seen[scene.model.regions.get(name, torch.empty(0, dtype=torch.long)).cpu()] = False
    alike = torch.zeros(count, dtype=torch.bool)
    alike[scene.model.regions["face"].cpu()] = True
    for name in NOT_ALIKE:
        alike[scene.model.regions.get(name, torch.empty(0, dtype=torch.long)).cpu()] = False
    places = [(row, view) for row in range(scene.n_rows) for view in range(scene.n_views)]
    chosen = [places[index] for index in even_choice(len(places), MOST_PICTURES)]
    views = [vertices_seen(scene, row, view, seen) for row, view in chosen]
    return separate_light(views, count, alike & seen).to(scene.device)


def vertices_seen(scene: RunScene, row: int, view: int, wanted: Tensor) -> PointViews:
    """The vertices, of those wanted (V,), that a picture shows unhidden and not from the side."""
    frame, camera, vertices = scene.load(row, view), scene.camera(view), scene.vertices(row)
    raster = scene.backend.rasterize(camera.to_clip(vertices[None]), scene.topology, camera.height, camera.width)
    surface = vertices.new_full((camera.height * camera.width, 3), float("inf"))
    surface[raster.pixels] = scene.backend.interpolate(vertices[None], scene.topology.faces, raster)
    points_px, _ = camera.project(vertices)
    column, line = points_px[:, 0].floor().long(), points_px[:, 1].floor().long()
    inside = (column >= 0) & (column < camera.width) & (line >= 0) & (line < camera.height)
    pixel = torch.where(inside, line * camera.width + column, 0)
    normals = vertex_normals(vertices, scene.model.faces)
    towards = torch.nn.functional.normalize(camera.centre() - vertices, dim=-1)
    kept = inside & wanted.to(inside.device) & ((normals * towards).sum(-1) > LEAST_FACING)
    kept &= (surface[pixel] - vertices).norm(dim=-1) < SAME_PLACE_M
    if frame.alpha is not None:
        kept &= frame.alpha.reshape(-1)[pixel] > LEAST_ALPHA
    ids = torch.nonzero(kept).flatten()
    colours = without_detail(frame.rgb[0].cpu().numpy(), raster.mask[0].cpu().numpy())
    return PointViews(ids.cpu(), torch.from_numpy(colours).reshape(-1, 3)[pixel[ids].cpu()], normals[ids].cpu())


def without_detail(rgb: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """(H, W, 3) blurred inside mask (H, W) bool: a pixel beside its point would count as another shading."""
    cv2 = import_or_explain("cv2", "pip install opencv-contrib-python")
    if not mask.any():
        return rgb
    sigma = DETAIL * float(np.sqrt(mask.sum()))
    weight = mask.astype(np.float32)
    total = cv2.GaussianBlur(rgb * weight[..., None], (0, 0), sigma)
    return total / np.maximum(cv2.GaussianBlur(weight, (0, 0), sigma), 1e-6)[..., None]
