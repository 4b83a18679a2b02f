"""The kernels of surface points against their twins in float64."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from render_meshes import sphere
from torch import Tensor
from torch.nn.functional import normalize

from vhap.geometry.cameras import Camera
from vhap.geometry.fans import fans_of
from vhap.render import reference_points as twins
from vhap.render.blocks import BLOCK, in_blocks, padded
from vhap.render.types import Topology
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

SIZE, POINTS, JOINTS, SHAPES, PICTURES = (48, 56), 300, 5, 45, 3
REACH = Reach(border_px=2, hidden_uv=0.05, jump_uv=0.1)


@dataclass(frozen=True)
class Stage:
    """A dented sphere that hides parts of itself before a camera from the side, and points all over it."""

    vertices: Tensor
    topology: Topology
    camera: Camera
    corners: Tensor
    barycentrics: Tensor
    uvs: Tensor

    @property
    def clip(self) -> Tensor:
        return self.camera.to_clip(self.vertices[None])[0]

    @property
    def uv(self) -> Tensor:
        return (self.uvs[self.corners.long()] * self.barycentrics[..., None]).sum(1)


def some(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def stage() -> Stage:
    points, topology = sphere(3)
    x, y, z = points.unbind(-1)
    vertices = points * (1 + 0.4 * torch.sin(40 * x) * torch.cos(30 * y + 10 * z))[:, None]
    angle = torch.tensor(0.4)
    pose = torch.eye(4)
    pose[:3, :3] = torch.tensor([[angle.cos(), 0, -angle.sin()], [0, 1, 0], [angle.sin(), 0, angle.cos()]])
    pose[:3, 3] = torch.tensor([0.01, -0.02, -0.9])
    lens = [torch.tensor([value]) for value in (190.0, 200.0, 30.0, 22.0)]
    rows = torch.randint(len(topology.faces), (POINTS,), generator=torch.Generator().manual_seed(1))
    return Stage(
        vertices=vertices,
        topology=topology,
        camera=Camera(*lens, pose[None], *SIZE),
        corners=topology.faces[rows],
        barycentrics=normalize(some(POINTS, 3, seed=2).abs(), p=1, dim=-1),
        uvs=0.5 + 4 * points[:, :2],
    )


def points_of(stage: Stage) -> PointList:
    """Its points in PICTURES pictures of two heads."""
    pictures = (torch.arange(POINTS) * PICTURES // POINTS).int()
    return PointList(stage.corners, stage.barycentrics, pictures, torch.tensor([0, 1, 1], dtype=torch.int32))


def cameras_of(stage: Stage, count: int) -> Camera:
    """The camera, and others beside it."""
    every = stage.camera.select(torch.zeros(count, dtype=torch.long))
    pose = every.T_camera_world.clone()
    pose[:, 0, 3] += 0.02 * torch.arange(count)
    return replace(every, fx=every.fx + 5 * torch.arange(count), T_camera_world=pose)


def assert_near(found: Tensor, expected: Tensor, tolerance: float = 2e-5) -> None:
    assert found.dtype == torch.float32
    expected = expected.detach().double()
    scale = float(expected.abs().max())
    assert scale > 0
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=tolerance * scale)


def test_skinning_agrees(stage):
    count = len(stage.vertices)
    weights = some(count, JOINTS, seed=1).clamp(min=0)
    transforms, translation = some(JOINTS, 3, 4, seed=2), some(3, seed=3)
    others = some(count, 3, seed=4), some(JOINTS, 3, 4, seed=5), some(3, seed=6)
    both = [torch.stack(pair) for pair in zip((stage.vertices, transforms, translation), others)]
    found = skin_vertices(both[0], weights, both[1], both[2])
    turned = blend_rotations(weights, both[1][..., :3])
    for head in range(2):
        assert_near(found[head], twins.skin_vertices(both[0][head], weights, both[1][head], both[2][head]))
        assert_near(turned[head], twins.blend_rotations(weights, both[1][head][..., :3]))


def test_clip_space_is_the_cameras(stage):
    heads, cameras = torch.tensor([0, 1, 1], dtype=torch.int32), camera_numbers(cameras_of(stage, 3))
    vertices = torch.stack([stage.vertices, 0.9 * stage.vertices])
    found = to_clip(vertices, heads, cameras, SIZE)
    for picture, head in enumerate(heads.tolist()):
        camera = twins.camera_of_numbers(cameras[picture], SIZE)
        assert_near(found[picture], camera.to_clip(vertices[head, None].double())[0], 1e-6)
    assert_near(found[0], stage.clip, 1e-6)


def test_normals_agree(stage):
    both = torch.stack([stage.vertices, stage.vertices.flip(1)])
    units, lengths = fan_normals(both, fans_of(len(stage.vertices), stage.topology.faces.long()))
    for head in range(2):
        expected = twins.fan_normals(both[head], stage.topology.faces)
        assert_near(units[head], expected[0])
        assert_near(lengths[head], expected[1])


def test_a_vertex_without_triangles_has_no_normal():
    units, lengths = fan_normals(torch.rand(1, 4, 3), fans_of(4, torch.tensor([[0, 1, 2]])))
    assert not units[0, 3].any()
    assert float(lengths[0, 3]) == pytest.approx(1e-12)


def test_places_agree(stage):
    units = normalize(some(2, len(stage.vertices), 3), dim=-1)
    vertices = torch.stack([stage.vertices, 0.9 * stage.vertices])
    points, cameras = points_of(stage), camera_numbers(cameras_of(stage, PICTURES))
    found = place_points(points, vertices, units, cameras)
    for picture, head in enumerate(points.heads.tolist()):
        part = points.pictures == picture
        camera = twins.camera_of_numbers(cameras[picture], SIZE)
        given = [points.corners[part], points.barycentrics[part], vertices[head], units[head]]
        names = (found.surface, found.normals, found.px, found.facing)
        for one, expected in zip(names, twins.place_points(*given, camera), strict=True):
            assert_near(one[part], expected)
    assert points.heads.tolist() == [0, 1, 1]


def test_what_is_drawn_is_known_at_single_pixels(stage):
    drawn = Drawn.of(stage.clip, stage.topology, SIZE)
    raster = twins.DrawnMaps.of(stage.clip, stage.topology, stage.uvs, SIZE).raster
    assert torch.equal(drawn.mask, raster.mask[0])
    some_of = torch.arange(0, len(raster.pixels), 3)
    faces, weights = drawn.at(raster.pixels[some_of])
    assert torch.equal(faces, raster.face_id.flatten()[raster.pixels[some_of]].long())
    assert_near(weights, raster.barycentrics[some_of], 1e-4)


@pytest.mark.parametrize("reach", [REACH, Reach(1, 1.0, 0.002), Reach(1, 0.01, 1.0)], ids=["usual", "jumps", "hidden"])
def test_visibility_agrees_with_maps_of_the_whole_picture(stage, reach):
    random = torch.Generator().manual_seed(5)
    px = torch.rand(6000, 2, generator=random) * torch.tensor([SIZE[1] + 8.0, SIZE[0] + 8.0]) - 4
    drawn, maps = (
        Drawn.of(stage.clip, stage.topology, SIZE),
        twins.DrawnMaps.of(stage.clip, stage.topology, stage.uvs, SIZE),
    )
    column, row = (px[:, axis].floor().long().clamp(0, SIZE[1 - axis] - 1) for axis in (0, 1))
    uv = (maps.uv[row, column] + 0.03 * some(len(px), 2, seed=6)).float()
    inside = torch.rand(SIZE, generator=random) > 0.01
    found = find_visible(px, uv, drawn, inside, stage.uvs, reach)
    expected = twins.find_visible(px, uv, maps, inside, reach.border_px, reach.hidden_uv, reach.jump_uv)
    assert 100 < int(expected.sum()) < 5000
    assert int((found != expected).sum()) == 0


def test_samples_agree_also_at_the_border():
    random = torch.Generator().manual_seed(7)
    planes = [torch.rand(1, 3, *SIZE, generator=random) for _ in range(2)]
    px = torch.rand(POINTS, 2, generator=random) * torch.tensor([SIZE[1] + 4.0, SIZE[0] + 4.0]) - 2
    normals, lights, ranges = 3 * some(POINTS, 3), some(9, seed=3), [(0, POINTS // 3), (POINTS // 3, POINTS)]
    value, slope = sample_points(px, planes, ranges)
    nearest, _ = sample_points(px, planes, ranges, marks_beside=False)
    shading = shade_points(normals, lights)
    for plane, (first, end) in zip(planes, ranges):
        part = slice(first, end)
        expected = twins.sample_points(px[part], normals[part], lights, plane)
        for one, other in zip((value[part], slope[part], shading[part]), expected, strict=True):
            assert_near(one, other)
        inside = expected[0] >= 0
        assert 0 < int(inside.sum()) < end - first
        assert torch.equal(nearest[part][inside], value[part][inside])
        assert bool((nearest[part] >= 0).all())


def test_gradients_agree(stage):
    points, cameras, lights = points_of(stage), camera_numbers(cameras_of(stage, PICTURES)), some(9, seed=3)
    surface = (stage.vertices[stage.corners.long()] * stage.barycentrics[..., None]).sum(1)
    given = [surface, 2 * some(POINTS, 3, seed=4), some(POINTS, 2, seed=5), some(POINTS, seed=6).abs()]
    found = point_gradients(cameras, points.pictures, lights, *given, -0.7)
    for picture in range(PICTURES):
        part = points.pictures == picture
        camera = twins.camera_of_numbers(cameras[picture], SIZE)
        expected = twins.point_gradients(camera, lights, *(each[part] for each in given), -0.7)
        names = (found.by_point, found.by_normal, found.by_camera, found.by_light)
        for one, other in zip(names, expected, strict=True):
            assert_near(one[part], other)


def test_a_point_behind_the_camera_does_not_move_in_depth(stage):
    numbers = camera_numbers(stage.camera)
    behind = stage.camera.centre() + torch.tensor([[0.2, 0.1, 3.0]])
    one = torch.ones(1)
    first = torch.zeros(1, dtype=torch.int32)
    found = point_gradients(numbers, first, some(9), behind, torch.zeros(1, 3), torch.ones(1, 2), one, 1.0)
    camera = twins.camera_of_numbers(numbers[0], SIZE)
    expected = torch.ones(1, 1, 2).double() @ camera.projection_derivatives(behind.double()[None])[0]
    assert_near(found.by_point, expected[0])
    assert not found.by_normal.any()


def spread_of(stage: Stage, by_normal: Tensor | None, vertices: Tensor) -> Spread:
    """Of the points on heads vertices (2, V, 3)."""
    fans = fans_of(len(stage.vertices), stage.topology.faces.long())
    normals = None if by_normal is None else fan_normals(vertices, fans)
    return spread_over_vertices(points_of(stage), some(POINTS, 3, seed=8), by_normal, vertices, normals, fans)


def dense(spread: Spread, n_vertices: int) -> Tensor:
    """(N, V, 3)."""
    found = torch.zeros(len(spread.counts), n_vertices, 3, dtype=torch.float64)
    for row, (begin, count) in enumerate(zip(spread.begins.tolist(), spread.counts.tolist())):
        vertex = spread.vertex[begin : begin + count].long()
        assert len(torch.unique(vertex)) == count, "a vertex is listed twice"
        found[row, vertex] = spread.gradient[begin : begin + count].double()
    return found


@pytest.mark.parametrize("normals", [False, True], ids=["places", "places and normals"])
def test_derivatives_by_vertices_joints_and_blend_shapes_agree(stage, normals):
    by_normal = 0.1 * some(POINTS, 3, seed=9) if normals else None
    vertices, points = torch.stack([stage.vertices, 0.9 * stage.vertices.flip(1)]), points_of(stage)
    spread, count = spread_of(stage, by_normal, vertices), len(stage.vertices)
    heads = points.heads[points.pictures.long()]
    canonical, turned = some(2, count, 3, seed=10), some(2, count, 3, 3, seed=11)
    weights = some(count, JOINTS, seed=12).clamp(min=0)
    by_vertices = torch.zeros(POINTS, count, 3, dtype=torch.float64)
    expected = torch.zeros(POINTS, 12 * JOINTS + 4, dtype=torch.float64)
    for head in range(2):
        part = heads == head
        assert bool(part.any())
        by_vertices[part] = twins.by_vertices(
            stage.corners[part],
            stage.barycentrics[part],
            some(POINTS, 3, seed=8)[part],
            None if by_normal is None else by_normal[part],
            vertices[head],
            stage.topology.faces,
        )
        expected[part] = twins.gather_joints(by_vertices[part], canonical[head], weights)
    assert_near(dense(spread, count).float(), by_vertices)
    assert_near(gather_joints(spread, points, canonical, weights, turned), expected)
    basis = some(count, 3, SHAPES, seed=13)
    rows = torch.full((POINTS, BLOCK + padded(SHAPES)), 7.0)
    through_blend_shapes(spread, in_blocks(basis, SHAPES), rows)
    assert bool((rows[:, :BLOCK] == 7).all())
    for head in range(2):
        part = heads == head
        blended = twins.through_blend_shapes(by_vertices[part], turned[head], basis)
        assert_near(rows[part, BLOCK : BLOCK + SHAPES], blended)
    assert not rows[:, BLOCK + SHAPES :].any()


def test_a_vertex_between_opposed_triangles_turns_nothing():
    faces = torch.tensor([[0, 1, 2], [0, 2, 1]])
    fans, vertices = fans_of(3, faces), torch.eye(3)[None]
    normals, first = fan_normals(vertices, fans), torch.zeros(1, dtype=torch.int32)
    point = PointList(faces[:1].int(), torch.full((1, 3), 1 / 3), first, first)
    spread = spread_over_vertices(point, torch.zeros(1, 3), torch.ones(1, 3), vertices, normals, fans)
    assert not spread.gradient[: int(spread.counts)].any()


def test_blocks_hold_blend_shapes_and_drop_what_is_no_displacement():
    basis = some(4, 3, SHAPES)
    basis[0, 0, 0] = 1e-20
    table = in_blocks(basis, 70)
    assert table.shape == (4, 3, 3, BLOCK)
    columns = table.transpose(1, 2).flatten(2)
    assert float(columns[0, 0, 0]) == 0
    assert torch.equal(columns[1:, :, :SHAPES], basis[1:])
    assert not columns[..., SHAPES:].any()
