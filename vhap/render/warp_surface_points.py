"""Points of a surface in one picture: where they are, whether they are seen, what the picture shows there."""

from __future__ import annotations

from collections.abc import Sequence
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
class PointList:
    """N points of surfaces in P pictures of B heads. corners (N, 3) int32, barycentrics (N, 3); pictures (N,) int32,
    ascending: which picture each is of; heads (P,) int32: which head each picture shows."""

    corners: Tensor
    barycentrics: Tensor
    pictures: Tensor
    heads: Tensor


@dataclass(frozen=True)
class Placed:
    """N points in their pictures. surface (N, 3); normals (N, 3), interpolated between unit normals; px (N, 2); facing
    (N,): cosine of the angle under which each is seen."""

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
        (drawn,) = cls.all_of(clip[None], topology, size)
        return drawn

    @classmethod
    def all_of(cls, clip: Tensor, topology: Topology, size: tuple[int, int]) -> list[Drawn]:
        """Into a picture each. clip (P, V, 4)."""
        clip = clip.contiguous()
        return [cls(each, topology, keys) for each, keys in zip(clip, draw(clip, topology.faces, *size))]

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
    """Cameras with leading axis P as numbers (P, 4, 4): fx, fy, cx, cy, then the rows of the 3 x 4 pose."""
    lens = torch.stack([camera.fx, camera.fy, camera.cx, camera.cy], -1)
    return torch.cat([lens[:, None], camera.T_camera_world[:, :3]], 1).float().contiguous()


def skin_vertices(canonical: Tensor, weights: Tensor, transforms: Tensor, translation: Tensor) -> Tensor:
    """(B, V, 3) by weights (V, J) and the joints' transforms (B, J, 3, 4), then moved by translation (B, 3)."""
    vertices, (joints, count) = torch.empty_like(canonical), (weights.shape[1], canonical.shape[1])
    inputs = [vectors(canonical), flat(weights), vectors(transforms), joints, count, vectors(translation)]
    _launch(kernels.skin_vertices, canonical.numel() // 3, [*inputs, vectors(vertices)], canonical)
    return vertices


def blend_rotations(weights: Tensor, rotations: Tensor) -> Tensor:
    """Joints' rotations (B, J, 3, 3) by weights (V, J): what skinning turns displacements by (B, V, 3, 3)."""
    heads, (count, joints) = len(rotations), weights.shape
    turned = weights.new_empty(heads, count, 3, 3)
    inputs = [flat(weights), wrap(rotations.reshape(-1, 3, 3), wp.mat33), joints, count]
    inputs.append(wrap(turned.view(-1, 3, 3), wp.mat33))
    _launch(kernels.blend_rotations, heads * count, inputs, weights)
    return turned


def to_clip(vertices: Tensor, heads: Tensor, cameras: Tensor, size: tuple[int, int]) -> Tensor:
    """Of heads (B, V, 3), those that P pictures show, heads (P,) int32, by their cameras (P, 4, 4): (P, V, 4), as
    `Camera.to_clip`; size: (height, width)."""
    count = vertices.shape[1]
    clip = vertices.new_empty(len(heads), count, 4)
    inputs = [vectors(vertices), count, wrap(heads), vectors(cameras), float(size[0]), float(size[1]), vectors(clip)]
    _launch(kernels.to_clip, len(heads) * count, inputs, vertices)
    return clip


def fan_normals(vertices: Tensor, fans: Fans) -> tuple[Tensor, Tensor]:
    """(B, V, 3) -> area-weighted unit normals (B, V, 3), as `vertex_normals`, and the lengths (B, V) of the sums."""
    units, lengths, count = torch.empty_like(vertices), vertices.new_empty(vertices.shape[:2]), vertices.shape[1]
    inputs = [vectors(vertices), *fan_tables(fans), count, vectors(units), flat(lengths)]
    _launch(kernels.fan_normals, len(vertices) * count, inputs, vertices)
    return units, lengths


def place_points(points: PointList, vertices: Tensor, units: Tensor, cameras: Tensor) -> Placed:
    """On vertices (B, V, 3) with normals units (B, V, 3), by cameras (P, 4, 4)."""
    share, count = points.barycentrics, len(points.corners)
    placed = Placed(*(share.new_empty(count, *width) for width in ((3,), (3,), (2,), ())))
    inputs = [wrap(points.corners, wp.vec3i), vectors(share), wrap(points.pictures), wrap(points.heads)]
    inputs += [vectors(vertices), vectors(units), vertices.shape[1], vectors(cameras)]
    inputs += [vectors(placed.surface), vectors(placed.normals), vectors(placed.px), wrap(placed.facing)]
    _launch(kernels.place_points, count, inputs, vertices)
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
    px: Tensor, planes: Sequence[Tensor], ranges: Sequence[tuple[int, int]], marks_beside: bool = True
) -> tuple[Tensor, Tensor]:
    """Value (N,) and slope (N, 2) of pictures at px (N, 2), bilinear. planes: one (1, 3, H, W) for each of the ranges
    (first, end) of points. Beside the picture -1, or what its border shows unless marks_beside."""
    value, slope = px.new_empty(len(px)), torch.empty_like(px)
    height, width = planes[0].shape[2:] if planes else (0, 0)
    described, places = [flat(each) for each in planes], vectors(px)
    ends = [wrap(value), vectors(slope)]
    launch_ranges(
        kernels.sample_points,
        ranges,
        lambda part: [places, described[part], height, width, marks_beside, *ends],
        px.device,
    )
    return value, slope


def shade_points(normals: Tensor, lights: Tensor) -> Tensor:
    """(N,) shading of normals (N, 3) of any length by grey lights (9,)."""
    shading = normals.new_empty(len(normals))
    _launch(kernels.shade_points, len(normals), [vectors(normals), wrap(lights), wrap(shading)], normals)
    return shading


def fan_tables(fans: Fans) -> list[Any]:
    return [wrap(part) for part in (fans.start, fans.neighbour, fans.after, fans.before)]


def _launch(kernel: Any, count: int, inputs: list[Any], like: Tensor) -> None:
    launch_ranges(kernel, [(0, count)], lambda _: inputs, like.device)
