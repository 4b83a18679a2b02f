"""Per-vertex offsets: their losses, the Laplacian, the silhouette, and what a stage does with them."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
import torch
from torch import Tensor
from tracked_heads import builtin_head, frame_batch, moving_params, scene, still_params

from vhap.config.track import LossWeightConfig
from vhap.data.sample import FrameBatch
from vhap.fit import losses
from vhap.fit.energy import Energy, EnergyValue, Neighbours
from vhap.fit.params import TrackParams
from vhap.fit.stages import Stage
from vhap.fit.texture import back_project
from vhap.geometry.meshes import uniform_laplacian
from vhap.head.model import pose
from vhap.render.appearance_prior import AppearancePrior

# Two triangles on a square and a vertex without a triangle.
FACES = torch.tensor([[0, 1, 2], [0, 2, 3]])
N = 5
NEIGHBOURS = {0: [1, 2, 3], 1: [0, 2], 2: [0, 1, 3], 3: [0, 2]}
RELAXED = torch.tensor([False, True, False, True, False])


def laplacian_in_double() -> Tensor:
    return uniform_laplacian(N, FACES).to_dense().double()


def some_offset(*batch: int) -> Tensor:
    return torch.randn(*batch, N, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_laplacian_is_a_vertex_minus_the_mean_of_its_neighbours():
    offset = some_offset()
    changed = laplacian_in_double() @ offset
    for vertex, around in NEIGHBOURS.items():
        torch.testing.assert_close(changed[vertex], offset[vertex] - offset[around].mean(0), rtol=1e-6, atol=1e-6)
    assert (changed[4] == 0).all()


def test_laplacian_of_a_shift_of_the_whole_head_is_zero():
    whole = scene()
    shift = torch.tensor([0.01, -0.02, 0.03]).expand(builtin_head().n_vertices, 3)
    assert whole.laplacian_of(shift).abs().max() < 1e-7


def test_laplacian_of_several_frames_is_that_of_each():
    whole = scene()
    offset = 1e-3 * torch.randn(3, builtin_head().n_vertices, 3, generator=torch.Generator().manual_seed(0))
    together = whole.laplacian_of(offset)
    for frame in range(3):
        torch.testing.assert_close(together[frame], whole.laplacian_of(offset[frame]), rtol=0, atol=1e-8)
    dense = uniform_laplacian(builtin_head().n_vertices, builtin_head().faces)
    torch.testing.assert_close(together[1, :, 2], dense @ offset[1, :, 2], rtol=0, atol=1e-8)


def test_values_by_hand():
    offset = torch.zeros(N, 3)
    offset[0], offset[1] = torch.tensor([0.3, 0.0, 0.0]), torch.tensor([0.0, -0.6, 0.0])
    assert float(losses.reg_offset(offset, RELAXED, 1.0)) == pytest.approx(0.9 / 15)
    assert float(losses.reg_offset(offset, RELAXED, 0.5)) == pytest.approx(0.6 / 15)
    assert float(losses.reg_offset_lap(offset, RELAXED, 0.1)) == pytest.approx((0.09 + 0.1 * 0.36) / 5)
    # The variance of (0.3, 0) is 0.0225, that of (0, -0.6) is 0.09; a region that moves as a whole has none.
    pair, rest = torch.tensor([0, 1]), torch.tensor([2, 3, 4])
    assert float(losses.reg_offset_rigid(offset, [pair, rest])) == pytest.approx((0.0225 + 0.09) / 3)
    assert float(losses.reg_offset_rigid(offset + 7, [rest])) == 0
    assert float(losses.reg_offset_rigid(offset, [])) == 0
    moving = torch.stack([offset, offset])
    valid = torch.tensor([False, True])
    assert float(losses.reg_offset_dynamic(moving, 0 * moving, valid)) == pytest.approx((0.09 + 0.36) / 30)


LOSSES = {
    "reg_offset": lambda offset: losses.reg_offset(offset, RELAXED, 0.3),
    "reg_offset_lap": lambda offset: losses.reg_offset_lap(laplacian_in_double() @ offset, RELAXED, 0.3),
    "reg_offset_rigid": lambda offset: losses.reg_offset_rigid(offset, [torch.tensor([0, 1, 4]), torch.tensor([2, 3])]),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("batch", [(), (3,)], ids=["static", "moving"])
def test_gradients_are_those_of_finite_differences(name, batch):
    assert torch.autograd.gradcheck(LOSSES[name], some_offset(*batch).requires_grad_())


@pytest.mark.parametrize("name", LOSSES)
def test_frames_with_equal_offsets_cost_as_much_as_one(name):
    offset = some_offset()
    alone, together = LOSSES[name](offset), LOSSES[name](offset.expand(4, N, 3))
    assert float(together) == pytest.approx(float(alone))


def test_moving_offsets_are_compared_with_the_past_held_fixed():
    now, before = some_offset(2).requires_grad_(), (0.5 * some_offset(2)).requires_grad_()
    valid = torch.tensor([False, True])
    assert torch.autograd.gradcheck(lambda x: losses.reg_offset_dynamic(x, before, valid), now)
    found = torch.autograd.grad(losses.reg_offset_dynamic(now, before, valid), [now, before], allow_unused=True)
    assert found[1] is None
    assert (found[0][0] == 0).all()
    assert (found[0][1] != 0).all()


def test_silhouette_by_hand():
    """Head beyond the matte costs everywhere, matte beyond the head only where the head may grow."""
    coverage = torch.tensor([[[1.0, 0.6, 0.2, 0.0]]])
    alpha = torch.tensor([[[0.5, 1.0, 0.0, 1.0]]])
    nowhere, everywhere = torch.zeros(1, 1, 4), torch.ones(1, 1, 4)
    assert float(losses.silhouette(coverage, alpha, nowhere)) == pytest.approx(0.5 + 0.2)
    assert float(losses.silhouette(coverage, alpha, everywhere)) == pytest.approx(0.5 + 0.4 + 0.2 + 1.0)


def test_offsets_are_part_of_the_posed_head_and_turn_with_it():
    params = moving_params(2)
    count = builtin_head().n_vertices
    static, moving = torch.zeros(count, 3), torch.zeros(2, count, 3)
    static[100], moving[1, 100] = torch.tensor([0.0, 0.0, 0.01]), torch.tensor([0.0, 0.0, 0.02])
    bare = pose(builtin_head(), params.head())
    moved = pose(builtin_head(), replace(params, static_offset=static, dynamic_offset=moving).head())
    length = (moved - bare).norm(dim=-1)
    torch.testing.assert_close(length[:, 100], torch.tensor([0.01, 0.03]), atol=1e-5, rtol=0)
    assert length[:, :100].max() < 1e-6
    only_moving = pose(builtin_head(), replace(params, dynamic_offset=moving).head())
    torch.testing.assert_close((only_moving - bare)[1, 100] * 1.5, (moved - bare)[1, 100], atol=1e-5, rtol=0)


def test_rows_take_moving_offsets_along_and_share_the_static_one():
    count = builtin_head().n_vertices
    params = replace(still_params(3), static_offset=torch.ones(count, 3), dynamic_offset=torch.rand(3, count, 3))
    part = params.rows(torch.tensor([2, 0]))
    assert part.static_offset is params.static_offset
    assert params.dynamic_offset is not None
    torch.testing.assert_close(part.dynamic_offset, params.dynamic_offset[[2, 0]], rtol=0, atol=0)
    torch.testing.assert_close(part.offset(), 1 + params.dynamic_offset[[2, 0]], rtol=0, atol=0)
    assert still_params(3).offset() is None


OFFSETS = Stage("offsets", ("static_offset",), True, False, True, 1, None, False, True)
SIZE, TEXTURE = (96, 96), 256
CLUSTERS = ("skin", "hair", "boundary", "lips_tight", "teeth", "sclerae", "irises")


def value_of(which: Energy, params: TrackParams, batch: FrameBatch) -> EnergyValue:
    before = Neighbours(params.detached(), torch.zeros(params.n_timesteps, dtype=torch.bool))
    return which(params, before, batch, OFFSETS)


def only(name: str) -> LossWeightConfig:
    """All weights 0 but this one, which is 1."""
    weights = asdict(LossWeightConfig())
    off = {key: 0.0 for key, value in weights.items() if isinstance(value, float) and "relax_coef" not in key}
    return replace(LossWeightConfig(), **{**off, name: 1.0})


@pytest.mark.parametrize(
    ("name", "option"), [("reg_offset", "reg_offset_relax"), ("reg_offset_lap", "reg_offset_lap_relax")]
)
@pytest.mark.parametrize(("region", "share"), [("hair", 0.2), ("nose", 1.0)])
def test_relaxed_regions_are_those_of_the_options(name, option, region, share):
    """A vertex in the midst of a region, so that all its neighbours belong to it too."""
    head, params = builtin_head(), still_params(1, 64)
    inside = torch.isin(head.faces, head.regions[region])
    whole = head.regions[region][~torch.isin(head.regions[region], head.faces[~inside.all(1)])]
    offset = torch.zeros_like(head.template)
    offset[whole[len(whole) // 2]] = 0.01
    params, batch = replace(params, static_offset=offset), frame_batch(params, SIZE)
    plain, relaxed = (
        float(value_of(Energy(scene(SIZE, 64), weights), params, batch).terms[name])
        for weights in (replace(LossWeightConfig(), **{f"{option}_coef": c}) for c in (1.0, 0.2))
    )
    assert relaxed == pytest.approx(share * plain, rel=1e-4)
    assert plain > 0


@pytest.mark.parametrize("matte", [0.0, 1.0], ids=["nothing", "everything"])
def test_matte_pulls_any_outline_inwards_and_the_hairs_alone_outwards(matte):
    head, params = builtin_head(), still_params(1, 64)
    params = replace(params, static_offset=torch.zeros(head.n_vertices, 3, requires_grad=True))
    batch = frame_batch(still_params(1, 64), SIZE)
    batch = replace(batch, alpha=torch.full_like(batch.rgb[..., 0], matte))
    cost = value_of(Energy(scene(SIZE, 64), only("silhouette")), params, batch).total
    assert params.static_offset is not None
    (pull,) = torch.autograd.grad(cost, params.static_offset)
    assert (pull[head.regions["hair"]] != 0).any()
    assert bool((pull[head.regions["neck_lower"]] != 0).any()) == (matte == 0)
    # Descent moves the hair on the left (positive x is the head's left) inwards or outwards.
    left = head.regions["hair"][head.template[head.regions["hair"], 0] > 0]
    assert float(-pull[left, 0].sum()) * (1 if matte else -1) > 0


def test_regions_of_a_stage_reach_the_rendering():
    whole, head = scene(SIZE, 64), builtin_head()
    which = Energy(whole, LossWeightConfig())
    fixed = which.alignment(replace(OFFSETS, fixed_texture=("hair", "no such"), fixed_outline=("neck_lower",)), True)
    assert fixed.fixed_texture is not None
    assert fixed.fixed_outline is not None
    assert torch.equal(fixed.fixed_texture, torch.isin(head.faces, head.regions["hair"]).all(1))
    assert torch.equal(torch.nonzero(fixed.fixed_outline)[:, 0], head.regions["neck_lower"].sort().values)
    assert fixed.coverage
    free = replace(which, weights=LossWeightConfig(silhouette=0.0)).alignment(OFFSETS, True)
    assert (free.fixed_texture, free.fixed_outline, free.prior, free.coverage) == (None, None, None, False)
    assert not which.alignment(OFFSETS, False).coverage


def test_triangles_belong_to_the_first_region_that_holds_them():
    whole, head = scene(SIZE, 64), builtin_head()
    nose, face = (torch.isin(head.faces, head.regions[name]).all(1) for name in ("nose", "face"))
    assert (nose & face).any()
    clusters = whole.face_clusters(("no such", "nose", "face"))
    assert torch.equal(clusters == 2, nose)
    assert torch.equal(clusters == 3, face & ~nose)
    assert torch.equal(clusters == 0, ~face & ~nose)
    assert (whole.face_clusters(()) == 0).all()


def grown_hair(metres: Tensor) -> Tensor:
    """(V, 3) offsets of the hair away from the middle of the head, in the picture's plane."""
    head = builtin_head()
    hair = head.regions["hair"]
    away = torch.nn.functional.normalize(head.template[hair, :2] - head.template[hair, :2].mean(0), dim=-1)
    flat = torch.cat([away, torch.zeros(len(hair), 1)], -1)
    return torch.zeros_like(head.template).index_copy(0, hair, flat) * metres


def hair_found(disturb_rate: float, truth_m: float, start_m: float) -> float:
    """How far the hair is grown in the end, if its texture has learnt the picture where the hair began."""
    stage, still = scene(SIZE, TEXTURE), still_params(1, TEXTURE)
    batch = frame_batch(replace(still, static_offset=grown_hair(torch.tensor(truth_m))), SIZE)
    start = replace(still, static_offset=grown_hair(torch.tensor(start_m)))
    residual = back_project(stage, [(start, batch)]).requires_grad_()
    generator = torch.Generator().manual_seed(0)
    prior = AppearancePrior(stage.face_clusters(CLUSTERS), disturb_rate, disturb_rate, generator)
    which = Energy(stage, only("photo"), prior=prior if disturb_rate else None)
    batch, grown = replace(batch, alpha=None), torch.tensor(start_m, requires_grad=True)
    moves, texels, trace = torch.optim.Adam([grown], 5e-4), torch.optim.Adam([residual], 0.02), []
    for _ in range(60):
        params = replace(still, static_offset=grown_hair(grown), residual_texture=residual)
        cost = value_of(which, params, batch).total
        grown.grad, residual.grad = torch.autograd.grad(cost, [grown, residual])
        moves.step()
        texels.step()
        trace.append(float(grown.detach()))
    return sum(trace[-15:]) / 15


@pytest.mark.parametrize(("truth_m", "start_m"), [(0.004, 0.016), (0.012, 0.0)], ids=["too wide", "too narrow"])
def test_hair_moves_to_its_place_with_the_prior_and_not_without(truth_m, start_m):
    """Six millimetres are a pixel."""
    without, with_prior = hair_found(0.0, truth_m, start_m), hair_found(0.5, truth_m, start_m)
    assert abs(without - truth_m) > 0.005
    assert abs(with_prior - truth_m) < 0.003
