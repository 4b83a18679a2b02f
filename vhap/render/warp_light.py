"""Unit normals and spherical-harmonic shading of the listed pixels in one pass."""

from __future__ import annotations

from typing import Any

import torch
import warp as wp
from torch import Tensor

from vhap.render.kernels.light import light_backward, light_forward
from vhap.render.types import Raster
from vhap.render.warp_common import launch_ranges, shared_ranges, view_ranges, wrap


class Light(torch.autograd.Function):
    """`Backend.light` with gradients to normals and lights."""

    @staticmethod
    def forward(ctx: Any, normals: Tensor, lights: Tensor, raster: Raster) -> tuple[Tensor, Tensor]:
        unit, shade = torch.empty_like(normals), torch.empty_like(normals)
        inputs = [wrap(tensor, wp.vec3) for tensor in (normals, lights, unit, shade)]
        launch_ranges(light_forward, view_ranges(raster), lambda _: inputs, normals.device)
        ctx.save_for_backward(normals, lights)
        ctx.raster = raster
        return unit, shade

    @staticmethod
    def backward(ctx: Any, grad_unit: Tensor, grad_shade: Tensor) -> tuple[Tensor, Tensor | None, None]:
        normals, lights = ctx.saved_tensors
        wanted = ctx.needs_input_grad[1]
        ranges = shared_ranges(ctx.raster) if wanted else view_ranges(ctx.raster)
        grad_normals = torch.empty_like(normals)
        # On CUDA a single sum would make all pixels wait for each other.
        spread = 256 if normals.is_cuda else 1
        grad_lights = normals.new_zeros(len(ranges) * spread, 9, 3)
        inputs = [wrap(tensor, wp.vec3) for tensor in (normals, lights, grad_unit, grad_shade)]
        inputs += [wanted, wrap(grad_normals, wp.vec3), wrap(grad_lights.view(-1, 3), wp.vec3)]
        launch_ranges(light_backward, ranges, lambda part: [part, spread, *inputs], normals.device)
        return grad_normals, grad_lights.sum(0) if wanted else None, None


def light(normals: Tensor, lights: Tensor, raster: Raster) -> tuple[Tensor, Tensor]:
    """See `Backend.light`."""
    assert normals.shape == (len(raster.pixels), 3)
    assert lights.shape == (9, 3)
    return Light.apply(normals.contiguous(), lights.contiguous(), raster)  # type: ignore[misc]
