"""What the kernels are timed and checked on: meshes, and the six rendering operations on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import trimesh
from kernel_costs import CHANNELS, Sizes
from torch import Tensor

from vhap.geometry.cameras import Camera, camera_from_focal
from vhap.geometry.meshes import vertex_normals
from vhap.head.builtin import load_builtin
from vhap.head.model import pose, zero_params
from vhap.render.backend import get_backend
from vhap.render.topology import build_topology
from vhap.render.types import Backend, Raster, Topology

SMALL = (48, 56)
"""Height and width at which float64 is compared: the reference keeps a number for every triangle and pixel."""
MOST_YAW_RAD = 0.9
MOST_POINTS = 4000


@dataclass(frozen=True)
class KernelScene:
    """vertices (B, V, 3) metres; camera: the one, with leading axis 1; clip (B, V, 4); normals (B, V, 3);
    uvs (1, U, 2); texture (1, R, R, 3); pictures (B, H, W, 3); lights (9, 3)."""

    vertices: Tensor
    camera: Camera
    clip: Tensor
    topology: Topology
    raster: Raster
    normals: Tensor
    uvs: Tensor
    texture: Tensor
    pictures: Tensor
    lights: Tensor

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.pictures.shape[1], self.pictures.shape[2]

    @property
    def points(self) -> Tensor:
        """(N,) some of the listed pixels of the first picture: points of the surface under them are worked on."""
        count = int((self.raster.views == 0).sum())
        return torch.linspace(0, count - 1, min(MOST_POINTS, count), device=self.clip.device).long()


def head_scene(pictures: int, size: int, texture: int, device: torch.device) -> KernelScene:
    """The built-in head, turned from side to side."""
    head = load_builtin()
    params = zero_params(head, (pictures,))
    params.rotation[:, 1] = torch.linspace(-MOST_YAW_RAD, MOST_YAW_RAD, pictures)
    return scene_of(
        pose(head, params), build_topology(head.faces, head.uv_faces), head.uvs, (size, size), texture, device
    )


def small_scene(device: torch.device) -> KernelScene:
    """Three dented spheres that hide parts of themselves, partly off the picture."""
    mesh = trimesh.creation.icosphere(2, 0.1)
    points, faces = torch.tensor(mesh.vertices, dtype=torch.float32), torch.tensor(mesh.faces)
    x, y, z = points.unbind(-1)
    dented = points * (1 + 0.5 * torch.sin(40 * x) * torch.cos(30 * y + 10 * z))[:, None]
    shift = torch.rand(3, 1, 3, generator=torch.Generator().manual_seed(0)) * 0.12 - 0.06
    uvs = 0.5 + 5 * points[:, :2]
    return scene_of(dented + shift, build_topology(faces, faces), uvs, SMALL, 32, device, focal=3.0)


def scene_of(
    vertices: Tensor,
    topology: Topology,
    uvs: Tensor,
    size: tuple[int, int],
    texture: int,
    device: torch.device,
    focal: float = 2.0,
) -> KernelScene:
    """vertices (B, V, 3) metres before the uncalibrated camera; values on them are random."""
    random = torch.Generator().manual_seed(1)
    moved = Topology(*(getattr(topology, name).to(device) for name in ("faces", "uv_faces", "opposite", "neighbour")))
    camera = camera_from_focal(torch.tensor([focal]), *size)
    clip = camera.to_clip(vertices).to(device)
    return KernelScene(
        vertices=vertices.to(device),
        camera=camera.to(device),
        clip=clip,
        topology=moved,
        raster=get_backend("warp", device).rasterize(clip, moved, *size),
        normals=vertex_normals(vertices, topology.faces).to(device),
        uvs=uvs[None].to(device),
        texture=torch.rand(1, texture, texture, CHANNELS, generator=random).to(device),
        pictures=torch.rand(len(clip), *size, CHANNELS, generator=random).to(device),
        lights=torch.rand(9, 3, generator=random).to(device),
    )


def sizes_of(scene: KernelScene) -> Sizes:
    from vhap.render.warp_antialias import silhouettes
    from vhap.render.warp_texture import chain_levels

    used = silhouettes(scene.clip, scene.raster, scene.topology)[2]
    levels = chain_levels(scene.texture.shape[1], scene.texture.shape[2], True)
    return Sizes(
        views=len(scene.clip),
        vertices=scene.clip.shape[1],
        triangles=len(scene.topology.faces),
        uvs=scene.uvs.shape[1],
        pixels=scene.raster.face_id.numel(),
        covered=len(scene.raster.pixels),
        texels=levels.area(0),
        chain=levels.texels(1),
        crossings=sum(stop - first for first, stop in used),
        points=len(scene.points),
    )


@dataclass(frozen=True)
class Operation:
    """One of the renderer's operations on a scene. inputs: what it may be differentiated by; function(backend,
    *inputs) gives its value; differentiable: whether it has a gradient."""

    name: str
    inputs: tuple[Tensor, ...]
    function: Callable[..., Tensor]
    differentiable: bool = True

    def value(self, backend: Backend | None = None, dtype: torch.dtype = torch.float32) -> tuple[Tensor, list[Tensor]]:
        """The value and the leaves that it can be differentiated by, on the kernels unless told otherwise."""
        leaves = [value.detach().to(dtype).requires_grad_(self.differentiable) for value in self.inputs]
        backend = get_backend("warp", leaves[0].device) if backend is None else backend
        return self.function(backend, *leaves), leaves if self.differentiable else []

    def deviation(self) -> tuple[float, float]:
        """Largest differences of the value and of the gradients to float64, in parts of the largest number."""
        value, leaves = self.value()
        exact, exact_leaves = self.value(get_backend("reference"), torch.float64)
        if not leaves:
            return _off(value, exact), 0.0
        found = torch.autograd.grad(value, leaves, projection(value))
        pairs = zip(found, torch.autograd.grad(exact, exact_leaves, projection(exact)))
        return _off(value, exact), max(_off(one, other) for one, other in pairs)


def projection(value: Tensor) -> Tensor:
    """Random numbers of a value's shape, the same ones at any call: gradients are those of its product with them."""
    return torch.rand(value.shape, generator=torch.Generator().manual_seed(3)).to(value) - 0.3


def _off(found: Tensor, exact: Tensor) -> float:
    found, exact = found.detach().double(), exact.detach().double()
    return float((found - exact).abs().max() / exact.abs().max())


def operations(scene: KernelScene) -> list[Operation]:
    """All six, on the scene's own raster."""
    raster, topology, size = scene.raster, scene.topology, scene.size
    backend = get_backend("warp", scene.clip.device)
    uv = backend.interpolate(scene.uvs, topology.uv_faces, raster)
    slopes = backend.attribute_derivatives(scene.uvs, topology.uv_faces, raster)
    normals = backend.interpolate(scene.normals, topology.faces, raster)

    def interpolated(backend: Backend, attributes: Tensor, weights: Tensor) -> Tensor:
        listed = Raster(raster.face_id, raster.pixels, raster.views, weights, raster.barycentric_derivatives)
        return backend.interpolate(attributes, topology.faces, listed)

    return [
        Operation("rasterize", (scene.clip,), lambda b, clip: b.rasterize(clip, topology, *size).barycentrics),
        Operation("interpolate", (scene.normals, raster.barycentrics), interpolated),
        Operation(
            "attribute_derivatives",
            (scene.uvs,),
            lambda b, uvs: b.attribute_derivatives(uvs, topology.uv_faces, raster),
            differentiable=False,
        ),
        Operation("texture", (scene.texture, uv), lambda b, texture, uv: b.texture(texture, uv, slopes, raster)),
        Operation("light", (normals, scene.lights), lambda b, n, lights: torch.cat(b.light(n, lights, raster), -1)),
        Operation("antialias", (scene.pictures, scene.clip), lambda b, p, clip: b.antialias(p, raster, clip, topology)),
    ]
