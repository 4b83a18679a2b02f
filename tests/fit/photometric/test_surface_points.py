"""Points of the surface: each column against finite differences, and which points a picture shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d, normalize
from tracked_heads import builtin_head, frame_batch, moving_params, scene, still_params

from vhap.fit.online_pictures import part_around
from vhap.fit.params import CAMERA, N_CAMERA, PER_FRAME, TrackParams
from vhap.fit.photometric.pictures import GREY, GreyPicture, grey_pictures
from vhap.fit.photometric.posed_heads import PosedHeads
from vhap.fit.photometric.surface_points import (
    Counts,
    PictureBatch,
    ShownBatch,
    SurfacePoints,
    View,
    choose_points,
    find_shown,
    look_at,
    outline_derivatives,
    point_derivatives,
)
from vhap.fit.residuals.outlines import MatteBorder
from vhap.fit.residuals.surface_derivatives import sloped_planes
from vhap.fit.scene import Scene
from vhap.geometry.cameras import Camera, camera_from_focal
from vhap.geometry.meshes import vertex_normals
from vhap.head.model import pose
from vhap.render.shading import shade
from vhap.render.warp_surface_points import PointList

SIZE, TEXTURE, COUNT = (96, 96), 64, 400
CENTRE, RADIUS = (44.0, 51.0), 30.0
STEPS = {"rotation": 2e-3, "translation": 5e-4, "lights": 0.05, "expr": 0.02, "shape": 0.02}
UNKNOWNS = [*PER_FRAME, "focal_length", "shape", "lights"]


def waves(place: Tensor) -> Tensor:
    """Grey (...) at places (..., 2) px: waves many pixels long, so that differences over a pixel are slopes."""
    x, y = place.unbind(-1)
    return 0.5 + 0.2 * torch.sin(0.15 * x + 0.06 * y) + 0.2 * torch.cos(0.12 * y - 0.08 * x)


def from_disc(place: Tensor) -> Tensor:
    """Distance (...) of places (..., 2) px from a disc."""
    return (place - place.new_tensor(CENTRE)).norm(dim=-1) - RADIUS


def pixel_centres() -> Tensor:
    rows, columns = torch.meshgrid(torch.arange(SIZE[0]), torch.arange(SIZE[1]), indexing="ij")
    return torch.stack([columns, rows], -1) + 0.5


def picture(grey: Tensor | None = None, inside: Tensor | None = None, camera: int = 0) -> GreyPicture:
    return GreyPicture(
        planes=sloped_planes(waves(pixel_centres()) if grey is None else grey),
        inside=torch.ones(SIZE, dtype=torch.bool) if inside is None else inside,
        border=MatteBorder.of(from_disc(pixel_centres())),
        cameras=torch.tensor([camera]),
    )


def lit_params() -> TrackParams:
    params = moving_params(1, TEXTURE)
    random = torch.Generator().manual_seed(2)
    return replace(
        params,
        rotation=torch.tensor([[0.1, 0.3, -0.1]]),
        lights=params.lights + 0.3 * torch.randn(9, 3, generator=random),
        neck_pose=torch.tensor([[0.05, -0.1, 0.02]]),
        eyes_pose=torch.tensor([[0.1, -0.05, 0.02, 0.05, 0.1, -0.02]]),
    )


def offset_params() -> TrackParams:
    offset = 0.004 * torch.sin(40 * builtin_head().template)
    return replace(lit_params(), static_offset=offset, dynamic_offset=0.5 * offset.flip(-1)[None])


def two_cameras() -> Camera:
    """Given cameras, the second of which looks from the side, off its centre."""
    camera = camera_from_focal(torch.tensor(2.2), *SIZE).expand(2)
    angle = torch.tensor(0.4)
    place = camera.T_camera_world.clone()
    turn = torch.tensor([[angle.cos(), 0, -angle.sin()], [0, 1, 0], [angle.sin(), 0, angle.cos()]])
    place[1, :3, :3] = turn
    return replace(camera, cx=camera.cx + torch.tensor([0.0, 3.0]), T_camera_world=place)


def batch_of(stage: Scene, params: TrackParams, shown: GreyPicture) -> PictureBatch:
    return PictureBatch.of_one(PosedHeads.of(stage, params), shown)


def found_in(stage: Scene, params: TrackParams, shown: GreyPicture, points: SurfacePoints, outline: int = 0):
    """What one picture shows of the points; None where that is next to nothing."""
    (found,) = find_shown(stage, batch_of(stage, params, shown), points, outline)
    return found


def points_of(stage: Scene, params: TrackParams, shown: GreyPicture, count: int = COUNT) -> SurfacePoints:
    points = choose_points(stage, [batch_of(stage, params, shown)], count)
    assert points is not None
    return points


def view_of(stage: Scene, params: TrackParams, shown: GreyPicture, points: SurfacePoints, outline: int = 0) -> View:
    found, batch = found_in(stage, params, shown, points, outline), batch_of(stage, params, shown)
    assert found is not None
    return look_at(stage, batch, ShownBatch.of([found], points, batch.heads))


def counts_of(seen: View) -> Counts:
    (one,) = seen.shown.each
    return one.counts


def project(stage: Scene, params: TrackParams, points: SurfacePoints | PointList, camera: int = 0) -> Tensor:
    """(n, 2) px."""
    vertices = pose(stage.head, params.head())[0]
    surface = (vertices[points.corners.long()] * points.barycentrics[..., None]).sum(1)
    return params.cameras(stage.given, SIZE, torch.tensor([camera])).project(surface[None])[0][0]


def rendered(stage: Scene, params: TrackParams, points: SurfacePoints) -> Tensor:
    """Shading (M,) of the points."""
    normals = vertex_normals(pose(stage.head, params.head())[0], stage.topology.faces)
    smooth = (normals[points.corners] * points.barycentrics[..., None]).sum(1)
    return shade(normalize(smooth, dim=-1), params.lights) @ torch.tensor(GREY)


def moved(params: TrackParams, name: str, index: int, step: float) -> TrackParams:
    value = getattr(params, name).clone()
    if name in CAMERA:
        return replace(params, **{name: value * torch.tensor(step).exp()})
    if name == "lights":
        value[index] += step
    else:
        value.view(-1)[index] += step
    return replace(params, **{name: value})


def assert_derivatives(
    params: TrackParams,
    name: str,
    columns: tuple[Tensor, Tensor],
    value: Callable[[TrackParams], Tensor],
    rounding: float = 1e-4,
) -> None:
    """columns by shared and own unknowns, for the unknown `name`, are central differences of value (n,)."""
    shared, own = columns
    widths = [getattr(params, each).shape[1] for each in PER_FRAME]
    parts = dict(zip(PER_FRAME, own.split(widths, 1)))
    count, step = params.shape.shape[0], STEPS.get(name, 2e-3)
    widths = [1] * N_CAMERA + [count, shared.shape[1] - N_CAMERA - count]
    parts |= dict(zip((*CAMERA, "shape", "lights"), shared.split(widths, 1)))
    assert parts[name].shape[1] > 0
    for index, column in enumerate(parts[name].T):
        forward, backward = (value(moved(params, name, index, sign * step)) for sign in (1, -1))
        numeric = (forward - backward) / (2 * step)
        assert float((column - numeric).norm()) < 0.03 * float(numeric.norm()) + rounding, (name, index)


@pytest.mark.parametrize("name", UNKNOWNS)
@pytest.mark.parametrize("start", [lit_params, offset_params], ids=["bare", "with offsets"])
def test_columns_of_points_are_finite_differences(start, name):
    stage, params, shown = scene(SIZE, TEXTURE), start(), picture()
    points = points_of(stage, params, shown)
    seen = view_of(stage, params, shown, points)
    albedo = 0.3 + 0.5 * torch.rand(len(seen.index), generator=torch.Generator().manual_seed(1))

    def difference(there: TrackParams) -> Tensor:
        every = rendered(stage, there, points), waves(project(stage, there, points))
        return every[0][seen.index] * albedo - every[1][seen.index]

    columns = point_derivatives(stage, batch_of(stage, params, shown), seen, albedo)
    assert_derivatives(params, name, columns, difference)
    at_rest = seen.shading * albedo - seen.value
    torch.testing.assert_close(at_rest, difference(params), atol=0.01, rtol=0)


@pytest.mark.parametrize("name", ["rig_scale" if name == "focal_length" else name for name in UNKNOWNS])
def test_columns_of_points_are_those_of_the_given_camera(name):
    stage, params, shown = replace(scene(SIZE, TEXTURE), given=two_cameras()), lit_params(), picture(camera=1)
    points = points_of(stage, params, shown)
    seen = view_of(stage, params, shown, points)
    albedo = torch.full_like(seen.value, 0.6)

    def difference(there: TrackParams) -> Tensor:
        return (rendered(stage, there, points) * 0.6 - waves(project(stage, there, points, 1)))[seen.index]

    assert_derivatives(
        params,
        name,
        point_derivatives(stage, batch_of(stage, params, shown), seen, albedo),
        difference,
    )
    first = view_of(stage, params, picture(), points)
    assert len(first.index) < len(seen.index)


@pytest.mark.parametrize("name", [name for name in UNKNOWNS if name not in ("lights", "eyes_pose")])
def test_columns_of_outlines_are_finite_differences(name):
    stage, params, shown = scene(SIZE, TEXTURE), lit_params(), picture()
    seen = view_of(stage, params, shown, points_of(stage, params, shown), outline=200)
    outline = seen.shown.outline
    assert outline is not None

    def distance(there: TrackParams) -> Tensor:
        return from_disc(project(stage, there, outline.points))

    columns = outline_derivatives(stage, batch_of(stage, params, shown), seen)
    assert_derivatives(params, name, columns, distance, 1e-3)


def turned(yaw: float) -> TrackParams:
    return replace(still_params(1, TEXTURE), rotation=torch.tensor([[0.0, yaw, 0.0]]))


def behind_the_surface(stage: Scene, params: TrackParams, points: SurfacePoints) -> Tensor:
    """(M,) metres of the points behind what the picture shows at their pixels, infinite beside the head."""
    camera, vertices = params.cameras(None, SIZE, torch.zeros(1)), pose(stage.head, params.head())
    raster = stage.backend.rasterize(camera.to_clip(vertices), stage.topology, *SIZE)
    depths = camera.project(vertices)[1]
    nearest = torch.full(SIZE, -torch.inf)
    nearest.view(-1)[raster.pixels] = stage.backend.interpolate(depths[..., None], stage.topology.faces, raster)[:, 0]
    column, row = project(stage, params, points).long().clamp(0, SIZE[0] - 1).unbind(-1)
    surface = (vertices[0][points.corners] * points.barycentrics[..., None]).sum(1)
    return camera.project(surface[None])[1][0] - nearest[row, column]


def test_points_behind_the_surface_are_not_seen():
    stage, params, shown = scene(SIZE, TEXTURE), turned(0.5), picture()
    around = choose_points(stage, [batch_of(stage, turned(yaw), shown) for yaw in (-1.5, 0.0, 0.8, 2.5)], COUNT)
    assert around is not None
    behind = behind_the_surface(stage, params, around)
    seen = torch.zeros(len(behind), dtype=torch.bool)
    seen[view_of(stage, params, shown, around).index] = True
    assert (behind > 0.02).sum() > 400
    assert not (seen & (behind > 0.02)).any()
    assert (seen & (behind.abs() < 0.005)).sum() > 0.7 * (behind.abs() < 0.005).sum() > 400
    back = choose_points(stage, [batch_of(stage, turned(3.14), shown)], COUNT)
    assert back is not None
    assert found_in(stage, turned(0.0), shown, back) is None


def near_params() -> TrackParams:
    near = replace(still_params(1, TEXTURE), focal_length=torch.tensor([4.0]))
    return replace(near, translation=torch.tensor([[0.0, -0.02, 0.0]]))


def large_picture() -> tuple[Scene, GreyPicture]:
    stage = scene((384, 384), TEXTURE)
    everywhere = torch.ones(stage.size, dtype=torch.bool)
    return stage, GreyPicture(
        sloped_planes(torch.zeros(stage.size)), everywhere, None, torch.zeros(1, dtype=torch.long)
    )


def test_points_behind_a_lid_are_not_seen():
    """The eye is a hair's breadth behind the lid."""
    (stage, shown), near, names = large_picture(), near_params(), builtin_head().expr_names
    shut = near.expr.clone()
    shut[:, [names.index("eyeBlink_L"), names.index("eyeBlink_R")]] = 1.0
    points = points_of(stage, near, shown, 20_000)
    eyeball = torch.isin(points.corners, stage.head.regions["eyeballs"]).all(-1)
    open_eyes, shut_eyes = (view_of(stage, replace(near, expr=expr), shown, points).index for expr in (near.expr, shut))
    assert eyeball[open_eyes].sum() > 50
    assert eyeball[shut_eyes].sum() < 0.05 * eyeball[open_eyes].sum()
    assert len(shut_eyes) > 0.9 * len(open_eyes)


def test_points_beside_a_lid_are_not_seen():
    """Where the picture mixes the colours of lid and eye."""
    (stage, shown), near = large_picture(), near_params()
    camera, vertices = near.cameras(None, stage.size, torch.zeros(1)), pose(stage.head, near.head())
    raster = stage.backend.rasterize(camera.to_clip(vertices), stage.topology, *stage.size)
    of_eye = torch.isin(stage.head.faces, stage.head.regions["eyeballs"]).all(-1)
    eye = of_eye[raster.face_id[0].clamp(min=0).long()] & raster.mask[0]
    border = (max_pool2d(eye.float()[None], 3, 1, 1) + max_pool2d(1 - eye.float()[None], 3, 1, 1))[0] == 2
    points = points_of(stage, near, shown, 40_000)
    place = camera.project((vertices[0][points.corners] * points.barycentrics[..., None]).sum(1)[None])[0][0]
    column, row = place.long().unbind(-1)
    seen = view_of(stage, near, shown, points).index
    assert border[row, column].sum() > 50
    assert border[row, column][seen].sum() < 0.1 * border[row, column].sum()


@pytest.mark.parametrize("place", [(30.0, 0.0), (0.0, -95.0), (0.0, 4.0)], ids=["beside", "far", "behind"])
def test_a_head_out_of_sight_shows_nothing(place):
    stage, params, shown = scene(SIZE, TEXTURE), lit_params(), picture()
    points = points_of(stage, params, shown)
    away = replace(params, translation=params.translation + torch.tensor([place[0], 0.0, place[1]]))
    assert found_in(stage, away, shown, points) is None
    assert choose_points(stage, [batch_of(stage, away, shown)], COUNT) is None
    both = choose_points(stage, [batch_of(stage, away, shown), batch_of(stage, params, shown)], COUNT)
    assert both is not None
    assert len(both.grey) == COUNT


def test_points_outside_the_picture_are_not_seen_and_its_border_is_not_darker():
    stage, params, shown = scene(SIZE, TEXTURE), turned(0.0), picture(grey=torch.full(SIZE, 0.5))
    points = points_of(stage, params, shown, 20_000)
    aside = replace(params, translation=torch.tensor([[0.28, 0.0, 0.0]]))
    place, seen = project(stage, aside, points), view_of(stage, aside, shown, points)
    assert (place[:, 0] > SIZE[1]).sum() > 1000
    assert SIZE[1] - 0.3 < float(place[seen.index, 0].max()) < SIZE[1]
    torch.testing.assert_close(seen.value, torch.full_like(seen.value, 0.5))


def test_points_outside_the_matte_are_not_seen():
    stage, params = scene(SIZE, TEXTURE), lit_params()
    half = torch.zeros(SIZE, dtype=torch.bool)
    half[:, : SIZE[1] // 2] = True
    points = points_of(stage, params, picture())
    every, some = (view_of(stage, params, shown, points) for shown in (picture(), picture(inside=half)))
    place = project(stage, params, points)
    assert float(place[some.index, 0].max()) < SIZE[1] / 2 - 2
    assert float(place[every.index, 0].max()) > SIZE[1] / 2 + 10
    assert counts_of(some).points < 0.7 * counts_of(every).points
    assert found_in(stage, params, picture(inside=torch.zeros_like(half)), points) is None


def test_a_view_counts_as_many_as_its_points():
    stage, params, shown = scene(SIZE, TEXTURE), lit_params(), picture()
    few, many = (view_of(stage, params, shown, points_of(stage, params, shown, count)) for count in (200, 1000))
    assert counts_of(few).points < counts_of(many).points == len(many.index)
    for seen in (few, many):
        assert float(seen.share.sum()) == pytest.approx(counts_of(seen).points, rel=1e-5)


def test_what_is_seen_aslant_counts_less():
    stage, params, shown = scene(SIZE, TEXTURE), lit_params(), picture()
    seen = view_of(stage, params, shown, points_of(stage, params, shown))
    (one,) = seen.shown.each
    facing = one.counts.facing[seen.index]
    assert facing.min() > -0.2
    frontal, aslant = seen.share[facing > 0.9], seen.share[facing < 0.4]
    assert len(frontal)
    assert len(aslant)
    assert aslant.max() < 0.25 * frontal.min()
    turned = one.counting(replace(one.counts, facing=torch.ones_like(one.counts.facing)))
    torch.testing.assert_close(turned.share, torch.ones_like(turned.share))


def test_triangles_that_are_left_out_have_no_points():
    stage, params, shown = scene(SIZE, TEXTURE), lit_params(), picture()
    nose = torch.isin(stage.head.faces, stage.head.regions["nose"]).any(-1)
    with_nose = points_of(stage, params, shown)
    without = choose_points(stage, [batch_of(stage, params, shown)], COUNT, nose)
    assert without is not None
    assert torch.isin(with_nose.corners, stage.head.regions["nose"]).any(-1).sum() > 5
    assert not torch.isin(without.corners, stage.head.regions["nose"]).all(-1).any()
    assert choose_points(stage, [batch_of(stage, params, shown)], COUNT, torch.ones_like(nose)) is None


def test_pictures_of_the_head_have_the_points_colours():
    stage, params = scene(SIZE, TEXTURE), replace(still_params(1, TEXTURE), rotation=torch.tensor([[0.1, 0.3, -0.1]]))
    batch = frame_batch(params, SIZE)
    (shown,) = grey_pictures(batch, [0])
    seen = view_of(stage, params, shown, points := points_of(stage, params, shown))
    difference = (seen.shading * points.grey[seen.index] - seen.value).abs()
    assert float(difference.median()) < 0.01
    assert float(points.grey.std()) > 0.05
    assert batch.alpha is not None
    assert torch.equal(shown.inside, batch.alpha[0] > 0.5)
    (plain,) = grey_pictures(replace(batch, alpha=None), [0])
    assert plain.inside.all()
    assert plain.border is None


def test_points_on_the_part_of_a_head_around_them_look_and_move_as_on_the_whole():
    stage, params, shown = scene(SIZE, TEXTURE), lit_params(), picture()
    points, albedo = points_of(stage, params, shown), torch.full((COUNT,), 0.6)
    found = found_in(stage, params, shown, points)
    assert found is not None
    # Few of them, so that much of the head is left out.
    found = replace(found, index=found.index[:60])
    near, corners = part_around(stage, points.corners[found.index])
    assert near.head.n_vertices < stage.head.n_vertices / 2
    renumbered = points.corners.clone()
    renumbered[found.index] = corners
    views = []
    for part, on_it in ((stage, points), (near, replace(points, corners=renumbered))):
        batch = batch_of(part, params, shown)
        seen = look_at(part, batch, ShownBatch.of([found], on_it, batch.heads))
        by_shared, by_own = point_derivatives(part, batch, seen, albedo[seen.index])
        views.append((seen.value, seen.shading, seen.surface, by_shared, by_own))
    assert len(views[0]) == 5
    for whole, part in zip(*views, strict=True):
        torch.testing.assert_close(part, whole, atol=1e-6, rtol=1e-6)
