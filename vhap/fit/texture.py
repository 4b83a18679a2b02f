"""Texture: the resolution that the pictures support, a first guess by back-projection, region masks in texels."""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from vhap.data.sample import FrameBatch
from vhap.fit.params import TrackParams
from vhap.fit.scene import Scene, for_pictures
from vhap.geometry.meshes import vertex_normals
from vhap.head.model import pose
from vhap.render.types import Backend, Raster, Topology

MIN_TEXTURE_SIZE = 256
SEEN_WEIGHT = 0.1


def supported_size(uv_derivatives: Tensor, at_most: int) -> int:
    """The power of two at which a texel is about a pixel, from uv_derivatives (N, 2, 2), the change of uv a pixel.

    The lower quartile of the footprints counts: the part of the face that is seen closest.
    """
    if uv_derivatives.shape[0] == 0:
        return min(MIN_TEXTURE_SIZE, at_most)
    area = torch.linalg.det(uv_derivatives).abs().sqrt()
    texels = 1 / float(area.quantile(0.25) if len(area) < 1_000_000 else area[::16].quantile(0.25))
    size = MIN_TEXTURE_SIZE
    while size < texels / 2**0.5 and size < at_most:
        size *= 2
    return min(size, at_most)


def uv_footprint(backend: Backend, topology: Topology, uvs: Tensor, raster: Raster) -> tuple[Tensor, Tensor]:
    """uv (N, 2) of the covered pixels and their slopes (N, 2, 2) by picture x and y."""
    uv = backend.interpolate(uvs[None], topology.uv_faces, raster)
    return uv, backend.attribute_derivatives(uvs[None], topology.uv_faces, raster)


@torch.no_grad()
def back_project(scene: Scene, batches: Iterable[tuple[TrackParams, FrameBatch]], sh_lights: bool = True) -> Tensor:
    """The albedo that explains the pictures best in the mean square, as a residual (1, R, R, 3) to the base texture.

    batches: rows of the unknowns with their pictures. Per texel sum(w s c) / sum(w s s) over all pixels of colour c
    and shading s that read it with weight w: the transpose of texture look-up. Texels that no picture shows keep the
    base texture, tinted towards those that are seen.
    """
    total, count = _gather(scene, torch.zeros_like(scene.base_texture), batches, sh_lights)
    known = count.amin(-1) > SEEN_WEIGHT
    if not bool(known.any()):
        return torch.zeros_like(scene.base_texture)
    mean = (total / count.clamp(min=SEEN_WEIGHT)).clamp(0, 1)
    tint = (mean[known] - scene.base_texture[known]).median(dim=0).values
    fallback = (scene.base_texture + tint).clamp(0, 1)
    return fill_holes(mean, known, fallback) - scene.base_texture


@torch.no_grad()
def sharpen(
    scene: Scene, residual: Tensor, batches: Iterable[tuple[TrackParams, FrameBatch]], sh_lights: bool = True
) -> Tensor:
    """One step of simultaneous iterative reconstruction (Gilbert 1972) on the albedo: what the pictures show and the
    render lacks goes back to the texels it is read from. The mean alone is as blurred as its own look-up."""
    albedo = scene.albedo(residual)
    missing, count = _gather(scene, albedo, batches, sh_lights)
    return (albedo + missing / count.clamp(min=SEEN_WEIGHT) * (count > SEEN_WEIGHT)).clamp(0, 1) - scene.base_texture


def _gather(
    scene: Scene, albedo: Tensor, batches: Iterable[tuple[TrackParams, FrameBatch]], sh_lights: bool
) -> tuple[Tensor, Tensor]:
    """Per texel sum(w s (c - s a)) and sum(w s s), a the albedo read by the pixel; both (1, R, R, 3)."""
    total, count = torch.zeros_like(albedo), torch.zeros_like(albedo)
    for rows, batch in batches:
        vertices = for_pictures(pose(scene.head, rows.head()), batch)
        clip = rows.cameras(scene.given, scene.size, batch.cameras).to_clip(vertices)
        raster = scene.backend.rasterize(clip, scene.topology, *scene.size)
        if raster.pixels.shape[0] == 0:
            continue
        uv, slopes = uv_footprint(scene.backend, scene.topology, scene.head.uvs, raster)
        colours = batch.rgb.reshape(-1, 3)[raster.pixels]
        shading = _shading(scene, rows, vertices, raster) if sh_lights else torch.ones_like(colours)
        missing = colours - shading * scene.backend.texture(albedo, uv, slopes, raster)
        total += _splat(scene, uv, slopes, raster, shading * missing)
        count += _splat(scene, uv, slopes, raster, shading.square())
    return total, count


def _shading(scene: Scene, rows: TrackParams, vertices: Tensor, raster: Raster) -> Tensor:
    """(N, 3) of the covered pixels, kept above a tenth so that dark sides do not blow texels up."""
    normals = vertex_normals(vertices, scene.head.faces)
    smooth = scene.backend.interpolate(normals, scene.topology.faces, raster)
    return scene.backend.light(smooth, rows.lights, raster)[1].clamp(min=0.1)


def _splat(scene: Scene, uv: Tensor, slopes: Tensor, raster: Raster, values: Tensor) -> Tensor:
    """The transpose of texture look-up: values (N, 3) spread over the texels they would be read from."""
    with torch.enable_grad():
        texture = torch.zeros_like(scene.base_texture, requires_grad=True)
        read = scene.backend.texture(texture, uv, slopes, raster)
        return torch.autograd.grad(read, texture, values)[0]


def fill_holes(texture: Tensor, known: Tensor, fallback: Tensor) -> Tensor:
    """texture (1, R, R, 3) with the texels where known (1, R, R) is False taken from coarser levels.

    Pull-push (Gortler et al. 1996) over three levels, then the fallback.
    """
    weight = known[..., None].to(texture.dtype).permute(0, 3, 1, 2)
    colour = texture.permute(0, 3, 1, 2) * weight
    filled, open_weight = colour.clone(), 1 - weight
    for level in (1, 2, 3):
        kernel = 2**level
        pooled, mass = (
            F.avg_pool2d(colour, kernel, ceil_mode=True),
            F.avg_pool2d(weight, kernel, ceil_mode=True),
        )
        coarse = F.interpolate(pooled / mass.clamp(min=1e-6), size=colour.shape[-2:], mode="nearest")
        has = (F.interpolate(mass, size=colour.shape[-2:], mode="nearest") > 0).to(texture.dtype) * open_weight
        filled, open_weight = filled + coarse * has, open_weight - has
    return filled.permute(0, 2, 3, 1) + fallback * open_weight.permute(0, 2, 3, 1)


def resize_texture(texture: Tensor, size: int) -> Tensor:
    """(1, R, R, C) -> (1, size, size, C), bilinear, smoothed where it shrinks."""
    planes = texture.permute(0, 3, 1, 2)
    shrinks = size < texture.shape[1]
    resized = F.interpolate(planes, size=(size, size), mode="bilinear", antialias=shrinks, align_corners=False)
    return resized.permute(0, 2, 3, 1).contiguous()
