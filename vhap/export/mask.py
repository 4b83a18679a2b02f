"""The foreground mask: alpha map or the head's silhouette, faded out below the neck."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from vhap.data.pictures import shrink
from vhap.geometry.cameras import Camera
from vhap.render.types import Backend, Topology
from vhap.util.errors import InputError

NECK_POINTS = ("neck_left_point", "neck_right_point", "front_middle_bottom_point_boundary")
FADE_WINDOW = 0.03
"""Width of the faded edge in picture widths."""
SHORTEST_NECK = 0.35
"""Below this share of its length the neck's line is seen too much from its end to say where down is."""
SAMPLES = 2
"""Samples a pixel along each axis in a silhouette."""


@dataclass(frozen=True)
class NeckLine:
    """A line in a picture: a point on it and the unit normal towards the torso, (2,) px, y down."""

    point: np.ndarray
    normal: np.ndarray


def neck_point_ids(regions: Mapping[str, Tensor]) -> list[int]:
    """Vertex ids of the neck's left, right and the torso's front bottom point."""
    missing = [name for name in NECK_POINTS if name not in regions or len(regions[name]) == 0]
    if missing:
        raise InputError(
            f"expected a head with the points {', '.join(NECK_POINTS)}, found no {', '.join(missing)}; use another "
            "head, or --no-create_mask_from_mesh"
        )
    return [int(regions[name][0]) for name in NECK_POINTS]


def neck_line(vertices: Tensor, point_ids: list[int], camera: Camera) -> NeckLine:
    """The line through the torso's front bottom point, parallel to the neck's left and right points as projected.

    vertices (V, 3) metres in the world of the camera, which is a single one. Seen from the side the two points
    fall together; the line then stands across the way from the bottom point to the head's middle.
    """
    spots = torch.cat([vertices[point_ids], vertices.mean(0, keepdim=True)])
    pixels, depth = camera.project(spots)
    left, right, bottom, middle = pixels.double().cpu().numpy()
    full_px = float((spots[0] - spots[1]).norm() * camera.fx / depth[:2].mean().clamp(min=1e-3))
    along = right - left
    across = np.array([-along[1], along[0]])
    away = bottom - middle
    if np.linalg.norm(along) < SHORTEST_NECK * full_px or abs(across @ away) < 1e-6:
        across = away
    normal = across / max(float(np.linalg.norm(across)), 1e-9)
    return NeckLine(bottom, normal if normal @ away >= 0 else -normal)


@dataclass(frozen=True)
class Fade:
    """values (R, W) float32 in [0, 1] of the rows, which a mask is multiplied by; it stays in the others."""

    rows: slice
    values: np.ndarray


def fade_below(size: tuple[int, int], line: NeckLine, window_px: float) -> Fade:
    """1 on the head's side of the line, 0 beyond, linear over window_px across the line; size: (height, width).

    That is the step at the line, blurred by a box window_px wide.
    """
    height, width = size
    x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
    window_px = max(window_px, 1e-6)
    across, down = (x - line.point[0]) * line.normal[0], (y - line.point[1]) * line.normal[1]
    rows = np.flatnonzero(0.5 - (max(across[0], across[-1]) + down) / window_px < 1)
    touched = slice(int(rows[0]), int(rows[-1]) + 1) if len(rows) else slice(0, 0)
    values = np.clip(0.5 - (across[None] + down[touched, None]) / window_px, 0, 1).astype(np.float32)
    return Fade(touched, values)


class Silhouettes:
    """Masks of posed heads, drawn by a renderer, from one thread at a time."""

    def __init__(self, backend: Backend, topology: Topology) -> None:
        self.backend = backend
        self.topology = topology
        self.lock = threading.Lock()

    def draw(self, vertices: Tensor, camera: Camera) -> np.ndarray:
        """(V, 3) metres in the world, a single camera -> (H, W) float32 share of each pixel that is covered."""
        fine = replace(camera, height=camera.height * SAMPLES, width=camera.width * SAMPLES)
        scaled = {name: getattr(camera, name) * SAMPLES for name in ("fx", "fy", "cx", "cy")}
        clip = replace(fine, **scaled).to_clip(vertices)[None].float()
        with self.lock:
            mask = self.backend.rasterize(clip, self.topology, fine.height, fine.width).mask[0]
        covered = mask.cpu().numpy().astype(np.float32)
        return shrink(covered, (camera.height, camera.width))
