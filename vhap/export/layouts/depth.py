"""Depth maps of a posed head."""

from __future__ import annotations

import threading

import numpy as np
import torch
from torch import Tensor

from vhap.geometry.cameras import Camera
from vhap.head.model import HeadModel
from vhap.render.topology import build_topology
from vhap.render.types import Backend


class DepthMaps:
    """Drawn by a renderer, from one thread at a time."""

    def __init__(self, backend: Backend, head: HeadModel) -> None:
        self.backend = backend
        self.topology = build_topology(head.faces, head.uv_faces)
        self.lock = threading.Lock()

    @torch.no_grad()
    def millimetres(self, vertices: Tensor, camera: Camera) -> np.ndarray:
        """(V, 3) metres in the world of a single camera -> (H, W) uint16: along the camera's axis, 0 for nothing."""
        depth = -camera.from_world(vertices)[..., 2].float()
        with self.lock:
            clip = camera.to_clip(vertices)[None].float()
            raster = self.backend.rasterize(clip, self.topology, camera.height, camera.width)
            values = self.backend.interpolate(depth[None, :, None], self.topology.faces, raster)
        picture = np.zeros(camera.height * camera.width, np.float32)
        picture[raster.pixels.cpu().numpy()] = values[:, 0].cpu().numpy()
        return np.rint(picture * 1000).clip(0, 65535).astype(np.uint16).reshape(camera.height, camera.width)
