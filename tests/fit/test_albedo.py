from __future__ import annotations

from types import SimpleNamespace

import torch

from vhap.fit.albedo import albedo_of, tex_extra_of


def texture(size: int, seed: int) -> torch.Tensor:
    return torch.rand(1, size, size, 3, generator=torch.Generator().manual_seed(seed))


def planes(values: torch.Tensor):
    return values[0].permute(2, 0, 1).contiguous().numpy()


def test_base_texture_and_tex_extra_are_the_albedo_as_other_tools_add_them():
    albedo, base = texture(32, 0), texture(32, 1)
    extra = tex_extra_of(albedo, base, 32, residual=True)
    torch.testing.assert_close(base + extra, albedo)
    assert extra.min() < -0.1
    read = albedo_of(SimpleNamespace(albedo=None, tex_extra=planes(extra)), base[0])
    torch.testing.assert_close(read, albedo)


def test_tex_extra_has_the_size_that_is_asked_for_and_row_0_on_top():
    albedo, base = torch.zeros(1, 16, 16, 3), torch.full((1, 8, 8, 3), 0.25)
    albedo[:, :4] = 1
    extra = tex_extra_of(albedo, base, 64, residual=True)
    assert extra.shape == (1, 64, 64, 3)
    torch.testing.assert_close(extra[0, 0], torch.full((64, 3), 0.75))
    torch.testing.assert_close(extra[0, -1], torch.full((64, 3), -0.25))


def test_without_residual_tex_extra_is_the_albedo():
    albedo = texture(16, 0) * 3 - 1
    torch.testing.assert_close(tex_extra_of(albedo, texture(8, 1), 16, residual=False), albedo.clamp(0, 1))


def test_the_albedo_of_a_result_counts_before_its_residual():
    albedo, base = texture(16, 0), texture(8, 1)
    result = SimpleNamespace(albedo=planes(albedo), tex_extra=planes(texture(32, 2)))
    torch.testing.assert_close(albedo_of(result, base[0]), albedo)
    assert albedo_of(SimpleNamespace(albedo=None, tex_extra=None), base[0]) is None
