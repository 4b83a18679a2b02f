"""Derivatives of a picture's residuals at surface points, by everything that moves the points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import warp as wp
from torch import Tensor

from vhap.geometry.fans import Fans
from vhap.render.blocks import BLOCK
from vhap.render.kernels import point_derivatives as kernels
from vhap.render.warp_common import flat, launch_ranges, vectors, wrap
from vhap.render.warp_surface_points import PointList, fan_tables


@dataclass(frozen=True)
class Gradients:
    """Of N residuals. by_point (N, 3), by_normal (N, 3): by the surface point and its normal; by_camera (N, 2): by the
    logarithms of focal length and of the rig's scale; by_light (N, 9): by grey light."""

    by_point: Tensor
    by_normal: Tensor
    by_camera: Tensor
    by_light: Tensor


@dataclass(frozen=True)
class Spread:
    """Derivatives of N residuals by single vertices. Those of residual n begin at begins[n] of begins (N + 1,), and are
    counts[n] of counts (N,): vertex (K,), gradient (K, 3). Numbers are int32."""

    begins: Tensor
    counts: Tensor
    vertex: Tensor
    gradient: Tensor

    def entries(self) -> tuple[Tensor, Tensor, Tensor]:
        """Of all residuals, one after the other: which residual (E,), which vertex (E,), and the gradient (E, 3)."""
        counts = self.counts.long()
        owner = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
        first = counts.cumsum(0) - counts
        place = self.begins[:-1].long()[owner] + torch.arange(len(owner), device=counts.device) - first[owner]
        return owner, self.vertex[place].long(), self.gradient[place]


def point_gradients(
    cameras: Tensor,
    pictures: Tensor,
    lights: Tensor,
    surface: Tensor,
    normals: Tensor,
    slope: Tensor,
    albedo: Tensor,
    sign: float,
) -> Gradients:
    """Of albedo (N,) times the shading of normals (N, 3) of any length by grey lights (9,), plus sign times what has
    the slope (N, 2) by x and y where surface points (N, 3) are projected to by the cameras (P, 4, 4) of their pictures
    (N,) int32."""
    found = Gradients(*(surface.new_empty(len(surface), width) for width in (3, 3, 2, 9)))
    inputs = [vectors(cameras), wrap(pictures), wrap(lights), vectors(surface), vectors(normals), vectors(slope)]
    inputs += [wrap(albedo), sign, vectors(found.by_point), vectors(found.by_normal), vectors(found.by_camera)]
    _launch(kernels.point_gradients, len(surface), [*inputs, wrap(found.by_light.view(-1))], surface)
    return found


def spread_over_vertices(
    points: PointList,
    by_point: Tensor,
    by_normal: Tensor | None,
    vertices: Tensor,
    normals: tuple[Tensor, Tensor] | None,
    fans: Fans,
) -> Spread:
    """points on heads (B, V, 3); by_normal None where residuals do not depend on normals; normals: of the vertices, as
    `fan_normals` gives them, None where by_normal is."""
    corners = points.corners
    begins = _begins(corners, None if by_normal is None else fans)
    places = int(begins[-1])
    spread = Spread(
        begins=begins,
        counts=torch.empty(len(corners), dtype=torch.int32, device=corners.device),
        vertex=torch.empty(places, dtype=torch.int32, device=corners.device),
        gradient=vertices.new_empty(places, 3),
    )
    # Without normals nothing stands in their places that is read.
    units, lengths = (vertices, vertices[..., 0]) if normals is None else normals
    inputs = [wrap(corners, wp.vec3i), vectors(points.barycentrics), wrap(points.pictures), wrap(points.heads)]
    inputs += [vectors(by_point), vectors(by_point if by_normal is None else by_normal), by_normal is not None]
    inputs += [vectors(vertices), vectors(units), flat(lengths), *fan_tables(fans), vertices.shape[1], *_tables(spread)]
    _launch(kernels.spread_over_vertices, len(corners), inputs, vertices)
    return spread


def _begins(corners: Tensor, fans: Fans | None) -> Tensor:
    """(N + 1,) int32: where the places of each of N points begin: one for each corner, and for each of its edges."""
    room = torch.full_like(corners[:, 0], 3)
    if fans is not None:
        room = room + (fans.start[1:] - fans.start[:-1])[corners].sum(1)
    return torch.cat([room.new_zeros(1), room.cumsum(0)]).int()


def _tables(spread: Spread) -> list[Any]:
    return [wrap(spread.begins), wrap(spread.counts), wrap(spread.vertex), vectors(spread.gradient)]


def gather_joints(spread: Spread, points: PointList, canonical: Tensor, weights: Tensor, turned: Tensor) -> Tensor:
    """Derivatives (N, 12 J + 4) by every joint's 3 x 4 transform, row by row, then by a translation, and a zero.

    points: whose derivatives spread holds; canonical (B, V, 3): vertices before skinning, which turns their
    displacements by turned (B, V, 3, 3); weights (V, J). Afterwards spread holds derivatives by canonical vertices.
    """
    joints = weights.shape[1]
    found = canonical.new_empty(len(spread.counts), 12 * joints + 4)
    assert joints == kernels.JOINTS
    inputs = [
        *_tables(spread),
        wrap(points.pictures),
        wrap(points.heads),
        canonical.shape[1],
        vectors(canonical),
        vectors(weights),
        wrap(turned.view(-1, 3, 3), wp.mat33),
        vectors(found.view(-1, 4)),
    ]
    _launch(kernels.gather_joints, len(spread.counts), inputs, canonical)
    return found


def through_blend_shapes(spread: Spread, basis: Tensor, out: Tensor) -> None:
    """Writes derivatives by blend shapes basis (V, K, 3, BLOCK), of canonical vertices, into the last K blocks of
    columns of out (N, L)."""
    blocks, out_blocks = basis.shape[1], out.shape[1] // BLOCK
    inputs = [*_tables(spread), vectors(basis), blocks, out_blocks - blocks, out_blocks]
    inputs.append(vectors(out.view(-1, BLOCK)))
    _launch(kernels.through_blend_shapes, len(spread.counts) * blocks, inputs, basis)


def _launch(kernel: Any, count: int, inputs: list[Any], like: Tensor) -> None:
    launch_ranges(kernel, [(0, count)], lambda _: inputs, like.device)
