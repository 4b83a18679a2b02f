"""Colours of a head's vertices: what its texture, its light, its shape and its errors look like on it.

Colours are (V, 3) sRGB in [0, 1].
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from vhap.data.sample import unit_floats
from vhap.evaluate.frame_pass import RenderedFrame
from vhap.evaluate.overlay import FULL_SCALE
from vhap.geometry.meshes import vertex_normals
from vhap.head.model import HeadModel
from vhap.render.shading import shade

MODES = ("render", "albedo", "shading", "normals", "error", "shape")
TEXTURED = ("render", "albedo")
DISTANCE = "distance"
"""Between two runs: a mode where both have one topology."""
GREY, UNSEEN = 0.72, 0.55
HIGHLIGHT, HIGHLIGHT_SHARE = np.array([0.1, 0.75, 0.35]), 0.6
BLURRED_SIDE = 256
"""Of the texture that vertices sample: they stand for the texels around them."""


def vertex_albedo(model: HeadModel, texture: np.ndarray) -> np.ndarray:
    """The texture's colour around every vertex. texture (R, R, 3) uint8, row 0 on top."""
    side = min(BLURRED_SIDE, *texture.shape[:2])
    small = cv2.resize(texture, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    uvs = np.zeros((model.n_vertices, 2), np.float32)
    uvs[model.faces.cpu().numpy()] = model.uvs.cpu().numpy()[model.uv_faces.cpu().numpy()]
    columns, rows = uvs[:, 0] * side - 0.5, (1 - uvs[:, 1]) * side - 0.5
    sampled = cv2.remap(small, columns[None], rows[None], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return sampled[0].astype(np.float64)


def lit(albedo: np.ndarray, shading: np.ndarray) -> np.ndarray:
    return np.clip(albedo * shading, 0, 1)


def vertex_shading(normals: Tensor, lights: Tensor | None) -> np.ndarray:
    """(V, 3) factors on the albedo; lights (9, 3), None for a light of 1."""
    if lights is None:
        return np.ones(normals.shape)
    return shade(normals, lights).clamp(min=0).cpu().numpy().astype(np.float64)


def shading_colours(shading: np.ndarray) -> np.ndarray:
    """A shading of 1 is mid grey."""
    return np.clip(shading / 2, 0, 1)


def normal_colours(normals: Tensor, rotation: Tensor) -> np.ndarray:
    """In the axes of a camera, rotation (3, 3) from the world: x right, y up, z towards it, [-1, 1] as [0, 1]."""
    return ((normals @ rotation.T + 1) / 2).clamp(0, 1).cpu().numpy().astype(np.float64)


def shape_colours(normals: Tensor, rotation: Tensor) -> np.ndarray:
    """Grey under a lamp above a camera."""
    lamp = torch.nn.functional.normalize(normals.new_tensor([0.25, 0.45, 0.85]), dim=0)
    lambert = (normals @ rotation.T @ lamp).cpu().numpy().astype(np.float64)
    return np.tile((GREY * (0.35 + 0.65 * np.clip(lambert, 0, 1)))[:, None], 3)


def vertex_errors(frame: RenderedFrame) -> np.ndarray:
    """(V,) mean absolute colour difference in [0, 1] of the rendered head and its picture, where each vertex stands in
    it; NaN for vertices that it does not show."""
    raster, window = frame.rendering.raster, frame.window
    shown = unit_floats(np.ascontiguousarray(window.of(frame.picture.rgb)))
    difference = (frame.rendering.picture[0] - shown.to(frame.vertices.device)).abs().mean(-1)
    faces = raster.face_id[0][raster.mask[0]].long().unique()
    vertex_ids = frame.scene.model.faces[faces].unique()
    corner = torch.tensor([window.left, window.top], device=frame.vertices.device)
    pixels = frame.points_px[vertex_ids].floor().long() - corner
    height, width = difference.shape
    inside = (pixels[:, 0] >= 0) & (pixels[:, 0] < width) & (pixels[:, 1] >= 0) & (pixels[:, 1] < height)
    errors = difference.new_full((len(frame.vertices),), torch.nan)
    errors[vertex_ids[inside]] = difference[pixels[inside, 1], pixels[inside, 0]]
    return errors.cpu().numpy().astype(np.float64)


def heat(values: np.ndarray, full_scale: float = FULL_SCALE) -> np.ndarray:
    """(V,) from 0 to full_scale as black, red and yellow; NaN as grey."""
    level = np.rint(np.clip(np.nan_to_num(values) / full_scale, 0, 1) * 255).astype(np.uint8)
    colours = cv2.applyColorMap(level[:, None], cv2.COLORMAP_INFERNO)[:, 0, ::-1] / 255.0
    return np.where(np.isnan(values)[:, None], UNSEEN, colours)


def distances(first: np.ndarray, second: np.ndarray, aligned: bool) -> np.ndarray:
    """(V,) metres between two meshes (V, 3) of one topology. aligned: after the rigid motion that brings the second
    nearest to the first (Kabsch 1976)."""
    if aligned:
        centre, other = first.mean(0), second.mean(0)
        u, _, vt = np.linalg.svd((second - other).T @ (first - centre))
        mirror = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
        second = (second - other) @ (u @ mirror @ vt) + centre
    return np.linalg.norm(first - second, axis=1)


def highlighted(colours: np.ndarray, vertex_ids: np.ndarray) -> np.ndarray:
    """With some vertices in green."""
    marked = colours.copy()
    marked[vertex_ids] = (1 - HIGHLIGHT_SHARE) * colours[vertex_ids] + HIGHLIGHT_SHARE * HIGHLIGHT
    return marked


def normals_of(model: HeadModel, vertices: Tensor) -> Tensor:
    """(V, 3) unit."""
    return vertex_normals(vertices, model.faces)
