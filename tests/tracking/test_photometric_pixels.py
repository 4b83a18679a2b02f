"""A frame's pixels as equations: each column against finite differences of the rendered pictures."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from tracked_heads import builtin_head, frame_batch, moving_params, scene, still_params

from vhap.data.sample import FrameBatch
from vhap.geometry.cameras import camera_from_focal
from vhap.model.head import pose
from vhap.render.scene import render_head
from vhap.tracking.params import PER_FRAME, TrackParams
from vhap.tracking.photometric_pixels import GREY, PixelPrior, PixelSystem, pixel_system
from vhap.tracking.scene import Scene

SIZE, TEXTURE = (96, 96), 128
PRIOR = PixelPrior(count=100_000)


def smooth_texture() -> Tensor:
    """(1, R, R, 3) waves many pixels long, so that differences over a pixel are slopes."""
    place = torch.linspace(0, 1, TEXTURE)
    u, v = place.expand(TEXTURE, TEXTURE), place[:, None].expand(TEXTURE, TEXTURE)
    waves = [torch.sin(15 * u + 4 * v + 1), torch.sin(17 * v - 6 * u), torch.cos(11 * u - 12 * v)]
    return (0.5 + 0.3 * torch.stack(waves, -1))[None]


def smooth_scene() -> Scene:
    return replace(scene(SIZE, TEXTURE), base_texture=smooth_texture())


def lit_params() -> TrackParams:
    params = moving_params(1, TEXTURE)
    random = torch.Generator().manual_seed(2)
    return replace(
        params,
        rotation=torch.tensor([[0.1, 0.3, -0.1]]),
        lights=params.lights + 0.3 * torch.randn(9, 3, generator=random),
        neck_pose=torch.tensor([[0.05, -0.1, 0.02]]),
    )


def picture(stage: Scene, params: TrackParams) -> tuple[Tensor, Tensor]:
    """(H, W, 3) the head before black, and (H, W) the triangle seen."""
    camera = params.cameras(stage.given, SIZE, torch.zeros(1))
    vertices, albedo = pose(stage.head, params.head()), stage.albedo(params.residual_texture)
    drawn = render_head(
        stage.backend, vertices, stage.topology, stage.head.uvs, albedo, params.lights, camera, antialias=False
    )
    return drawn.picture[0], drawn.raster.face_id[0]


def filmed(stage: Scene, params: TrackParams) -> FrameBatch:
    return replace(frame_batch(still_params(1, TEXTURE), SIZE), rgb=picture(stage, params)[0][None], alpha=None)


def system_of(params: TrackParams, stage: Scene | None = None, **changes) -> PixelSystem:
    stage = smooth_scene() if stage is None else stage
    found = pixel_system(stage, params, replace(filmed(stage, params), **changes), PRIOR)
    assert found is not None
    return found


def chosen_pixels(params: TrackParams) -> Tensor:
    """Flat indices of the pixels that `pixel_system` takes with PRIOR: covered like all their neighbours."""
    covered = picture(smooth_scene(), params)[1] >= 0
    free = torch.nn.functional.max_pool2d((~covered).float()[None, None], 3, 1, 1)[0, 0] > 0
    return torch.nonzero(~free.flatten()).flatten()


def moved(params: TrackParams, name: str, index: int, step: float) -> TrackParams:
    value = getattr(params, name).clone()
    if name == "focal_length":
        return replace(params, focal_length=value * torch.tensor(step).exp())
    value.view(-1)[index] += step
    return replace(params, **{name: value})


def compared(name: str, index: int, column: Tensor, params: TrackParams, step: float) -> tuple[float, float]:
    """Correlation of a column with finite differences, and their ratio, away from edges inside the head."""
    stage, pixels = smooth_scene(), chosen_pixels(params)
    forward, backward = (moved(params, name, index, sign * step) for sign in (1, -1))
    grey = torch.tensor(GREY) / PRIOR.colour
    numeric = ((picture(stage, forward)[0] - picture(stage, backward)[0]) @ grey).flatten()[pixels] / (2 * step)
    # A surface that appears or vanishes has no slope: the outermost twentieth of the differences is left out.
    error = (numeric - column).abs()
    kept = error <= error.quantile(0.95)
    numeric, column = numeric[kept], column[kept]
    correlation = torch.corrcoef(torch.stack([numeric, column]))[0, 1]
    return float(correlation), float((numeric * column).sum() / (numeric * numeric).sum())


STEPS = {
    "rotation": 2e-3,
    "translation": 1e-3,
    "neck_pose": 2e-3,
    "jaw_pose": 1e-2,
    "expr": 0.05,
    "shape": 0.05,
    "focal_length": 5e-3,
}
PLACES = [
    *[("rotation", k) for k in range(3)],
    *[("translation", k) for k in range(3)],
    *[("neck_pose", k) for k in range(3)],
    ("jaw_pose", 0),
    ("expr", 0),
    ("expr", 5),
    ("shape", 0),
    ("shape", 3),
    ("shape", 11),
    ("focal_length", 0),
]


def column_of(system: PixelSystem, params: TrackParams, name: str, index: int) -> Tensor:
    if name == "focal_length":
        return system.by_shared[:, 0]
    if name == "shape":
        return system.by_shared[:, 1 + index]
    if name == "lights":
        return system.by_shared[:, 1 + params.shape.shape[0] + index]
    start = 0
    for other in PER_FRAME:
        if other == name:
            return system.by_local[:, start + index]
        start += getattr(params, other).shape[1]
    raise AssertionError(name)


@pytest.mark.parametrize(("name", "index"), PLACES)
def test_columns_are_the_slopes_of_finite_differences(name, index):
    params = lit_params()
    column = column_of(system_of(params), params, name, index)
    correlation, ratio = compared(name, index, column, params, STEPS[name])
    assert correlation > 0.95
    assert 0.8 < ratio < 1.1


@pytest.mark.parametrize("index", [0, 4, 14, 26])
def test_columns_of_the_lights_are_exact(index):
    params = lit_params()
    column = column_of(system_of(params), params, "lights", index)
    correlation, ratio = compared("lights", index, column, params, 0.05)
    assert correlation > 0.9999
    assert ratio == pytest.approx(1, abs=1e-3)


def test_offsets_are_part_of_the_head_that_is_compared():
    params, count = lit_params(), builtin_head().n_vertices
    offset = 0.004 * torch.sin(40 * builtin_head().template)
    static, moving = replace(params, static_offset=offset), replace(params, dynamic_offset=offset[None])
    at_rest = system_of(static)
    assert float(at_rest.residual.abs().max()) < 1e-4
    bare = pixel_system(smooth_scene(), params, filmed(smooth_scene(), static), PRIOR)
    assert bare is not None
    assert bare.cost > 100 * at_rest.cost + 1
    torch.testing.assert_close(system_of(moving).by_local, at_rest.by_local)
    column = column_of(at_rest, static, "rotation", 1)
    correlation, ratio = compared("rotation", 1, column, static, STEPS["rotation"])
    assert correlation > 0.95
    assert 0.8 < ratio < 1.1
    assert offset.shape == (count, 3)


@pytest.mark.parametrize("place", [(30.0, 0.0), (0.0, -95.0), (0.0, 4.0)], ids=["beside", "far", "behind"])
def test_head_out_of_sight_has_no_pixels(place):
    params, stage = lit_params(), smooth_scene()
    away = replace(params, translation=params.translation + torch.tensor([place[0], 0.0, place[1]]))
    assert pixel_system(stage, away, filmed(stage, params), PRIOR) is None


def test_only_pixels_inside_the_matte_count():
    params = lit_params()
    half = torch.zeros(1, *SIZE)
    half[:, :, : SIZE[1] // 2] = 1
    everything, inside = system_of(params), system_of(params, alpha=half)
    right = chosen_pixels(params) % SIZE[1] < SIZE[1] // 2 - 1
    assert len(inside.residual) == int(right.sum()) < len(everything.residual)
    torch.testing.assert_close(inside.by_local, everything.by_local[right])
    stage = smooth_scene()
    assert pixel_system(stage, params, replace(filmed(stage, params), alpha=torch.zeros(1, *SIZE)), PRIOR) is None


def test_sampled_pixels_stand_for_all():
    params, stage = lit_params(), smooth_scene()
    batch = filmed(stage, moved(params, "translation", 0, 0.005))
    every, some = (pixel_system(stage, params, batch, PixelPrior(count=count)) for count in (100_000, 500))
    assert every is not None
    assert some is not None
    assert 500 <= len(some.residual) < 1100 < len(every.residual)
    assert float(some.cost) == pytest.approx(float(every.cost), rel=0.15)
    assert float(some.weight.sum()) == pytest.approx(float(every.weight.sum()), rel=0.1)


def test_weight_and_cost_are_those_of_the_robust_residual():
    params, stage = lit_params(), smooth_scene()
    batch = filmed(stage, moved(params, "translation", 0, 0.01))
    found = pixel_system(stage, params, batch, PRIOR)
    assert found is not None
    residual = found.residual.double().requires_grad_()
    cost = (PRIOR.robust**2 * torch.log1p((residual / PRIOR.robust) ** 2)).sum()
    assert float(found.cost) == pytest.approx(float(cost.detach()), rel=1e-4)
    (slope,) = torch.autograd.grad(cost, residual)
    torch.testing.assert_close(2 * found.weight.double() * found.residual.double(), slope, rtol=1e-4, atol=1e-5)
    without = pixel_system(stage, params, batch, PRIOR, columns=False)
    assert without is not None
    assert torch.equal(without.residual, found.residual)
    assert len(without.by_local) == 0


def test_given_camera_is_used():
    params, stage = lit_params(), smooth_scene()
    given = camera_from_focal(params.focal_length[0], *SIZE).expand(1)
    other = replace(params, focal_length=params.focal_length * 1.3)
    batch = filmed(stage, params)
    known = pixel_system(replace(stage, given=given), other, batch, PRIOR)
    assert known is not None
    assert float(known.residual.abs().max()) < 1e-4
