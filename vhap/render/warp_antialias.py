"""Analytic blending across silhouettes (Laine et al. 2020, section 3.5), with gradients to colours and positions.

The published test looks at the edges of the triangle under the pixel only and misses a silhouette in a thin triangle
beside it that covers no pixel centre. Here the line between two pixel centres is followed from triangle to triangle
until the surface turns away or ends.
"""

from __future__ import annotations

from typing import Any

import torch
import warp as wp
from torch import Tensor

from vhap.render.kernels.antialias import blend, blend_backward, find_silhouettes
from vhap.render.types import Raster, Topology
from vhap.render.warp_common import flat, launch_ranges, view_ranges, wrap


def silhouettes(clip: Tensor, raster: Raster, topology: Topology) -> tuple[Tensor, Tensor, list[tuple[int, int]]]:
    """Crossings of silhouettes with the lines between neighbouring pixel centres.

    Returns hits (4 N, 4) int32 of (pixel the edge belongs to, direction, edge's two vertices), distances (4 N,) of
    the crossing from that pixel's centre in pixels, and the used ranges of both, one per part.
    """
    _, height, width = raster.face_id.shape
    ranges = view_ranges(raster)
    hits = torch.empty(4 * len(raster.pixels), 4, dtype=torch.int32, device=clip.device)
    distances = clip.new_empty(len(hits))
    counts = torch.zeros(len(ranges), dtype=torch.int32, device=clip.device)
    inputs = [flat(raster.pixels), flat(raster.face_id), wrap(clip, wp.vec4), wrap(topology.faces, wp.vec3i)]
    inputs += [
        wrap(topology.neighbour, wp.vec3i),
        height,
        width,
        flat(counts),
        wrap(hits, wp.vec4i),
        flat(distances),
    ]
    launch_ranges(find_silhouettes, ranges, lambda part: [part, 4 * ranges[part][0], *inputs], clip.device)
    used = [(4 * first, 4 * first + count) for (first, _), count in zip(ranges, counts.tolist())]
    return hits, distances, used


class Antialias(torch.autograd.Function):
    """`Backend.antialias` with gradients to pictures and clip."""

    @staticmethod
    def forward(ctx: Any, pictures: Tensor, clip: Tensor, raster: Raster, topology: Topology) -> Tensor:
        hits, distances, used = silhouettes(clip, raster, topology)
        out = pictures.clone()
        inputs = [
            wrap(hits, wp.vec4i),
            flat(distances),
            pictures.shape[2],
            pictures.shape[3],
            flat(pictures),
            flat(out),
        ]
        launch_ranges(blend, used, lambda _: inputs, out.device)
        ctx.save_for_backward(pictures, clip, hits, distances)
        ctx.used = used
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        pictures, clip, hits, distances = ctx.saved_tensors
        wanted = ctx.needs_input_grad[1]
        grad = grad.contiguous()
        grad_pictures = grad.clone()
        grad_clip = torch.zeros_like(clip) if wanted else clip.new_zeros(0)
        _, height, width, channels = pictures.shape
        inputs = [
            wrap(hits, wp.vec4i),
            flat(distances),
            height,
            width,
            channels,
            clip.shape[1],
            wrap(clip, wp.vec4),
        ]
        inputs += [flat(pictures), flat(grad), flat(grad_pictures), wanted, flat(grad_clip)]
        launch_ranges(blend_backward, ctx.used, lambda _: inputs, grad.device)
        return grad_pictures, grad_clip if wanted else None, None, None


def antialias(pictures: Tensor, raster: Raster, clip: Tensor, topology: Topology) -> Tensor:
    """See `Backend.antialias`."""
    assert pictures.shape[:3] == raster.face_id.shape
    assert len(clip) == len(pictures)
    return Antialias.apply(pictures.contiguous(), clip.contiguous(), raster, topology)  # type: ignore[misc]
