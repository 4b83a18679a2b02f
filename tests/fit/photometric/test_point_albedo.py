"""Albedo of points: what pictures tell, what the base texture expects, and what outliers do."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from vhap.fit.photometric.point_albedo import (
    LEAST_COLOUR,
    PointAlbedo,
    PointPrior,
    fit_albedo,
    outlier_frames,
    with_noise_level,
)
from vhap.fit.photometric.surface_points import Counts, Shown, ShownBatch, SurfacePoints, View

COUNT, PIXELS = 2000, 4000.0
PRIOR = PointPrior()


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def points_of(grey: Tensor, seed: int = 1) -> SurfacePoints:
    """Points all over the texture, of which grey (M,) is expected."""
    count = len(grey)
    corners, barycentrics = torch.zeros(count, 3, dtype=torch.long), torch.full((count, 3), 1 / 3)
    return SurfacePoints(corners, barycentrics, grey, random(count, 2, seed=seed))


def view_of(albedo: Tensor, shading: Tensor, noise: float = 0.0, seed: int = 2) -> View:
    """A picture of all points."""
    error = noise * torch.randn(len(albedo), generator=torch.Generator().manual_seed(seed))
    nothing, index = torch.zeros(len(albedo), 3), torch.arange(len(albedo))
    value = albedo * shading + error
    shown = shown_of(Shown(index, Counts(PIXELS, 0.0, torch.ones(len(index))), None))
    return View(shown, value, shading, nothing[:, :2], nothing, nothing, None)


def shown_of(one: Shown) -> ShownBatch:
    """One picture's."""
    return ShownBatch.of([one], points_of(torch.zeros(len(one.counts.facing))), torch.zeros(1, dtype=torch.int32))


def without(seen: View, left_out: Tensor) -> View:
    """The picture without some of its points."""
    kept = torch.nonzero(~torch.isin(seen.index, left_out)).flatten()
    names, (one,) = ("value", "shading", "slope", "surface", "normals"), seen.shown.each
    fewer = shown_of(replace(one, index=one.index[kept]))
    return replace(seen, shown=fewer, **{name: getattr(seen, name)[kept] for name in names})


def shaded(albedo: Tensor, pictures: int, noise: float = 0.0) -> list[View]:
    """Pictures in lights that differ from point to point."""
    shading = 0.6 + 0.8 * random(pictures, len(albedo), seed=3)
    return [view_of(albedo, light, noise, seed=10 + index) for index, light in enumerate(shading)]


def error(found: Tensor, truth: Tensor) -> float:
    return float((found - truth).square().mean().sqrt())


def test_shaded_noisy_pictures_tell_the_albedo():
    truth = 0.2 + 0.6 * random(COUNT)
    expected = points_of(truth + 0.1 * torch.randn(COUNT, generator=torch.Generator().manual_seed(4)))
    few, many = (fit_albedo(expected, shaded(truth, count, 0.02), PRIOR) for count in (2, 20))
    assert error(expected.grey, truth) > 0.09
    assert error(few.value, truth) < 0.035
    assert error(many.value, truth) < 0.008
    assert float(many.precision.median()) == pytest.approx(10 * float(few.precision.median()), rel=0.1)


def test_one_picture_that_differs_changes_little():
    truth = 0.2 + 0.5 * random(COUNT)
    pictures, expected = shaded(truth, 6, 0.01), points_of(truth)
    bright = replace(pictures[-1], value=pictures[-1].value + 0.8)
    usual, wrong = (fit_albedo(expected, [*pictures[:-1], last], PRIOR).value for last in (pictures[-1], bright))
    mean = torch.stack([seen.value / seen.shading for seen in [*pictures[:-1], bright]]).mean(0)
    assert float((mean - truth).mean()) > 0.1
    assert float((wrong - usual).abs().mean()) < 0.02


@pytest.mark.parametrize("pictures", [1, 3])
def test_the_base_texture_counts_as_one_picture(pictures):
    """Where its standard deviation is a picture's: with n pictures the albedo is off by 1 / (n + 1) of the way."""
    base, way = torch.full((COUNT,), 0.5), 0.05 * (2 * (torch.arange(COUNT) % 2) - 1)
    prior = replace(PRIOR, colour=0.5, base=0.5, colour_offset=1e-3)
    seen = [view_of(base + way, torch.ones(COUNT)) for _ in range(pictures)]
    found = fit_albedo(points_of(base), seen, prior)
    torch.testing.assert_close(
        (found.value - base) / way, torch.full((COUNT,), pictures / (pictures + 1)), atol=0.01, rtol=0
    )
    torch.testing.assert_close(found.prior_precision * pictures, found.precision, rtol=0.02, atol=0)


def test_a_tint_of_all_skin_is_no_error_of_its_points():
    """A darker person: the base texture is wrong everywhere alike, so points that no picture shows are darker too."""
    base = 0.4 + 0.4 * random(COUNT)
    hidden = torch.arange(COUNT)[::3]
    seen = [without(picture, hidden) for picture in shaded(base - 0.2, 3)]
    found = fit_albedo(points_of(base), seen, PRIOR)
    assert error(found.value[hidden], base[hidden] - 0.2) < 0.03
    assert not found.precision[hidden].any()
    assert (found.prior_precision > 0).all()


def test_points_that_no_picture_shows_are_as_expected():
    base = 0.4 + 0.4 * random(COUNT)
    hidden = torch.arange(COUNT)[::3]
    found = fit_albedo(points_of(base), [without(picture, hidden) for picture in shaded(base, 2)], PRIOR)
    torch.testing.assert_close(found.value[hidden], base[hidden], atol=1e-3, rtol=0)


def test_known_albedo_is_used_by_its_precision():
    truth = 0.3 + 0.4 * random(COUNT)
    sure = torch.where(torch.arange(COUNT) % 2 == 0, 1e7, 1e-3)
    known = PointAlbedo(truth, 0.25 * sure, 0.75 * sure, torch.tensor(0.0))
    seen = shaded(truth + 0.05, 2)
    found = fit_albedo(points_of(torch.zeros(COUNT)), seen, PRIOR, known)
    torch.testing.assert_close(found.value[::2], truth[::2], atol=1e-3, rtol=0)
    torch.testing.assert_close(found.value[1::2], truth[1::2] + 0.05, atol=1e-3, rtol=0)
    torch.testing.assert_close(found.prior_precision, sure)
    agreeing = fit_albedo(points_of(torch.zeros(COUNT)), shaded(truth, 2), PRIOR, known)
    assert float(agreeing.cost) < 1e-3 * float(found.cost)


def test_cost_is_least_at_the_albedo_that_is_found():
    """Of pictures and known albedo; small steps of all points, or of one half against the other, cost more."""
    truth = 0.3 + 0.4 * random(COUNT)
    known = PointAlbedo(truth, torch.full((COUNT,), 300.0), torch.full((COUNT,), 200.0), torch.tensor(0.0))
    seen = shaded(truth + 0.1, 3, 0.03)
    found = fit_albedo(points_of(truth), seen, PRIOR, known)

    def cost(value: Tensor) -> float:
        total = (500 * (value - truth).square()).sum()
        for each in seen:
            difference = (each.shading * value[each.index] - each.value) / PRIOR.colour
            total = total + PIXELS / COUNT * PRIOR.robust**2 * torch.log1p((difference / PRIOR.robust).square()).sum()
        return float(total)

    assert float(found.cost) == pytest.approx(cost(found.value), rel=1e-4)
    for step in (torch.ones(COUNT), -torch.ones(COUNT), 2.0 * (torch.arange(COUNT) % 2) - 1):
        assert cost(found.value + 0.005 * step) > cost(found.value)


def test_cost_counts_pixels_however_many_points_stand_for_them():
    truth = 0.3 + 0.4 * random(COUNT)
    every = [replace(seen, value=seen.value + 0.05) for seen in shaded(truth, 3)]
    half = [without(seen, torch.arange(COUNT)[::2]) for seen in every]
    held = PointAlbedo(truth, torch.full((COUNT,), 1e7), torch.zeros(COUNT), torch.tensor(0.0))
    costs = [float(fit_albedo(points_of(truth), seen, PRIOR, held).cost) for seen in (every, half)]
    assert costs[1] == pytest.approx(costs[0], rel=0.02)


def test_no_picture_moves_known_albedo_by_nothing():
    truth = 0.3 + 0.4 * random(COUNT)
    known = PointAlbedo(truth, torch.ones(COUNT), torch.ones(COUNT), torch.tensor(0.0))
    found = fit_albedo(points_of(truth), [], PRIOR, known)
    assert torch.equal(found.value, truth)
    assert float(found.cost) == 0


def test_standard_deviation_follows_the_noise_of_pictures_within_its_bounds():
    truth = 0.2 + 0.6 * random(COUNT)
    prior = replace(PRIOR, colour=0.1)
    found = [with_noise_level(points_of(truth), shaded(truth, 8, noise), prior) for noise in (0.0, 0.01, 0.02, 0.5)]
    colours = [each.colour for each in found]
    assert colours[0] == LEAST_COLOUR
    assert 0.02 < colours[1] < 0.035
    assert colours[2] == pytest.approx(2 * colours[1], rel=0.1)
    assert colours[3] == prior.colour
    assert all(replace(each, colour=prior.colour) == prior for each in found)


def test_standard_deviation_is_that_of_most_points():
    """Each picture is spoilt elsewhere."""
    truth, prior = 0.2 + 0.6 * random(COUNT), replace(PRIOR, colour=0.2)
    seen = shaded(truth, 8, 0.01)
    spots = random(8, COUNT, seed=5) < 0.03
    spoilt = [replace(each, value=torch.where(spot, 1.5, each.value)) for each, spot in zip(seen, spots)]
    usual, wrong = (with_noise_level(points_of(truth), pictures, prior).colour for pictures in (seen, spoilt))
    assert LEAST_COLOUR < usual < wrong < 2 * usual


@pytest.mark.parametrize("found", [True, False])
def test_only_frames_without_landmarks_that_look_otherwise_are_strange(found):
    truth = 0.2 + 0.6 * random(COUNT)
    seen = shaded(truth, 4, 0.01)
    other = replace(seen[3], value=random(COUNT, seed=20))
    views = [([frame], view) for frame, view in enumerate([*seen[:3], other])]
    assert outlier_frames(views, truth, [True, False, True, found]) == (set() if found else {3})


def test_where_the_head_was_never_found_grey_levels_decide():
    truth = 0.2 + 0.6 * random(COUNT)
    near, far = (shaded(truth, 1, noise)[0] for noise in (0.02, 0.1))
    assert outlier_frames([([0], near), ([1], far)], truth, [False, False]) == {1}
