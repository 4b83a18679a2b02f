"""Vertex attributes at the listed pixels, and the gradients back."""

from __future__ import annotations

from typing import Any

import torch
import warp as wp
from torch import Tensor

from vhap.render.kernels.interpolate import interpolate_backward, interpolate_forward, slopes_forward
from vhap.render.types import Raster
from vhap.render.warp_common import (
    COMMON_CHANNELS,
    flat,
    launch_ranges,
    overload,
    shared_ranges,
    vectors,
    view_ranges,
    wrap,
)


def _forward(channels: int) -> Any:
    return overload(interpolate_forward, channels, ["attributes", "out"])


def _backward(channels: int) -> Any:
    return overload(interpolate_backward, channels, ["attributes", "grad", "grad_attributes"])


for _channels in COMMON_CHANNELS:
    _forward(_channels)
    _backward(_channels)


def _inputs(attributes: Tensor, faces: Tensor, raster: Raster, weights: Any, table: Any) -> list[Any]:
    _, height, width = raster.face_id.shape
    stride = 0 if len(attributes) == 1 else attributes.shape[1]
    tables = [flat(raster.pixels), flat(raster.face_id), wrap(faces, wp.vec3i), weights, table]
    return [*tables, height * width, stride]


class Interpolate(torch.autograd.Function):
    """`Backend.interpolate` with gradients to attributes and barycentrics."""

    @staticmethod
    def forward(ctx: Any, attributes: Tensor, barycentrics: Tensor, faces: Tensor, raster: Raster) -> Tensor:
        channels = attributes.shape[2]
        out = attributes.new_empty(len(raster.pixels), channels)
        inputs = _inputs(attributes, faces, raster, wrap(barycentrics, wp.vec3), vectors(attributes))
        inputs.append(vectors(out))
        launch_ranges(_forward(channels), view_ranges(raster), lambda _: inputs, out.device)
        ctx.save_for_backward(attributes, barycentrics, faces)
        ctx.raster = raster
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, None, None]:
        attributes, barycentrics, faces = ctx.saved_tensors
        channels = attributes.shape[2]
        wanted = ctx.needs_input_grad[0]
        shared = wanted and len(attributes) == 1
        ranges = shared_ranges(ctx.raster) if shared else view_ranges(ctx.raster)
        size = attributes.shape[0] * attributes.shape[1] if wanted else 0
        grad_attributes = grad.new_zeros(len(ranges) if shared else 1, size, channels)
        grad_barycentrics = torch.empty_like(barycentrics)
        inputs = _inputs(attributes, faces, ctx.raster, wrap(barycentrics, wp.vec3), vectors(attributes))
        inputs += [wanted, vectors(grad), vectors(grad_attributes), wrap(grad_barycentrics, wp.vec3)]

        def part_inputs(part: int) -> list[Any]:
            return [part * size if shared else 0, *inputs]

        launch_ranges(_backward(channels), ranges, part_inputs, grad.device)
        total = grad_attributes.sum(0).view(attributes.shape) if wanted else None
        return total, grad_barycentrics, None, None


def interpolate(attributes: Tensor, faces: Tensor, raster: Raster) -> Tensor:
    """See `Backend.interpolate`."""
    assert attributes.ndim == 3
    assert len(attributes) in (1, len(raster.face_id))
    faces = faces.to(torch.int32).contiguous()
    weights = raster.barycentrics.contiguous()
    return Interpolate.apply(attributes.contiguous(), weights, faces, raster)  # type: ignore[misc]


def attribute_derivatives(attributes: Tensor, faces: Tensor, raster: Raster) -> Tensor:
    """See `Backend.attribute_derivatives`."""
    attributes, faces = attributes.detach().contiguous(), faces.to(torch.int32).contiguous()
    out = attributes.new_empty(len(raster.pixels), attributes.shape[2], 2)
    inputs = _inputs(attributes, faces, raster, vectors(raster.barycentric_derivatives), flat(attributes))
    inputs += [attributes.shape[2], vectors(out)]
    launch_ranges(slopes_forward, view_ranges(raster), lambda _: inputs, out.device)
    return out
