import math

import pytest
import torch

from vhap.fit import losses


def test_landmarks_are_measured_where_the_picture_spans_minus_one_to_one() -> None:
    detected = torch.zeros(1, 2, 2)
    projected = torch.tensor([[[50.0, 0.0], [0.0, 100.0]]])
    value = losses.landmark(projected, detected, torch.ones(1, 2), (200, 100))
    assert float(value) == pytest.approx((1.0 + 1.0) / 2)


def test_undetected_landmarks_cost_nothing_and_give_no_gradient() -> None:
    projected = torch.randn(2, 5, 2, requires_grad=True)
    losses.landmark(projected, torch.zeros(2, 5, 2), torch.zeros(2, 5), (10, 10)).backward()
    assert projected.grad is not None
    assert (projected.grad == 0).all()


def test_photo_sums_channels() -> None:
    picture, target = torch.zeros(1, 2, 2, 3), torch.zeros(1, 2, 2, 3)
    picture[0, 0, 0] = 0.5
    assert float(losses.photo(picture, target)) == pytest.approx(1.5)


def test_rotation_priors_vanish_only_at_rest() -> None:
    rest = torch.zeros(3, 3)
    assert float(losses.reg_neck(rest)) == 0
    assert float(losses.reg_jaw(rest)) == 0
    assert float(losses.reg_eyes(torch.zeros(3, 6))) == 0
    angle = 0.3
    turned = torch.tensor([[0.0, angle, 0.0]])
    # A rotation by a differs from the identity by 4 (1 - cos a) in squared Frobenius norm.
    assert float(losses.reg_neck(turned)) == pytest.approx(4 * (1 - math.cos(angle)) / 9, rel=1e-5)


def test_jaw_resists_biting_through_more_than_opening() -> None:
    opened, bitten = torch.tensor([[0.2, 0.0, 0.0]]), torch.tensor([[-0.2, 0.0, 0.0]])
    assert float(losses.reg_jaw(bitten)) == pytest.approx(float(losses.reg_jaw(opened)) + 10 * 0.2)


def test_eyes_resist_squinting_apart() -> None:
    together = torch.tensor([[0.0, 0.2, 0.0, 0.0, 0.2, 0.0]])
    apart = torch.tensor([[0.0, 0.2, 0.0, 0.0, -0.2, 0.0]])
    assert float(losses.reg_eyes(apart)) > float(losses.reg_eyes(together))


def test_texture_variation_is_told_at_one_resolution() -> None:
    def ramp(size: int) -> torch.Tensor:
        return torch.linspace(0, 1, size).expand(1, size, size)[..., None].expand(-1, -1, -1, 3)

    coarse, fine = losses.reg_tex_tv(ramp(256)), losses.reg_tex_tv(ramp(1024))
    assert float(coarse) == pytest.approx(float(fine), rel=0.02)


def test_light_brighter_than_one_and_coloured_light_cost() -> None:
    assert float(losses.reg_diffuse(torch.full((5, 3), 0.9))) == pytest.approx(0, abs=1e-7)
    assert float(losses.reg_diffuse(torch.full((5, 3), 1.2))) == pytest.approx(0.2)
    assert float(losses.reg_diffuse(torch.tensor([[0.9, 0.5, 0.1]]))) == pytest.approx(0.16)
    assert float(losses.reg_diffuse(torch.zeros(0, 3))) == 0


def test_temporal_terms_hold_the_past_fixed_and_ignore_the_first_frame() -> None:
    now = torch.randn(2, 3, requires_grad=True)
    before = torch.randn(2, 3, requires_grad=True)
    valid = torch.tensor([False, True])
    for loss in (losses.smooth, losses.smooth_rotation):
        gradient = torch.autograd.grad(loss(now, before, valid), [now, before], allow_unused=True)
        assert gradient[1] is None
        assert gradient[0] is not None
        assert (gradient[0][0] == 0).all()
        assert (gradient[0][1] != 0).any()


def test_residual_region_counts_only_its_own_texels() -> None:
    residual, mask = torch.ones(1, 4, 4, 3), torch.zeros(4, 4)
    mask[0, 0] = 1
    assert float(losses.reg_tex_res(residual, mask)) == pytest.approx(1 / 16)
