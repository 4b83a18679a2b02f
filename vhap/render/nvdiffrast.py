"""nvdiffrast (Laine et al. 2020) behind the renderer's interface; CUDA only, imported when a backend is made.

The picture is kept with row 0 on top by turning clip y around before every call, and nvdiffrast, which draws both
sides of a surface, is given the front faces of each view only.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from vhap.render.shading import shade
from vhap.render.types import Raster, Topology
from vhap.util.errors import InputError

ROW = 1024
"""Pixels per line of the picture that a list of pixels is laid out as for texture look-ups."""


class NvdiffrastBackend:
    """The operations of `vhap.render.types.Backend`, float32 on CUDA.

    Raises InputError where `device` is not a CUDA device or nvdiffrast is not installed.
    """

    name = "nvdiffrast"

    def __init__(self, device: torch.device) -> None:
        if device.type != "cuda" or not torch.cuda.is_available():
            raise InputError(
                f"expected a CUDA device for the nvdiffrast renderer, found {device}; choose the renderer 'warp'"
            )
        self._ops: Any = _import_nvdiffrast()
        self._context = self._ops.RasterizeCudaContext(device=device)

    def rasterize(self, clip: Tensor, topology: Topology, height: int, width: int) -> Raster:
        flipped = _flip(clip)
        drawn = [self._draw_view(flipped[k : k + 1], clip[k], topology, height, width) for k in range(len(clip))]
        rast, slopes, face_id = (torch.cat(parts) for parts in zip(*drawn))
        pixels = torch.nonzero(face_id.view(-1) >= 0).squeeze(1)
        u, v = rast.reshape(-1, 4)[pixels, :2].unbind(-1)
        first_two = slopes.reshape(-1, 2, 2)[pixels].detach()
        return Raster(
            face_id=face_id,
            pixels=pixels,
            views=pixels.div(height * width, rounding_mode="floor"),
            barycentrics=torch.stack([u, v, 1 - u - v], -1),
            barycentric_derivatives=torch.cat([first_two, -first_two.sum(1, keepdim=True)], 1),
        )

    def interpolate(self, attributes: Tensor, faces: Tensor, raster: Raster) -> Tensor:
        return (_at_corners(attributes, faces, raster) * raster.barycentrics[..., None]).sum(1)

    def attribute_derivatives(self, attributes: Tensor, faces: Tensor, raster: Raster) -> Tensor:
        corners = _at_corners(attributes.detach(), faces, raster)
        return torch.einsum("nkc,nkd->ncd", corners, raster.barycentric_derivatives)

    def texture(self, texture: Tensor, uv: Tensor, uv_derivatives: Tensor | None, raster: Raster) -> Tensor:
        if len(texture) == 1:
            return self._sample(texture, uv, uv_derivatives)
        counts = torch.bincount(raster.views, minlength=len(texture)).tolist()
        slopes = [None] * len(counts) if uv_derivatives is None else uv_derivatives.split(counts)
        parts = zip(texture.split(1), uv.split(counts), slopes)
        return torch.cat([self._sample(*part) for part in parts])

    def light(self, normals: Tensor, lights: Tensor, raster: Raster) -> tuple[Tensor, Tensor]:
        unit = torch.nn.functional.normalize(normals, dim=-1)
        return unit, shade(unit, lights)

    def antialias(self, pictures: Tensor, raster: Raster, clip: Tensor, topology: Topology) -> Tensor:
        rast = _dense_raster(raster, clip.detach(), topology)
        return self._ops.antialias(pictures.contiguous(), rast, _flip(clip), topology.faces)

    def _draw_view(
        self, flipped: Tensor, clip: Tensor, topology: Topology, height: int, width: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One view: nvdiffrast's picture (1, H, W, 4), its slopes (1, H, W, 4), face numbers of the whole mesh."""
        front = torch.nonzero(_faces_front(clip.detach(), topology.faces)).squeeze(1)
        if len(front) == 0:
            empty = clip.new_zeros(1, height, width, 4)
            return empty, empty, torch.full((1, height, width), -1, dtype=torch.int32, device=clip.device)
        faces = topology.faces[front].contiguous()
        # The CUDA rasterizer takes sides divisible by 8 only (upstream issue 193).
        size = (height + -height % 8, width + -width % 8)
        drawn = self._ops.rasterize(self._context, _enlarge(flipped, height, width, size), faces, size)
        rast, slopes = (values[:, :height, :width] for values in drawn)
        number = rast[..., 3].detach().long() - 1
        face_id = torch.where(number >= 0, front[number.clamp(min=0)], -1).int()
        return rast, slopes, face_id

    def _sample(self, texture: Tensor, uv: Tensor, uv_derivatives: Tensor | None) -> Tensor:
        """One texture (1, Ht, Wt, C) at uv (N, 2) -> (N, C)."""
        count = len(uv)
        if count == 0:
            return texture.new_zeros(0, texture.shape[3])
        # nvdiffrast has t = 0 at the array's first row.
        sign = uv.new_tensor([1.0, -1.0])
        places = _as_picture(uv * sign + uv.new_tensor([0.0, 1.0]))
        if uv_derivatives is None:
            sampled = self._ops.texture(texture.contiguous(), places, filter_mode="linear", boundary_mode="clamp")
        else:
            sampled = self._ops.texture(
                texture.contiguous(),
                places,
                uv_da=_as_picture((uv_derivatives.detach() * sign[:, None]).reshape(-1, 4)),
                filter_mode="linear-mipmap-linear",
                boundary_mode="clamp",
                max_mip_level=_halvings(texture.shape[1], texture.shape[2]),
            )
        return sampled.reshape(-1, texture.shape[3])[:count]


def _import_nvdiffrast() -> Any:
    try:
        import nvdiffrast.torch as ops  # type: ignore[import-not-found]
    except ImportError as error:
        raise InputError(
            f"expected the package nvdiffrast for this renderer, found none ({error}); install it from "
            "https://github.com/NVlabs/nvdiffrast or choose the renderer 'warp'"
        ) from error
    return ops


def _flip(clip: Tensor) -> Tensor:
    return (clip * clip.new_tensor([1.0, -1.0, 1.0, 1.0])).contiguous()


def _enlarge(flipped: Tensor, height: int, width: int, size: tuple[int, int]) -> Tensor:
    """Clip positions for a picture of the larger `size` whose first rows and columns are the picture asked for."""
    x, y, z, w = flipped.unbind(-1)
    return torch.stack([(x + w) * (width / size[1]) - w, (y + w) * (height / size[0]) - w, z, w], -1).contiguous()


def _faces_front(clip: Tensor, faces: Tensor) -> Tensor:
    """(V, 4), (F, 3) -> (F,) bool: counter-clockwise seen from the camera, with vertices before or behind it."""
    a, b, c = (clip[faces[:, k].long()][:, [0, 1, 3]] for k in range(3))
    return (a * torch.linalg.cross(b, c)).sum(-1) > 0


def _at_corners(attributes: Tensor, faces: Tensor, raster: Raster) -> Tensor:
    corners = faces.long()[raster.face_id.view(-1)[raster.pixels].long()]
    views = raster.views if len(attributes) > 1 else torch.zeros_like(raster.views)
    return attributes[views[:, None], corners]


def _dense_raster(raster: Raster, clip: Tensor, topology: Topology) -> Tensor:
    """nvdiffrast's picture of a raster: two barycentrics, z / w, triangle number from 1; (B, H, W, 4)."""
    face = raster.face_id.view(-1)[raster.pixels].long()
    weights = raster.barycentrics.detach()
    place = (clip[raster.views[:, None], topology.faces.long()[face]] * weights[..., None]).sum(1)
    values = torch.stack([weights[:, 0], weights[:, 1], place[:, 2] / place[:, 3], face.to(clip.dtype) + 1], -1)
    dense = clip.new_zeros(raster.face_id.numel(), 4)
    return dense.index_copy(0, raster.pixels, values).view(*raster.face_id.shape, 4)


def _as_picture(values: Tensor) -> Tensor:
    """(N, C) -> (1, rows, ROW, C), filled up with zeros."""
    missing = -len(values) % ROW
    filled = torch.nn.functional.pad(values, (0, 0, 0, missing))
    return filled.view(1, -1, ROW, values.shape[1]).contiguous()


def _halvings(height: int, width: int) -> int:
    """How often both sides can be halved exactly (a side of 1 stays), which is how deep nvdiffrast's chain goes."""
    count = 0
    while max(height, width) > 1 and height % 2 * (height > 1) == 0 and width % 2 * (width > 1) == 0:
        height, width, count = max(height // 2, 1), max(width // 2, 1), count + 1
    return count
