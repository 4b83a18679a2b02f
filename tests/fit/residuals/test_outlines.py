"""Distances from mattes, and which points make the head's outline."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from tracked_heads import builtin_head, frame_batch, scene, still_params

from vhap.fit.params import TrackParams
from vhap.fit.residuals.outlines import (
    EDGE,
    FURTHEST_PX,
    Outline,
    OutlinePrior,
    beyond_matte,
    matte_border,
    outline_at,
)
from vhap.head.model import pose
from vhap.render.types import Raster

SIZE, TEXTURE, COUNT = (128, 128), 64, 1000


def pixel_centres(size: tuple[int, int]) -> Tensor:
    rows, columns = torch.meshgrid(torch.arange(size[0]), torch.arange(size[1]), indexing="ij")
    return torch.stack([columns, rows], -1) + 0.5


def disc(centre: tuple[float, float], radius: float, size: tuple[int, int] = SIZE) -> tuple[Tensor, Tensor]:
    """Matte of a disc, drawn with 8 x 8 samples a pixel, and the distance (H, W) from its border."""
    shares = (torch.arange(8) + 0.5) / 8 - 0.5
    sub_pixels = torch.stack(torch.meshgrid(shares, shares, indexing="ij"), -1).view(64, 2)
    place = pixel_centres(size) - torch.tensor(centre)
    alpha = ((place[..., None, :] + sub_pixels).norm(dim=-1) < radius).float().mean(-1)
    return alpha, place.norm(dim=-1) - radius


def head_params(shift_m: float = 0.0, **changes) -> TrackParams:
    params = replace(still_params(1, TEXTURE), rotation=torch.tensor([[0.05, 0.2, 0.0]]))
    return replace(params, translation=torch.tensor([[shift_m, 0.0, 0.0]]), **changes)


def raster_of(params: TrackParams) -> Raster:
    stage, camera = scene(SIZE, TEXTURE), params.cameras(None, SIZE, torch.zeros(1))
    return stage.backend.rasterize(camera.to_clip(pose(stage.head, params.head())), stage.topology, *SIZE)


def matte() -> Tensor:
    """(H, W) of the head where it is."""
    alpha = frame_batch(head_params(), SIZE).alpha
    assert alpha is not None
    return alpha[0]


def outline_in(raster: Raster, count: int, fixed: Tensor | None) -> Outline | None:
    """Of the head that is drawn, against the matte of the head where it is."""

    def surface(pixels: Tensor) -> tuple[Tensor, Tensor]:
        return raster.face_id.flatten()[pixels].long(), raster.barycentrics[torch.searchsorted(raster.pixels, pixels)]

    return outline_at(builtin_head().faces, raster.mask[0], surface, matte_border(matte()), count, fixed)


def outline_of(params: TrackParams, count: int = COUNT, fixed: Tensor | None = None) -> Outline:
    found = outline_in(raster_of(params), count, fixed)
    assert found is not None
    return found


def places(params: TrackParams, outline: Outline) -> Tensor:
    """(n, 2) px."""
    vertices = pose(builtin_head(), params.head())[0]
    surface = (vertices[outline.corners] * outline.barycentrics[..., None]).sum(1)
    return params.cameras(None, SIZE, torch.zeros(1)).project(surface[None])[0][0]


@pytest.mark.parametrize(("centre", "radius"), [((64.0, 64.0), 40.0), ((60.3, 66.8), 33.4), ((71.5, 55.2), 12.7)])
def test_distance_from_a_disc_is_right_to_a_part_of_a_pixel(centre, radius):
    alpha, distance = disc(centre, radius)
    error = (beyond_matte(alpha) - distance).abs()
    assert float(error[distance.abs() < 0.4].max()) < 0.1
    assert float(error[distance.abs() < 20].mean()) < 0.3
    assert float((error - 0.02 * distance.abs())[distance.abs() < 20].max()) < 0.6


def test_what_shines_through_inside_is_no_border():
    alpha, distance = disc((64.0, 64.0), 40.0)
    thin = torch.where(distance < -10, 0.7 * alpha, alpha)
    assert torch.equal(beyond_matte(thin), beyond_matte(alpha))


def test_distances_end_somewhere():
    alpha, distance = disc((10.0, 10.0), 5.0)
    assert float(beyond_matte(alpha)[distance > FURTHEST_PX + 1].unique()) == FURTHEST_PX
    assert torch.equal(beyond_matte(torch.zeros(SIZE)), torch.full(SIZE, FURTHEST_PX))
    assert torch.equal(beyond_matte(torch.ones(SIZE)), torch.full(SIZE, -FURTHEST_PX))


def test_outline_lies_on_the_matte_of_the_head_itself():
    distance = outline_of(head_params()).distance
    assert len(distance) > 100
    assert float(distance.mean().abs()) < 0.1
    assert float(distance.abs().quantile(0.9)) < 0.5


@pytest.mark.parametrize("shift_m", [0.02, -0.02, 0.05])
def test_outline_of_a_shifted_head_is_as_far_off(shift_m):
    there = head_params(shift_m)
    outline = outline_of(there)
    shift_px = float((places(there, outline) - places(head_params(), outline))[:, 0].mean())
    assert abs(shift_px) > 5
    steep = outline.slope[:, 0].abs() > 0.9
    told = outline.distance[steep] * outline.slope[steep, 0].sign()
    assert steep.sum() > 30
    assert float(told.median()) == pytest.approx(shift_px, abs=0.4 + 0.1 * abs(shift_px))


def test_slopes_point_away_from_the_matte():
    outline = outline_of(head_params(0.005))
    assert float(outline.slope.norm(dim=-1).median()) == pytest.approx(1, abs=0.1)
    place = places(head_params(0.005), outline)
    middle = place.mean(0)
    assert ((place - middle) * outline.slope).sum(-1).gt(0).float().mean() > 0.8


def test_points_lie_in_the_pixels_along_the_border_of_the_head():
    params = head_params()
    mask = raster_of(params).mask[0]
    column, row = places(params, outline_of(params)).long().unbind(-1)
    assert mask[row, column].all()
    neighbours = [mask[row + down, column + aside] for down, aside in ((0, 1), (0, -1), (1, 0), (-1, 0))]
    assert not torch.stack(neighbours).all(0).any()


def test_fixed_vertices_have_no_outline():
    neck = scene(SIZE, TEXTURE).mask(("neck", "boundary"))
    every, free = outline_of(head_params()), outline_of(head_params(), fixed=neck)
    assert neck[every.corners].any()
    assert not neck[free.corners].any()
    assert 100 < len(free.distance) < len(every.distance)
    nothing = torch.ones_like(neck)
    assert outline_in(raster_of(head_params()), COUNT, nothing) is None


def test_the_edge_of_the_picture_is_no_outline():
    """A head that fills the picture and goes on beyond it."""
    near = head_params(0.1, focal_length=torch.tensor([5.0]))
    mask = raster_of(near).mask[0]
    assert mask[-1].sum() > 30
    assert mask[:, -1].sum() > 30
    place = places(near, outline_of(near))
    assert float(place.min()) > EDGE
    assert float(place.max()) < SIZE[0] - EDGE


def test_few_points_stand_for_all():
    every, some = outline_of(head_params()), outline_of(head_params(), 40)
    assert every.share == 1
    assert 38 <= len(some.distance) <= 40
    assert some.share * len(some.distance) == pytest.approx(len(every.distance), rel=0.05)
    high, low = (places(head_params(), some).amax(0), places(head_params(), some).amin(0))
    full = places(head_params(), every)
    assert ((high - low) > 0.8 * (full.amax(0) - full.amin(0))).all()


def test_an_outlines_weight_is_the_slope_of_its_cost():
    prior = OutlinePrior()
    distance = torch.linspace(-20, 20, 400, dtype=torch.double).requires_grad_()
    (slope,) = torch.autograd.grad(prior.cost(distance).sum(), distance)
    torch.testing.assert_close(slope, 2 * prior.weight(distance.detach()) * distance.detach())


def test_hair_beside_the_head_pulls_less_than_a_head_beyond_its_matte():
    prior = OutlinePrior()
    near, far = torch.tensor([0.1, -0.1]), torch.tensor([15.0, -15.0])
    torch.testing.assert_close(*prior.weight(near), rtol=0.01, atol=0)
    beyond, inside = prior.weight(far)
    assert inside < 0.05 * beyond
