"""Mip-mapped texture look-up at the listed pixels, and the gradients back through the chain of levels."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
import warp as wp
from torch import Tensor

from vhap.render.kernels.texture import grow, shrink, texture_backward, texture_forward
from vhap.render.types import Raster
from vhap.render.warp_common import (
    COMMON_CHANNELS,
    flat,
    launch_ranges,
    overload,
    picture_vectors,
    shared_ranges,
    vectors,
    view_ranges,
    wrap,
)


@dataclass(frozen=True)
class Levels:
    """Sizes of a mip chain: level l is (heights[l], widths[l]); level 0 is the texture itself."""

    heights: tuple[int, ...]
    widths: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.heights)

    def area(self, level: int) -> int:
        return self.heights[level] * self.widths[level]

    def texels(self, first: int, stop: int | None = None) -> int:
        """Texels of levels first to stop - 1 together."""
        return sum(self.area(level) for level in range(first, len(self) if stop is None else stop))

    def table(self, first: int, device: torch.device) -> Any:
        """Per level height, width and place in a buffer that begins with level `first`."""
        offsets = [self.texels(first, level) for level in range(len(self))]
        rows = torch.tensor([self.heights, self.widths, offsets], dtype=torch.int32)
        return wrap(rows.T.to(device), wp.vec3i)


def chain_levels(height: int, width: int, mipmapped: bool) -> Levels:
    """Sides are halved, rounded down, until both are 1."""
    count = max(height, width).bit_length() if mipmapped else 1
    return Levels(tuple(max(height >> k, 1) for k in range(count)), tuple(max(width >> k, 1) for k in range(count)))


def _forward(channels: int) -> Any:
    return overload(texture_forward, channels, ["texture", "chain", "out"])


def _backward(channels: int) -> Any:
    return overload(texture_backward, channels, ["texture", "chain", "grad", "grad_chain"])


def _shrink(channels: int) -> Any:
    return overload(shrink, channels, ["fine", "coarse"], 3)


def _grow(channels: int) -> Any:
    return overload(grow, channels, ["fine", "coarse"], 3)


for _channels in COMMON_CHANNELS:
    for _make in (_forward, _backward, _shrink, _grow):
        _make(_channels)


def _launch_rows(kernel: Any, source: Tensor, target: Tensor) -> None:
    rows = target.shape[0] * target.shape[1]
    parts = 8 if target.device.type == "cpu" else 1
    bounds = [rows * k // parts for k in range(parts + 1)]
    inputs = [picture_vectors(source), picture_vectors(target)]
    launch_ranges(kernel, list(pairwise(bounds)), lambda _: inputs, target.device)


def build_chain(texture: Tensor, levels: Levels) -> Tensor:
    """(B, Ht, Wt, C) -> (B, texels, C): levels 1 and up, each the exact area average of the one before."""
    batch, _, _, channels = texture.shape
    chain = texture.new_empty(batch, levels.texels(1), channels)
    fine = texture
    for level in range(1, len(levels)):
        coarse = texture.new_empty(batch, levels.heights[level], levels.widths[level], channels)
        _launch_rows(_shrink(channels), fine, coarse)
        start = levels.texels(1, level)
        chain[:, start : start + levels.area(level)] = coarse.view(batch, -1, channels)
        fine = coarse
    return chain


def collapse_chain(grad_chain: Tensor, levels: Levels, first: int) -> Tensor:
    """Transpose of `build_chain` from level `first` on: (B, texels, C) -> (B, Ht, Wt, C)."""
    batch, _, channels = grad_chain.shape
    carried = None
    for level in range(len(levels) - 1, -1, -1):
        shape = (batch, levels.heights[level], levels.widths[level], channels)
        if level >= first:
            start = levels.texels(first, level)
            fine = grad_chain[:, start : start + levels.area(level)].reshape(shape).contiguous()
        else:
            fine = grad_chain.new_zeros(shape)
        if carried is not None:
            _launch_rows(_grow(channels), carried, fine)
        carried = fine
    assert carried is not None
    return carried


def _inputs(texture: Tensor, chain: Tensor, uv: Tensor, slopes: Tensor, raster: Raster, levels: Levels) -> list[Any]:
    _, height, width = raster.face_id.shape
    places = [flat(raster.pixels), wrap(uv, wp.vec2), wrap(slopes.view(-1, 2), wp.vec2)]
    places += [levels.table(1, uv.device), height * width, int(len(texture) > 1), len(levels) - 1]
    return [*places, vectors(texture), levels.area(0), vectors(chain), chain.shape[1]]


class SampleTexture(torch.autograd.Function):
    """`Backend.texture` with gradients to the texture and to uv."""

    @staticmethod
    def forward(ctx: Any, texture: Tensor, uv: Tensor, slopes: Tensor | None, raster: Raster) -> Tensor:
        levels = chain_levels(texture.shape[1], texture.shape[2], slopes is not None)
        chain = build_chain(texture, levels)
        slopes = uv.new_empty(0) if slopes is None else slopes
        out = uv.new_empty(len(uv), texture.shape[3])
        ranges = view_ranges(raster)
        finest = torch.full((len(ranges),), len(levels) - 1, dtype=torch.int32, device=uv.device)
        inputs = [flat(finest), *_inputs(texture, chain, uv, slopes, raster, levels), vectors(out)]
        on_cpu = uv.device.type == "cpu"
        parts = [part if on_cpu else -1 for part in range(len(ranges))]
        launch_ranges(_forward(texture.shape[3]), ranges, lambda part: [parts[part], *inputs], uv.device)
        ctx.save_for_backward(texture, chain, uv, slopes)
        # Levels that no pixel reads need no gradient buffer; on CUDA one counter for all pixels would cost more.
        ctx.first = int(finest.min()) if on_cpu else 0
        ctx.raster, ctx.levels = raster, levels
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        texture, chain, uv, slopes = ctx.saved_tensors
        wants_texture, wants_uv = ctx.needs_input_grad[:2]
        shared = wants_texture and len(texture) == 1
        ranges = shared_ranges(ctx.raster) if shared else view_ranges(ctx.raster)
        texels = ctx.levels.texels(ctx.first) if wants_texture else 0
        grad_chain = grad.new_zeros(len(ranges) if shared else len(texture), texels, texture.shape[3])
        grad_uv = torch.empty_like(uv)
        inputs = [ctx.levels.table(ctx.first, uv.device), texels]
        inputs += _inputs(texture, chain, uv, slopes, ctx.raster, ctx.levels)
        inputs += [wants_texture, wants_uv, vectors(grad), vectors(grad_chain), wrap(grad_uv, wp.vec2)]

        def part_inputs(part: int) -> list[Any]:
            return [part * texels if shared else 0, *inputs]

        launch_ranges(_backward(texture.shape[3]), ranges, part_inputs, grad.device)
        total = None
        if wants_texture:
            summed = grad_chain.sum(0, keepdim=True) if shared and len(ranges) > 1 else grad_chain
            total = collapse_chain(summed, ctx.levels, ctx.first)
        return total, grad_uv if wants_uv else None, None, None


def sample_texture(texture: Tensor, uv: Tensor, uv_derivatives: Tensor | None, raster: Raster) -> Tensor:
    """See `Backend.texture`."""
    assert texture.ndim == 4
    assert len(texture) in (1, len(raster.face_id))
    assert uv.shape == (len(raster.pixels), 2)
    slopes = None if uv_derivatives is None else uv_derivatives.detach().contiguous()
    return SampleTexture.apply(texture.contiguous(), uv.contiguous(), slopes, raster)  # type: ignore[misc]
