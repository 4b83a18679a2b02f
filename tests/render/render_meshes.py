"""Small meshes and cameras that the render tests share."""

from __future__ import annotations

import torch
import trimesh
from torch import Tensor

from vhap.geometry.cameras import camera_from_focal
from vhap.render.topology import build_topology
from vhap.render.types import Topology

QUAD_FACES = torch.tensor([[0, 1, 2], [0, 2, 3]])
QUAD_UVS = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])


def sphere(subdivisions: int = 2, radius: float = 0.1) -> tuple[Tensor, Topology]:
    """An icosphere around the origin; its uv faces equal its faces."""
    mesh = trimesh.creation.icosphere(subdivisions, radius)
    faces = torch.tensor(mesh.faces)
    return torch.tensor(mesh.vertices, dtype=torch.float32), build_topology(faces, faces)


def clip_of(vertices: Tensor, height: int = 48, width: int = 56, focal: float = 3.0) -> Tensor:
    """Vertices (..., V, 3) before the uncalibrated camera one metre away."""
    camera = camera_from_focal(torch.tensor(focal, dtype=vertices.dtype), height, width)
    return camera.to_clip(vertices)


def square(left: float, top: float, right: float, bottom: float, height: int, width: int, depth: float = 1.0) -> Tensor:
    """(1, 4, 4) clip corners of an upright rectangle given in pixels, counter-clockwise from the lower left."""
    x = torch.tensor([left, right, right, left]) * 2 / width - 1
    y = 1 - torch.tensor([bottom, bottom, top, top]) * 2 / height
    z = torch.full((4,), 0.5)
    return (torch.stack([x, y, z, torch.ones(4)], -1) * depth)[None]


def disc(radius_px: Tensor, height: int, width: int, sectors: int = 64) -> tuple[Tensor, Topology]:
    """A fan around the picture's centre, in clip space (1, sectors + 1, 4)."""
    angle = torch.arange(sectors, dtype=radius_px.dtype) * (2 * torch.pi / sectors) + 0.02
    x, y = angle.cos() * radius_px * 2 / width, angle.sin() * radius_px * 2 / height
    rim = torch.stack([x, y, torch.full_like(x, 0.5), torch.ones_like(x)], -1)
    centre = torch.tensor([[0, 0, 0.5, 1]], dtype=radius_px.dtype)
    index = torch.arange(sectors)
    faces = torch.stack([torch.full_like(index, sectors), index, (index + 1) % sectors], 1)
    return torch.cat([rim, centre])[None], build_topology(faces, faces)


def tumbling_heads(batch: int = 3, subdivisions: int = 2) -> tuple[Tensor, Topology]:
    """(B, V, 4) clip positions of dented spheres that occlude themselves, partly off the picture."""
    generator = torch.Generator().manual_seed(0)
    vertices, topology = sphere(subdivisions)
    x, y, z = vertices.unbind(-1)
    dented = vertices * (1 + 0.5 * torch.sin(40 * x) * torch.cos(30 * y + 10 * z))[:, None]
    shift = torch.rand(batch, 1, 3, generator=generator) * 0.12 - 0.06
    return clip_of(dented + shift), topology
