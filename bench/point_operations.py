"""Operations on points of a surface in the first of a scene's pictures, by kernels and by their twins in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from eye_operations import eye_operations
from kernel_costs import JOINTS, SHAPES
from kernel_scene import KernelScene, Operation, operations
from torch import Tensor

from vhap.geometry.cameras import Camera
from vhap.geometry.fans import Fans, fans_of
from vhap.render import reference_points as twins
from vhap.render.blocks import in_blocks, padded
from vhap.render.types import Backend
from vhap.render.warp_point_derivatives import (
    Spread,
    gather_joints,
    point_gradients,
    spread_over_vertices,
    through_blend_shapes,
)
from vhap.render.warp_surface_points import (
    Drawn,
    PointList,
    Reach,
    blend_rotations,
    camera_numbers,
    fan_normals,
    find_visible,
    place_points,
    sample_points,
    shade_points,
    skin_vertices,
    to_clip,
)

REACH = Reach(border_px=2, hidden_uv=0.05, jump_uv=0.1)


def every_operation(scene: KernelScene) -> list[Operation]:
    """The renderer's six, those on points, and that on eyes."""
    return [*operations(scene), *point_operations(scene), *eye_operations(scene)]


@dataclass(frozen=True)
class PointScene:
    """What operations on points take, of the first picture of a scene; values are random, the same ones each time."""

    scene: KernelScene

    @cached_property
    def vertices(self) -> Tensor:
        return self.scene.vertices[0].contiguous()

    @cached_property
    def fans(self) -> Fans:
        return fans_of(len(self.vertices), self.scene.topology.faces.long())

    @cached_property
    def corners(self) -> Tensor:
        face = self.scene.raster.face_id.flatten()[self.scene.raster.pixels[self.scene.points]]
        return self.scene.topology.faces[face.long()]

    @cached_property
    def barycentrics(self) -> Tensor:
        return self.scene.raster.barycentrics[self.scene.points].contiguous()

    @cached_property
    def numbers(self) -> Tensor:
        return camera_numbers(self.scene.camera)

    @cached_property
    def spread(self) -> Spread:
        return self.spread_of(self.random(len(self.corners), 3), self.random(len(self.corners), 3))

    @cached_property
    def normals(self) -> tuple[Tensor, Tensor]:
        return fan_normals(self.vertices[None], self.fans)

    @cached_property
    def listed(self) -> PointList:
        none = torch.zeros(len(self.corners), dtype=torch.int32, device=self.vertices.device)
        return PointList(self.corners, self.barycentrics, none, none[:1])

    def spread_of(self, by_point: Tensor, by_normal: Tensor) -> Spread:
        return spread_over_vertices(self.listed, by_point, by_normal, self.vertices[None], self.normals, self.fans)

    def random(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=torch.Generator().manual_seed(len(shape))).to(self.vertices) - 0.3

    def dense(self, spread: Spread) -> Tensor:
        """(N, V, 3) float64: derivatives by all vertices. For few points."""
        found = torch.zeros(len(spread.counts), len(self.vertices), 3, dtype=torch.float64, device=self.vertices.device)
        for row, (begin, count) in enumerate(zip(spread.begins.tolist(), spread.counts.tolist())):
            vertex = spread.vertex[begin : begin + count].long()
            found[row].index_add_(0, vertex, spread.gradient[begin : begin + count].double())
        return found


def point_operations(scene: KernelScene) -> list[Operation]:
    points = PointScene(scene)
    return [*_view_operations(points), *_derivative_operations(points)]


def _operation(
    name: str, inputs: tuple[Tensor, ...], kernel: Callable[..., Tensor], twin: Callable[..., Tensor]
) -> Operation:
    def function(backend: Backend, *values: Tensor) -> Tensor:
        return twin(*values) if backend.name == "reference" else kernel(*values)

    return Operation(name, inputs, function, differentiable=False)


def _joined(parts: tuple[Tensor, ...] | list[Tensor]) -> Tensor:
    return torch.cat([part.flatten() for part in parts])


def _vertex_operations(points: PointScene, camera: Camera) -> list[Operation]:
    count, size = len(points.vertices), points.scene.size
    weights, shift = (points.random(count, JOINTS) - 0.2).clamp(min=0), points.random(3)
    return [
        _operation(
            "skin_vertices",
            (points.vertices, points.random(JOINTS, 3, 4)),
            lambda vertices, transforms: skin_vertices(vertices[None], weights, transforms[None], shift[None])[0],
            lambda vertices, transforms: twins.skin_vertices(vertices, weights, transforms, shift),
        ),
        _operation(
            "blend_rotations",
            (weights, points.random(JOINTS, 3, 3)),
            lambda weights, rotations: blend_rotations(weights, rotations[None])[0],
            twins.blend_rotations,
        ),
        _operation(
            "to_clip",
            (points.vertices,),
            lambda vertices: to_clip(vertices[None], points.listed.heads, points.numbers, size)[0],
            lambda vertices: camera.to_clip(vertices[None])[0],
        ),
    ]


def _view_operations(points: PointScene) -> list[Operation]:
    scene, fans, corners, numbers = points.scene, points.fans, points.corners, points.numbers
    faces, size, uvs = scene.topology.faces, scene.size, scene.uvs[0]
    camera, count = twins.camera_of_numbers(numbers[0], size), len(corners)
    drawn, inside = Drawn.of(scene.clip[0], scene.topology, size), torch.ones_like(scene.raster.mask[0])
    pixels, units = scene.raster.pixels[scene.points], points.normals[0]
    share = points.barycentrics
    uv = (uvs[scene.topology.uv_faces[scene.raster.face_id.flatten()[pixels].long()].long()] * share[..., None]).sum(1)
    px = place_points(points.listed, points.vertices[None], units, numbers).px
    planes, still, dark = points.random(1, 3, *size), points.random(count, 3), points.random(9)

    def placed(vertices: Tensor, units: Tensor) -> Tensor:
        found = place_points(points.listed, vertices[None], units[None], numbers)
        return _joined((found.surface, found.normals, found.px, found.facing))

    def visible_by_maps(px: Tensor) -> Tensor:
        maps = twins.DrawnMaps.of(scene.clip[0], scene.topology, uvs, size)
        return twins.find_visible(px, uv, maps, inside, REACH.border_px, REACH.hidden_uv, REACH.jump_uv).double()

    def weighed_by_maps(clip: Tensor) -> Tensor:
        return twins.DrawnMaps.of(clip, scene.topology, uvs, size).raster.barycentrics[scene.points]

    return [
        *_vertex_operations(points, camera),
        _operation(
            "fan_normals",
            (points.vertices,),
            lambda vertices: _joined(fan_normals(vertices[None], fans)),
            lambda vertices: _joined(twins.fan_normals(vertices, faces)),
        ),
        _operation(
            "place_points",
            (points.vertices, units[0]),
            placed,
            lambda vertices, units: _joined(twins.place_points(corners, share, vertices, units, camera)),
        ),
        _operation(
            "find_visible",
            (px,),
            lambda px: find_visible(px, uv, drawn, inside, uvs, REACH).float(),
            visible_by_maps,
        ),
        _operation("weigh_pixels", (drawn.clip,), lambda clip: drawn.at(pixels)[1], weighed_by_maps),
        _operation(
            "sample_points",
            (px, planes),
            lambda px, planes: _joined(sample_points(px, [planes], [(0, count)])),
            lambda px, planes: _joined(twins.sample_points(px, still, dark, planes)[:2]),
        ),
        _operation(
            "shade_points",
            (still, scene.lights[:, 0].contiguous()),
            shade_points,
            lambda normals, lights: twins.sample_points(px, normals, lights, planes)[2],
        ),
    ]


def _derivative_operations(points: PointScene) -> list[Operation]:
    vertices, corners, share = points.vertices, points.corners, points.barycentrics
    faces, count, random = points.scene.topology.faces, len(corners), points.random
    camera = twins.camera_of_numbers(points.numbers[0], points.scene.size)
    surface = (vertices[corners.long()] * share[..., None]).sum(1)
    weights = (random(len(vertices), JOINTS) - 0.2).clamp(min=0)
    turned, basis = random(len(vertices), 3, 3), random(len(vertices), 3, SHAPES)
    table = in_blocks(basis, SHAPES)

    def gradients(lights: Tensor, *values: Tensor) -> Tensor:
        surface, normals, slope, albedo = values
        pictures = points.listed.pictures
        found = point_gradients(points.numbers, pictures, lights, surface, normals, slope, albedo, -1.0)
        return _joined((found.by_point, found.by_normal, found.by_camera, found.by_light))

    def spread(by_point: Tensor, by_normal: Tensor) -> Tensor:
        found = points.spread_of(by_point, by_normal)
        return points.dense(found) if count * len(vertices) < MOST_DENSE else found.gradient

    def joints(canonical: Tensor) -> Tensor:
        # A copy, since the kernel changes its gradients.
        spread = Spread(
            points.spread.begins, points.spread.counts, points.spread.vertex, points.spread.gradient.clone()
        )
        return gather_joints(spread, points.listed, canonical[None], weights, turned[None])

    def blended(table: Tensor) -> Tensor:
        rows = vertices.new_empty(count, padded(SHAPES))
        through_blend_shapes(points.spread, table, rows)
        return rows[:, :SHAPES]

    still = torch.eye(3, device=faces.device).expand(len(vertices), 3, 3)
    return [
        _operation(
            "point_gradients",
            (points.scene.lights[:, 0].contiguous(), surface, random(count, 3), random(count, 2), random(count)),
            gradients,
            lambda lights, a, b, c, d: _joined(twins.point_gradients(camera, lights, a, b, c, d, -1.0)),
        ),
        _operation(
            "spread_over_vertices",
            (random(count, 3), 0.01 * random(count, 3)),
            spread,
            lambda by_point, by_normal: twins.by_vertices(corners, share, by_point, by_normal, vertices, faces),
        ),
        _operation(
            "gather_joints",
            (vertices,),
            joints,
            lambda canonical: twins.gather_joints(points.dense(points.spread), canonical, weights),
        ),
        _operation(
            "through_blend_shapes",
            (table,),
            blended,
            lambda table: twins.through_blend_shapes(points.dense(points.spread), still, basis),
        ),
    ]


MOST_DENSE = 1 << 19
"""Derivatives of more points by more vertices are not laid out in full."""
