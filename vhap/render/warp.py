"""Rendering with NVIDIA Warp: one source for CPU and CUDA, compiled at first use, no toolkit needed."""

from __future__ import annotations

from torch import Tensor

from vhap.render.types import Raster, Topology
from vhap.render.warp_antialias import antialias
from vhap.render.warp_interpolate import attribute_derivatives, interpolate
from vhap.render.warp_light import light
from vhap.render.warp_rasterize import rasterize
from vhap.render.warp_texture import sample_texture


class WarpBackend:
    """float32 on any device; the operations of `vhap.render.types.Backend`."""

    name = "warp"

    def rasterize(self, clip: Tensor, topology: Topology, height: int, width: int) -> Raster:
        return rasterize(clip, topology, height, width)

    def interpolate(self, attributes: Tensor, faces: Tensor, raster: Raster) -> Tensor:
        return interpolate(attributes, faces, raster)

    def attribute_derivatives(self, attributes: Tensor, faces: Tensor, raster: Raster) -> Tensor:
        return attribute_derivatives(attributes, faces, raster)

    def texture(self, texture: Tensor, uv: Tensor, uv_derivatives: Tensor | None, raster: Raster) -> Tensor:
        return sample_texture(texture, uv, uv_derivatives, raster)

    def light(self, normals: Tensor, lights: Tensor, raster: Raster) -> tuple[Tensor, Tensor]:
        return light(normals, lights, raster)

    def antialias(self, pictures: Tensor, raster: Raster, clip: Tensor, topology: Topology) -> Tensor:
        return antialias(pictures, raster, clip, topology)
