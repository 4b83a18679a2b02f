"""Points of a surface in one picture: where they are, whether they are seen, what the picture shows there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import warp as wp
from torch import Tensor

from vhap.geometry.cameras import Camera
from vhap.geometry.fans import Fans
from vhap.render.kernels import surface_points as kernels
from vhap.render.kernels.rasterize import EMPTY_KEY
from vhap.render.types import Topology
from vhap.render.warp_common import flat, launch_ranges, vectors, wrap
from vhap.render.warp_rasterize import draw


@dataclass(frozen=True)
class Placed:
    """M points in a picture. surface (M, 3); normals (M, 3), interpolated between unit normals; px (M, 2); facing (M,):
    cosine of the angle under which each is seen."""

    surface: Tensor
    normals: Tensor
    px: Tensor
    facing: Tensor


@dataclass(frozen=True)
class Drawn:
    """A mesh drawn into one picture. clip (V, 4); keys (H, W) int64: depth above triangle, as `draw` gives them."""

    clip: Tensor
    topology: Topology
    keys: Tensor

    @classmethod
    def of(cls, clip: Tensor, topology: Topology, size: tuple[int, int]) -> Drawn:
        """clip (V, 4); size: (height, width)."""
        clip = clip.contiguous()
        return cls(clip, topology, draw(clip[None], topology.faces, *size)[0])

    @property
    def mask(self) -> Tensor:
        """(H, W) bool: where the mesh is seen."""
        return self.keys != EMPTY_KEY.value

    def at(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Triangles (K,) int64 and weights (K, 3) of their corners at flat indices of covered pixels (K,)."""
        faces, barycentrics = torch.empty_like(pixels), self.clip.new_empty(len(pixels), 3)
        inputs = [wrap(pixels), flat(self.keys), vectors(self.clip), wrap(self.topology.faces, wp.vec3i)]
        inputs += [*self.keys.shape, wrap(faces), vectors(barycentrics)]
        _launch(kernels.weigh_pixels, len(pixels), inputs, self.clip)
        return faces, barycentrics


@dataclass(frozen=True)
class Reach:
    """When a picture shows a point. border_px: pixels so far around, 1 at least, show the head too; hidden_uv: the
    pixel shows nothing further away in texture coordinates; jump_uv: pixels around span no more beyond what slopes
    say."""

    border_px: int
    hidden_uv: float
    jump_uv: float


def camera_numbers(camera: Camera) -> Tensor:
    """A camera with leading axis 1 as (16,) numbers: fx, fy, cx, cy, and the rows of its 3 x 4 pose."""
    lens = [camera.fx, camera.fy, camera.cx, camera.cy]
    return torch.cat([*lens, camera.T_camera_world[0, :3].flatten()]).float()


def skin_vertices(canonical: Tensor, weights: Tensor, transforms: Tensor, translation: Tensor) -> Tensor:
    """(V, 3) by weights (V, J) and the joints' transforms (J, 3, 4), then moved by translation (3,): (V, 3)."""
    vertices = torch.empty_like(canonical)
    inputs = [vectors(canonical), flat(weights), vectors(transforms), weights.shape[1], vectors(translation)]
    _launch(kernels.skin_vertices, len(canonical), [*inputs, vectors(vertices)], canonical)
    return vertices


def blend_rotations(weights: Tensor, rotations: Tensor) -> Tensor:
    """Joints' rotations (J, 3, 3) by weights (V, J): what skinning turns displacements by (V, 3, 3)."""
    turned = weights.new_empty(len(weights), 3, 3)
    inputs = [flat(weights), wrap(rotations, wp.mat33), weights.shape[1], wrap(turned, wp.mat33)]
    _launch(kernels.blend_rotations, len(weights), inputs, weights)
    return turned


def to_clip(vertices: Tensor, camera: Tensor, size: tuple[int, int]) -> Tensor:
    """(V, 3) -> (V, 4), as `Camera.to_clip`; camera (16,); size: (height, width)."""
    clip = vertices.new_empty(len(vertices), 4)
    inputs = [vectors(vertices), wrap(camera), float(size[0]), float(size[1]), vectors(clip)]
    _launch(kernels.to_clip, len(vertices), inputs, vertices)
    return clip


def fan_normals(vertices: Tensor, fans: Fans) -> tuple[Tensor, Tensor]:
    """(V, 3) -> area-weighted unit normals (V, 3), as `vertex_normals`, and the lengths (V,) of the sums."""
    units, lengths = torch.empty_like(vertices), vertices.new_empty(len(vertices))
    inputs = [vectors(vertices), *fan_tables(fans), vectors(units), wrap(lengths)]
    _launch(kernels.fan_normals, len(vertices), inputs, vertices)
    return units, lengths


def place_points(corners: Tensor, barycentrics: Tensor, vertices: Tensor, units: Tensor, camera: Tensor) -> Placed:
    """corners (M, 3) int32, barycentrics (M, 3) on vertices (V, 3) with normals units (V, 3); camera (16,)."""
    placed = Placed(*(barycentrics.new_empty(len(corners), *width) for width in ((3,), (3,), (2,), ())))
    inputs = [wrap(corners, wp.vec3i), vectors(barycentrics), vectors(vertices), vectors(units), wrap(camera)]
    inputs += [vectors(placed.surface), vectors(placed.normals), vectors(placed.px), wrap(placed.facing)]
    _launch(kernels.place_points, len(corners), inputs, vertices)
    return placed


def find_visible(px: Tensor, uv: Tensor, drawn: Drawn, inside: Tensor, uvs: Tensor, reach: Reach) -> Tensor:
    """(M,) bool: which points at px (M, 2) with texture coordinates uv (M, 2) the picture shows.

    inside (H, W) bool: the matte; uvs (U, 2): of the mesh.
    """
    visible = torch.empty(len(px), dtype=torch.bool, device=px.device)
    inputs = [vectors(px), vectors(uv), flat(drawn.keys), flat(inside), vectors(drawn.clip)]
    inputs += [wrap(drawn.topology.faces, wp.vec3i), wrap(drawn.topology.uv_faces, wp.vec3i), vectors(uvs)]
    inputs += [*drawn.keys.shape, reach.border_px, reach.hidden_uv, reach.jump_uv, wrap(visible)]
    _launch(kernels.find_visible, len(px), inputs, px)
    return visible


def sample_points(
    index: Tensor, px: Tensor, normals: Tensor, lights: Tensor, planes: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Of the n points index (n,) out of M: value (n,) and slope (n, 2) of planes (1, 3, H, W) at px (M, 2), bilinear,
    -1 beside the picture, and shading (n,) of normals (M, 3) by grey lights (9,)."""
    count, (height, width) = len(index), planes.shape[2:]
    value, slope, shading = (px.new_empty(count, *width_of) for width_of in ((), (2,), ()))
    inputs = [wrap(index), vectors(px), vectors(normals), wrap(lights), flat(planes), height, width]
    _launch(kernels.sample_points, count, [*inputs, wrap(value), vectors(slope), wrap(shading)], px)
    return value, slope, shading


def fan_tables(fans: Fans) -> list[Any]:
    return [wrap(part) for part in (fans.start, fans.neighbour, fans.after, fans.before)]


def _launch(kernel: Any, count: int, inputs: list[Any], like: Tensor) -> None:
    launch_ranges(kernel, [(0, count)], lambda _: inputs, like.device)
