"""Texture: the resolution that the pictures support, and the albedo that explains them best."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

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
SHARPENING_ROUNDS = 5


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


@dataclass(frozen=True)
class TexturePixels:
    """The head's N pixels in some pictures. uv (N, 2), slopes (N, 2, 2): where they read the texture; shading, colours
    (N, 3)."""

    raster: Raster
    uv: Tensor
    slopes: Tensor
    shading: Tensor
    colours: Tensor

    def missing(self, albedo: Tensor) -> Tensor:
        """(N, 3): what the pictures show beyond an albedo (N, 3), times its shading."""
        return self.shading * (self.colours - self.shading * albedo)


@torch.no_grad()
def texture_pixels(
    scene: Scene, batches: Iterable[tuple[TrackParams, FrameBatch]], sh_lights: bool = True
) -> Iterator[TexturePixels]:
    """Of each batch that shows the head; batches: rows of the unknowns with their pictures."""
    for rows, batch in batches:
        vertices = for_pictures(pose(scene.head, rows.head()), batch)
        clip = rows.cameras(scene.given, scene.size, batch.cameras).to_clip(vertices)
        raster = scene.backend.rasterize(clip, scene.topology, *scene.size)
        if len(raster.pixels):
            uv, slopes = uv_footprint(scene.backend, scene.topology, scene.head.uvs, raster)
            colours = batch.rgb.reshape(-1, 3)[raster.pixels]
            shading = _shading(scene, rows, vertices, raster) if sh_lights else torch.ones_like(colours)
            yield TexturePixels(raster, uv, slopes, shading, colours)


def fit_texture(scene: Scene, pixels: Callable[[], Iterable[TexturePixels]], rounds: int = SHARPENING_ROUNDS) -> Tensor:
    """The albedo that explains the pictures best in the mean square, as a residual (1, R, R, 3) to the base texture.

    pixels() goes through all pictures, once and then for each of the rounds. First per texel sum(w s c) / sum(w s s)
    over all pixels of colour c and shading s that read it with weight w: the transpose of texture look-up. That is as
    blurred as its own look-up. Each round is a step of simultaneous iterative reconstruction (Gilbert 1972): what the
    pictures show and the render lacks goes back to the texels it is read from. Texels that no picture shows keep the
    base texture, tinted towards those that are seen.
    """
    total, count = torch.zeros_like(scene.base_texture), torch.zeros_like(scene.base_texture)
    for each in pixels():
        total += _spread(scene, total, each, lambda _, each=each: each.shading * each.colours)
        count += _spread(scene, count, each, lambda _, each=each: each.shading.square())
    known = count.amin(-1) > SEEN_WEIGHT
    if not bool(known.any()):
        return torch.zeros_like(scene.base_texture)
    mean = (total / count.clamp(min=SEEN_WEIGHT)).clamp(0, 1)
    tint = (mean[known] - scene.base_texture[known]).median(dim=0).values
    albedo = fill_holes(mean, known, (scene.base_texture + tint).clamp(0, 1))
    for _ in range(rounds):
        missing = torch.zeros_like(albedo)
        for each in pixels():
            missing += _spread(scene, albedo, each, each.missing)
        albedo = (albedo + missing / count.clamp(min=SEEN_WEIGHT) * (count > SEEN_WEIGHT)).clamp(0, 1)
    return albedo - scene.base_texture


def _spread(scene: Scene, texture: Tensor, pixels: TexturePixels, values: Callable[[Tensor], Tensor]) -> Tensor:
    """The transpose of texture look-up: values(read) (N, C) of what pixels read of a texture (1, R, R, C), spread over
    the texels that it was read from, (1, R, R, C)."""
    with torch.enable_grad():
        leaf = texture.detach().requires_grad_()
        read = scene.backend.texture(leaf, pixels.uv, pixels.slopes, pixels.raster)
        return torch.autograd.grad(read, leaf, values(read.detach()))[0]


def _shading(scene: Scene, rows: TrackParams, vertices: Tensor, raster: Raster) -> Tensor:
    """(N, 3) of the covered pixels, kept above a tenth so that dark sides do not blow texels up."""
    normals = vertex_normals(vertices, scene.head.faces)
    smooth = scene.backend.interpolate(normals, scene.topology.faces, raster)
    return scene.backend.light(smooth, rows.light, raster)[1].clamp(min=0.1)


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
