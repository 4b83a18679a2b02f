"""A textured, lit head in front of a background."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from vhap.geometry.cameras import Camera
from vhap.geometry.meshes import vertex_normals
from vhap.render.shading import uniform_lights
from vhap.render.types import Backend, Raster, Topology


@dataclass(frozen=True)
class Rendering:
    """picture (B, H, W, 3); per covered pixel: albedo (N, 3), normals (N, 3) unit in world axes, shading (N, 3)."""

    picture: Tensor
    raster: Raster
    albedo: Tensor
    normals: Tensor
    shading: Tensor


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
) -> Rendering:
    """Pictures of B posed heads.

    vertices (B, V, 3) metres in the world; uvs (Vt, 2) for topology.uv_faces; texture (1 or B, Ht, Wt, 3);
    lights (9, 3), None for shading 1; camera: one for all views or one per view; background (B, H, W, 3), None for
    black. Differentiable in vertices, texture, lights, camera and background.
    """
    clip = camera.to_clip(vertices)
    raster = backend.rasterize(clip, topology, camera.height, camera.width)
    uv = backend.interpolate(uvs[None], topology.uv_faces, raster)
    uv_slopes = backend.attribute_slopes(uvs[None], topology.uv_faces, raster)
    albedo = backend.texture(texture, uv, uv_slopes, raster)
    smooth = backend.interpolate(vertex_normals(vertices, topology.faces), topology.faces, raster)
    normals, shading = backend.light(smooth, uniform_lights().to(smooth) if lights is None else lights, raster)
    picture = compose(albedo * shading, raster, background)
    if antialias:
        picture = backend.antialias(picture, raster, clip, topology)
    return Rendering(picture, raster, albedo, normals, shading)


def compose(colours: Tensor, raster: Raster, background: Tensor | None) -> Tensor:
    """colours (N, C) of the covered pixels over background (B, H, W, C), black where None -> (B, H, W, C)."""
    shape = (*raster.face_id.shape, colours.shape[1])
    if background is None:
        background = colours.new_zeros(shape)
    assert background.shape == shape, f"background {tuple(background.shape)}, expected {shape}"
    return background.reshape(-1, shape[-1]).index_copy(0, raster.pixels, colours).view(shape)
