from dataclasses import replace

import pytest
import torch
from tracked_heads import frame_batch, pictures, rasterize_uv, scene, still_params

from vhap.data.sample import FrameBatch
from vhap.fit.params import TrackParams
from vhap.fit.scene import Scene
from vhap.fit.texture import (
    fill_holes,
    fit_texture,
    resize_texture,
    supported_size,
    texture_pixels,
    uv_footprint,
)
from vhap.geometry.cameras import camera_from_focal
from vhap.head.model import pose

TEXTURE = 64


def back_projected(stage: Scene, parts: list[tuple[TrackParams, FrameBatch]], rounds: int = 0) -> torch.Tensor:
    pixels = list(texture_pixels(stage, parts))
    return fit_texture(stage, lambda: pixels, rounds)


def slopes_of(texels: float, count: int = 10) -> torch.Tensor:
    """Footprints of pixels that each cover one texel of a texture of so many texels a side."""
    return (torch.eye(2) / texels).expand(count, 2, 2)


@pytest.mark.parametrize(
    ("texels", "size"), [(100, 256), (256, 256), (350, 256), (400, 512), (1024, 1024), (9999, 2048)]
)
def test_texture_has_a_texel_a_pixel(texels, size):
    assert supported_size(slopes_of(texels), 2048) == size


def test_texture_is_never_larger_than_asked_for():
    assert supported_size(slopes_of(4000), 512) == 512
    assert supported_size(slopes_of(4000), 100) == 100
    assert supported_size(torch.zeros(0, 2, 2), 2048) == 256
    assert supported_size(torch.zeros(0, 2, 2), 64) == 64


def test_parts_that_are_seen_closest_decide():
    near, far = slopes_of(1000, 40), slopes_of(300, 60)
    assert supported_size(torch.cat([near, far]), 2048) == 1024
    assert supported_size(torch.cat([near[:10], far]), 2048) == 256


def test_turned_footprints_count_by_their_area():
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]])
    assert supported_size(slopes_of(512) @ turn, 2048) == supported_size(slopes_of(512), 2048) == 512


def painted(params: TrackParams) -> TrackParams:
    """Waves of colour on top of the base texture."""
    ramp = torch.linspace(0, 9, TEXTURE)
    wave = 0.2 * torch.stack(
        [ramp.sin()[:, None] + 0 * ramp, ramp.cos()[None] + 0 * ramp[:, None], 0 * ramp[:, None] * ramp], -1
    )
    base = scene((192, 192), TEXTURE).base_texture
    return replace(params, residual_texture=(base + wave[None]).clamp(0, 1) - base)


@pytest.mark.parametrize("lit_from_one_side", [False, True])
def test_back_projection_gives_the_texture_that_the_pictures_show(lit_from_one_side):
    stage = scene((192, 192), TEXTURE)
    truth = painted(still_params(2, TEXTURE))
    if lit_from_one_side:
        truth.lights[0] *= 0.7
        truth.lights[3] = torch.tensor([0.5, 0.4, 0.3])
    truth.rotation[:, 1] = torch.tensor([-0.4, 0.4])
    batch = frame_batch(truth, (192, 192))
    plain = replace(truth, residual_texture=torch.zeros_like(truth.residual_texture))
    found = replace(truth, residual_texture=back_projected(stage, [(plain, batch)]))
    before = (pictures(plain, (192, 192))[0] - batch.rgb).abs().mean()
    after = (pictures(found, (192, 192))[0] - batch.rgb).abs().mean()
    assert float(after) < 0.25 * float(before)
    albedo = stage.albedo(found.residual_texture)
    assert albedo.isfinite().all()
    assert albedo.min() > -0.01
    assert albedo.max() < 1.01


def test_rounds_bring_back_details_that_the_mean_blurs():
    stage = scene((192, 192), TEXTURE)
    truth = painted(still_params(2, TEXTURE))
    truth.rotation[1, 1] = 0.4
    batch, errors = frame_batch(truth, (192, 192)), []
    for rounds in (0, 2, 5):
        found = replace(truth, residual_texture=back_projected(stage, [(truth, batch)], rounds))
        errors.append(float((pictures(found, (192, 192))[0] - batch.rgb).abs().mean()))
    assert errors[0] > 1.2 * errors[1] > 1.2 * errors[2]


def test_two_batches_count_like_one():
    stage = scene((192, 192), TEXTURE)
    truth = painted(still_params(2, TEXTURE))
    truth.rotation[1, 1] = 0.4
    batch = frame_batch(truth, (192, 192))
    together = back_projected(stage, [(truth, batch)])
    parts = []
    for row in (0, 1):
        rows = torch.tensor([row])
        one = replace(batch, **{name: getattr(batch, name)[rows] for name in ("timesteps", "cameras", "rgb")})
        parts.append((truth.rows(rows), one))
    torch.testing.assert_close(back_projected(stage, parts), together, atol=2e-3, rtol=0)


def test_parts_that_no_picture_shows_take_the_tint_of_the_others():
    size, texels = (400, 400), 256
    stage = scene(size, texels)
    tint, base = torch.tensor([0.1, -0.05, 0.0]), stage.base_texture
    truth = replace(still_params(1, texels), residual_texture=(base + tint).clamp(0, 1) - base)
    found = back_projected(stage, [(truth, frame_batch(truth, size))])
    near = (found - truth.residual_texture).abs().amax(-1)[0] < 0.1
    painted_on = rasterize_uv(stage.backend, stage.head, stage.topology, texels).mask[0]
    assert float(near[painted_on].float().mean()) > 0.85


def test_head_out_of_sight_keeps_the_base_texture():
    params = still_params(1, TEXTURE)
    params.translation[:, 0] = 50.0
    found = back_projected(scene((192, 192), TEXTURE), [(params, frame_batch(params, (192, 192)))])
    assert torch.equal(found, torch.zeros_like(found))


def test_holes_take_the_colour_around_them_and_known_texels_stay():
    texture = torch.rand(1, 32, 32, 3, generator=torch.Generator().manual_seed(0))
    known = torch.ones(1, 32, 32, dtype=torch.bool)
    fallback = torch.full_like(texture, 9.0)
    torch.testing.assert_close(fill_holes(texture, known, fallback), texture)
    texture[:, :, :16], texture[:, :, 16:] = 0.2, 0.8
    spoilt, known = texture.clone(), torch.rand(1, 32, 32, generator=torch.Generator().manual_seed(1)) > 0.4
    spoilt[~known] = 77.0
    filled = fill_holes(spoilt, known, fallback)
    torch.testing.assert_close(filled[known], texture[known])
    assert filled.min() >= 0.2 - 1e-5
    assert filled.max() <= 0.8 + 1e-5
    torch.testing.assert_close(filled[:, :, :8], texture[:, :, :8])


def test_what_nothing_near_shows_takes_the_fallback():
    texture, fallback = torch.full((1, 64, 64, 3), 0.5), torch.full((1, 64, 64, 3), 0.1)
    known = torch.zeros(1, 64, 64, dtype=torch.bool)
    torch.testing.assert_close(fill_holes(texture, known, fallback), fallback)
    known[0, :4, :4] = True
    filled = fill_holes(texture, known, fallback)
    assert float(filled[0, 60, 60, 0]) == pytest.approx(0.1)
    assert float(filled[0, 5, 5, 0]) == pytest.approx(0.5)


@pytest.mark.parametrize("size", [16, 50, 64, 200])
def test_resized_texture_keeps_plain_colours_and_places(size):
    plain = torch.tensor([0.1, 0.5, 0.9]).expand(1, 64, 64, 3)
    resized = resize_texture(plain, size)
    assert resized.shape == (1, size, size, 3)
    torch.testing.assert_close(resized, plain[:, :1, :1].expand(1, size, size, 3))
    ramp = torch.linspace(0, 1, 64)[:, None, None].expand(64, 64, 3)[None]
    assert float(resize_texture(ramp, size)[0, 0].mean()) < 0.1 < 0.9 < float(resize_texture(ramp, size)[0, -1].mean())


def test_shrinking_averages():
    board = (torch.arange(64)[:, None] + torch.arange(64)) % 2
    texture = board.float()[None, ..., None].expand(1, 64, 64, 3)
    small = resize_texture(texture, 16)
    assert float((small - 0.5).abs().max()) < 0.1


def test_footprints_shrink_where_the_pictures_grow():
    sizes = []
    for side in (96, 192):
        stage, params = scene((side, side)), still_params(1)
        camera = camera_from_focal(params.focal_length[0], side, side)
        clip = camera.to_clip(pose(stage.head, params.head()))
        raster = stage.backend.rasterize(clip, stage.topology, side, side)
        uv, slopes = uv_footprint(stage.backend, stage.topology, stage.head.uvs, raster)
        assert uv.shape == (raster.pixels.shape[0], 2)
        sizes.append(float(torch.linalg.det(slopes).abs().sqrt().median()))
    assert sizes[0] == pytest.approx(2 * sizes[1], rel=0.1)
