"""A textured, lit head in front of a background."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from vhap.geometry.cameras import Camera
from vhap.geometry.meshes import vertex_normals
from vhap.render.shading import uniform_lights
from vhap.render.types import Backend, Raster, Topology

Recolour = Callable[[Tensor, Raster, Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Rendering:
    """picture (B, H, W, 3); coverage (B, H, W) of the head, antialiased, where it was asked for; per covered pixel:
    albedo (N, 3), normals (N, 3) unit in world axes, shading (N, 3)."""

    picture: Tensor
    coverage: Tensor | None
    raster: Raster
    albedo: Tensor
    normals: Tensor
    shading: Tensor


@dataclass(frozen=True)
class Alignment:
    """What a rendering for optimisation adds to a plain one.

    fixed_texture (F,) bool: triangles whose texture moves no vertex; fixed_outline (V,) bool: vertices that outlines
    do not move; recolour: changes colours (N, 3) of the covered pixels and the background before they are blended;
    coverage: whether the head's coverage is rendered too.
    """

    fixed_texture: Tensor | None = None
    fixed_outline: Tensor | None = None
    recolour: Recolour | None = None
    coverage: bool = False


PLAIN = Alignment()


def render_head(
    backend: Backend,
    vertices: Tensor,
    topology: Topology,
    uvs: Tensor,
    texture: Tensor,
    lights: Tensor | None,
    camera: Camera,
    background: Tensor | None = None,
    antialias: bool = True,
    alignment: Alignment = PLAIN,
) -> Rendering:
    """Pictures of B posed heads.

    vertices (B, V, 3) metres in the world; uvs (Vt, 2) for topology.uv_faces; texture (1 or B, Ht, Wt, 3);
    lights (9, 3), None for shading 1; camera: one for all views or one per view; background (B, H, W, 3), None for
    black. Differentiable in vertices, texture, lights, camera and background.
    """
    clip = camera.to_clip(vertices)
    raster = backend.rasterize(clip, topology, camera.height, camera.width)
    uv = backend.interpolate(uvs[None], topology.uv_faces, raster)
    if alignment.fixed_texture is not None:
        fixed = alignment.fixed_texture[raster.face_id.flatten()[raster.pixels].long()]
        uv = torch.where(fixed[:, None], uv.detach(), uv)
    uv_derivatives = backend.attribute_derivatives(uvs[None], topology.uv_faces, raster)
    albedo = backend.texture(texture, uv, uv_derivatives, raster)
    smooth = backend.interpolate(vertex_normals(vertices, topology.faces), topology.faces, raster)
    normals, shading = backend.light(smooth, uniform_lights().to(smooth) if lights is None else lights, raster)
    colours = albedo * shading
    if alignment.recolour is not None and background is not None:
        colours, background = alignment.recolour(colours, raster, background)
    picture = compose(colours, raster, background)
    if alignment.coverage:
        picture = torch.cat([picture, raster.mask[..., None].to(picture)], -1)
    if antialias:
        picture = backend.antialias(picture, raster, outline(clip, alignment.fixed_outline), topology)
    coverage = picture[..., 3] if alignment.coverage else None
    return Rendering(picture[..., :3], coverage, raster, albedo, normals, shading)


def single_renderings(rendering: Rendering) -> list[Rendering]:
    """Each picture of a batch without the others, as batches of one on the same memory."""
    raster, coverage = rendering.raster, rendering.coverage
    batch, height, width = raster.face_id.shape
    area = height * width
    firsts = torch.arange(batch + 1, device=raster.pixels.device) * area
    bounds = torch.searchsorted(raster.pixels, firsts).tolist()
    found = []
    for view, (start, stop) in enumerate(pairwise(bounds)):
        own = Raster(
            face_id=raster.face_id[view : view + 1],
            pixels=raster.pixels[start:stop] - view * area,
            views=torch.zeros_like(raster.views[start:stop]),
            barycentrics=raster.barycentrics[start:stop],
            barycentric_derivatives=raster.barycentric_derivatives[start:stop],
        )
        colours = {name: getattr(rendering, name)[start:stop] for name in ("albedo", "normals", "shading")}
        covered = None if coverage is None else coverage[view : view + 1]
        found.append(Rendering(rendering.picture[view : view + 1], covered, own, **colours))
    return found


def outline(clip: Tensor, fixed: Tensor | None) -> Tensor:
    """Clip positions (B, V, 4) as antialiasing sees them: without gradient at fixed (V,) vertices."""
    return clip if fixed is None else torch.where(fixed[:, None], clip.detach(), clip)


def compose(colours: Tensor, raster: Raster, background: Tensor | None) -> Tensor:
    """colours (N, C) of the covered pixels over background (B, H, W, C), black where None -> (B, H, W, C)."""
    shape = (*raster.face_id.shape, colours.shape[1])
    if background is None:
        background = colours.new_zeros(shape)
    assert background.shape == shape, f"background {tuple(background.shape)}, expected {shape}"
    return background.reshape(-1, shape[-1]).index_copy(0, raster.pixels, colours).view(shape)
