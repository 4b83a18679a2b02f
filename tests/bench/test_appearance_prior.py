"""The appearance prior: what it exchanges, and that it draws an outline to where the picture shows it."""

from __future__ import annotations

import pytest
import torch
from appearance_prior import AppearancePrior
from torch import Tensor

from vhap.geometry.cameras import camera_from_focal
from vhap.render.backend import get_backend
from vhap.render.scene import Alignment, render_head
from vhap.render.topology import build_topology
from vhap.render.types import Raster

H, W = 6, 9
WARP = get_backend("warp")


def striped_raster(views: int = 2) -> Raster:
    """Columns of faces 0 to 3, two pixels each, then one column of background."""
    face_id = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3, -1]).expand(views, H, W).contiguous().int()
    pixels = torch.nonzero(face_id.flatten() >= 0).squeeze(1)
    count = len(pixels)
    return Raster(face_id, pixels, pixels // (H * W), torch.zeros(count, 3), torch.zeros(count, 3, 2))


def prior(clusters: list[int], head: float, background: float, seed: int = 0) -> AppearancePrior:
    return AppearancePrior(torch.tensor(clusters), head, background, torch.Generator().manual_seed(seed))


def numbered(raster: Raster) -> tuple[Tensor, Tensor]:
    """A colour of its own for every pixel: head (N, 1) from 0 on, background (B, H, W, 1) its flat index + 1000."""
    colours = torch.arange(len(raster.pixels)).float()[:, None]
    return colours, 1000 + torch.arange(raster.face_id.numel()).float().view(*raster.face_id.shape, 1)


def faces_of(raster: Raster) -> Tensor:
    return raster.face_id.flatten()[raster.pixels]


def test_rate_zero_changes_nothing():
    raster = striped_raster()
    colours, background = numbered(raster)
    found, behind = prior([1, 2, 3, 4], 0, 0)(colours, raster, background)
    assert torch.equal(found, colours)
    assert torch.equal(behind, background)


def test_rate_one_exchanges_within_a_cluster_beside_another():
    raster = striped_raster()
    colours, background = numbered(raster)
    found, behind = prior([1, 1, 2, 2], 1, 1)(colours, raster, background)
    cluster = faces_of(raster) // 2
    assert torch.equal(cluster[found[:, 0].long()], cluster)
    column = raster.pixels % W
    beside = torch.isin(column, torch.tensor([3, 4, 7]))
    assert torch.equal(found[~beside], colours[~beside])
    for side in (3, 4, 7):
        assert (found != colours)[column == side].float().mean() > 0.8
    free = ~raster.mask
    assert torch.equal(behind[~free], background[~free])
    drawn = behind[free].flatten().long() - 1000
    assert free.flatten()[drawn].all()
    assert (behind[free] != background[free]).float().mean() > 0.8


def test_a_pixel_takes_colours_from_everywhere_in_its_cluster_in_its_picture():
    raster = striped_raster()
    colours, background = numbered(raster)
    draw = prior([1, 1, 2, 2], 1, 1)
    for view in (0, 1):
        at = raster.pixels == view * H * W + 3
        taken = torch.cat([draw(colours, raster, background)[0][at] for _ in range(60)]).long().flatten()
        assert (raster.views[taken] == view).all()
        assert set(faces_of(raster)[taken].tolist()) == {0, 1}
        assert len(taken.unique()) > 15


def test_pictures_one_after_the_other_get_what_they_get_at_once():
    raster = striped_raster(views=5)
    colours, background = numbered(raster)
    found, behind = prior([1, 1, 2, 2], 0.5, 0.5)(colours, raster, background)
    draw, start = prior([1, 1, 2, 2], 0.5, 0.5), 0
    for first, last in ((0, 1), (1, 3), (3, 5)):
        part = striped_raster(views=last - first)
        stop = start + len(part.pixels)
        of_part, behind_part = draw(colours[start:stop], part, background[first:last])
        assert torch.equal(of_part, found[start:stop])
        assert torch.equal(behind_part, behind[first:last])
        start = stop
    assert (found != colours).any()
    assert (behind != background).any()


def test_triangles_without_cluster_keep_their_colours_and_lend_none():
    raster = striped_raster()
    colours, background = numbered(raster)
    found, _ = prior([0, 1, 2, 0], 1, 1)(colours, raster, background)
    free = torch.isin(faces_of(raster), torch.tensor([0, 3]))
    assert torch.equal(found[free], colours[free])
    changed = (found != colours).flatten()
    assert changed.any()
    assert not free[found[changed].long().flatten()].any()


def test_one_cluster_beside_triangles_without_cluster_never_takes_the_backgrounds_colour():
    """Numbers inside must keep background, no cluster and the first cluster apart."""
    raster = striped_raster()
    colours, background = numbered(raster)
    for clusters in ([1, 1, 1, 1], [0, 0, 0, 0], [0, 1, 0, 1]):
        found, behind = prior(clusters, 1, 1)(colours, raster, background)
        assert (found < 1000).all()
        assert (behind >= 1000).all()


@pytest.mark.parametrize("rate", [0.3, 0.6])
def test_rate_is_how_often(rate):
    """Less the pixels that draw themselves: one out of its picture's 24 of the cluster, of its 6 of the background."""
    raster = striped_raster(views=80)
    colours, background = numbered(raster)
    found, behind = prior([1, 1, 2, 2], rate, rate)(colours, raster, background)
    beside = torch.isin(raster.pixels % W, torch.tensor([3, 4, 7]))
    assert float((found != colours)[beside].float().mean()) == pytest.approx(rate * 23 / 24, abs=0.04)
    assert float((behind != background)[~raster.mask].float().mean()) == pytest.approx(rate * 5 / 6, abs=0.06)


def test_what_is_taken_carries_no_gradient():
    raster = striped_raster()
    colours, background = (value.requires_grad_() for value in numbered(raster))
    found, behind = prior([1, 1, 2, 2], 1, 1)(colours, raster, background)
    by_colour, by_background = torch.autograd.grad(found.sum() + behind.sum(), [colours, background])
    beside = torch.isin(raster.pixels % W, torch.tensor([3, 4, 7]))
    assert torch.equal(by_colour[:, 0], (~beside).float())
    assert torch.equal(by_background[..., 0], raster.mask.float())


def test_same_seed_gives_the_same_bits():
    raster = striped_raster()
    inputs = numbered(raster)
    once, again, other = (prior([1, 1, 2, 2], 0.5, 0.5, seed)(inputs[0], raster, inputs[1]) for seed in (3, 3, 4))
    assert all(torch.equal(a, b) for a, b in zip(once, again))
    assert not torch.equal(once[0], other[0])


@pytest.mark.parametrize("face", [-1, 0])
def test_pictures_of_background_or_of_head_only(face):
    face_id = torch.full((2, H, W), face).int()
    pixels = torch.nonzero(face_id.flatten() >= 0).squeeze(1)
    raster = Raster(face_id, pixels, pixels // (H * W), torch.zeros(len(pixels), 3), torch.zeros(len(pixels), 3, 2))
    colours, background = numbered(raster)
    found, behind = prior([1], 1, 1)(colours, raster, background)
    assert torch.equal(found, colours)
    assert torch.equal(behind, background)


# A flat ear before a flat neck before a grey wall, and how far the ear's outline comes.

SIDE, TEXELS = 48, 128
FOCAL_PX = 3.0 * SIDE
EAR_PX, NECK_PX = 9.3, 20.4
EAR, NECK, WALL = (torch.tensor(colour) for colour in ([0.8, 0.3, 0.2], [0.3, 0.7, 0.4], [0.5, 0.5, 0.6]))


def fan(sectors: int) -> tuple[Tensor, Tensor]:
    """(sectors + 1, 2) a unit disc and its triangles."""
    angle = torch.arange(sectors) * (2 * torch.pi / sectors) + 0.02
    rim, index = torch.stack([angle.cos(), angle.sin()], -1), torch.arange(sectors)
    return torch.cat([rim, torch.zeros(1, 2)]), torch.stack(
        [torch.full_like(index, sectors), index, (index + 1) % sectors], 1
    )


def draw(ear_px: Tensor, neck_px: Tensor, texture: Tensor, background: Tensor, alignment: Alignment) -> Tensor:
    """The two discs, radii in pixels; the left half of the texture is the ear's, the right half the neck's."""
    flat, triangles = fan(48)
    depth = torch.zeros(len(flat), 1)
    ear = torch.cat([flat * ear_px * 0.99 / FOCAL_PX, depth + 0.01], -1)
    neck = torch.cat([flat * neck_px / FOCAL_PX, depth], -1)
    faces = torch.cat([triangles, triangles + len(flat)])
    on_half = flat * torch.tensor([0.24, 0.45]) + torch.tensor([0.25, 0.5])
    uvs = torch.cat([on_half, on_half + torch.tensor([0.5, 0.0])])
    camera = camera_from_focal(torch.tensor(3.0), SIDE, SIDE)
    vertices, topology = torch.cat([ear, neck])[None], build_topology(faces, faces)
    return render_head(WARP, vertices, topology, uvs, texture, None, camera, background, alignment=alignment).picture


def truth() -> tuple[Tensor, Tensor]:
    """The picture, and the texture that is right."""
    texture = torch.cat([EAR.expand(1, TEXELS, TEXELS // 2, 3), NECK.expand(1, TEXELS, TEXELS // 2, 3)], 2).contiguous()
    wall = WALL.expand(1, SIDE, SIDE, 3).contiguous()
    return draw(torch.tensor(EAR_PX), torch.tensor(NECK_PX), texture, wall, Alignment()), texture


def fitted(radii_px: tuple[float, float], rate: float, learning: int = 60, moving: int = 200) -> list[float]:
    """Radii of ear and neck, mean of the last steps: the texture learns the picture at the wrong place, then both move
    together."""
    target, right = truth()
    prior_or_none = prior([1] * 48 + [2] * 48, rate, rate) if rate else None
    texture = right.clone().requires_grad_()
    radii = torch.tensor(radii_px, requires_grad=True)
    texels, moves, trace = torch.optim.Adam([texture], 0.05), torch.optim.Adam([radii], 0.1), []
    for step in range(learning + moving):
        alignment = Alignment(recolour=prior_or_none if step >= learning else None)
        picture = draw(radii[0], radii[1], texture, target, alignment)
        texture.grad, radii.grad = torch.autograd.grad((picture - target).abs().sum(), [texture, radii])
        texels.step()
        if step >= learning:
            moves.step()
        trace.append(radii.detach().clone())
    return torch.stack(trace[-20:]).mean(0).tolist()


@pytest.mark.parametrize("neck_wrong_px", [2.0, -2.0], ids=["neck too wide", "neck too narrow"])
def test_outlines_move_to_their_place_with_the_prior_and_not_without(neck_wrong_px):
    start = (EAR_PX + 2, NECK_PX + neck_wrong_px)
    without, with_prior = fitted(start, 0.0), fitted(start, 0.5)
    for index, right in enumerate((EAR_PX, NECK_PX)):
        assert abs(without[index] - right) > 1.5
        assert abs(with_prior[index] - right) < 0.4
