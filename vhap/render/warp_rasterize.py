"""Rasterization in homogeneous coordinates (Olano and Greer 1997): no clipping, vertices may be behind the camera."""

from __future__ import annotations

from typing import Any

import torch
import warp as wp
from torch import Tensor

from vhap.render.kernels.rasterize import (
    EMPTY_KEY,
    barycentrics_backward,
    draw_triangles,
    find_barycentrics,
    list_pixels,
    read_faces,
)
from vhap.render.types import Raster, Topology
from vhap.render.warp_common import flat, launch_ranges, vectors, view_ranges, wrap


def draw(clip: Tensor, faces: Tensor, height: int, width: int) -> Tensor:
    """(B, V, 4), (F, 3) -> (B, H, W) int64: depth above face, the smallest drawn over each pixel centre."""
    batch, count = len(clip), len(faces)
    keys = torch.full((batch, height, width), EMPTY_KEY.value, dtype=torch.int64, device=clip.device)
    if count:
        views = [(k * count, (k + 1) * count) for k in range(batch)]
        ranges = views if clip.device.type == "cpu" else [(0, batch * count)]
        inputs = [wrap(clip, wp.vec4), wrap(faces, wp.vec3i), count, height, width, flat(keys)]
        launch_ranges(draw_triangles, ranges, lambda _: inputs, clip.device)
    return keys


def list_covered(keys: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(B, H, W) keys of `draw` -> face_id, pixels, views of `Raster`."""
    batch, height, width = keys.shape
    area = height * width
    if keys.is_cuda:
        face_id = torch.where(keys == EMPTY_KEY.value, -1, keys & 0xFFFFFFFF).int()
        pixels = torch.nonzero(face_id.view(-1) >= 0).squeeze(1)
        return face_id, pixels, pixels.div(area, rounding_mode="floor")
    face_id = torch.empty(batch, height, width, dtype=torch.int32)
    counts = torch.empty(batch, dtype=torch.int32)
    single = [(view, view + 1) for view in range(batch)]
    inputs = [flat(keys), area, flat(face_id), flat(counts)]
    launch_ranges(read_faces, single, lambda _: inputs, keys.device)
    ends = counts.long().cumsum(0)
    pixels, views = (torch.empty(int(ends[-1]), dtype=torch.int64) for _ in range(2))
    inputs = [flat(face_id), area, flat(ends - counts), flat(pixels), flat(views)]
    launch_ranges(list_pixels, single, lambda _: inputs, keys.device)
    return face_id, pixels, views


class Barycentrics(torch.autograd.Function):
    """Perspective-correct barycentrics and their screen slopes at the listed pixels."""

    @staticmethod
    def forward(ctx: Any, clip: Tensor, faces: Tensor, raster: Raster) -> tuple[Tensor, Tensor]:
        _, height, width = raster.face_id.shape
        weights = clip.new_empty(len(raster.pixels), 3)
        slopes = clip.new_empty(len(raster.pixels), 3, 2)
        inputs = [flat(raster.pixels), flat(raster.face_id), wrap(clip, wp.vec4), wrap(faces, wp.vec3i)]
        inputs += [height, width, wrap(weights, wp.vec3), vectors(slopes)]
        launch_ranges(find_barycentrics, view_ranges(raster), lambda _: inputs, clip.device)
        ctx.save_for_backward(clip, faces)
        ctx.raster = raster
        ctx.mark_non_differentiable(slopes)
        return weights, slopes

    @staticmethod
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor, None, None]:
        clip, faces = ctx.saved_tensors
        raster = ctx.raster
        _, height, width = raster.face_id.shape
        result = torch.zeros_like(clip, memory_format=torch.contiguous_format)
        inputs = [flat(raster.pixels), flat(raster.face_id), wrap(clip, wp.vec4), wrap(faces, wp.vec3i)]
        grad = grad.contiguous()
        inputs += [height, width, clip.shape[1], wrap(grad, wp.vec3), flat(result)]
        launch_ranges(barycentrics_backward, view_ranges(raster), lambda _: inputs, clip.device)
        return result, None, None


def rasterize(clip: Tensor, topology: Topology, height: int, width: int) -> Raster:
    """See `Backend.rasterize`."""
    clip = clip.contiguous()
    assert len(clip) * height * width < 2**31, "pixel numbers are 32 bits wide"
    face_id, pixels, views = list_covered(draw(clip, topology.faces, height, width))
    listed = Raster(face_id, pixels, views, clip.new_empty(0), clip.new_empty(0))
    barycentrics, slopes = Barycentrics.apply(clip, topology.faces, listed)  # type: ignore[misc]
    return Raster(face_id, pixels, views, barycentrics, slopes)
