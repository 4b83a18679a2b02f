"""Known albedo: fewer points stand for all, and a head comes to the same place by them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from test_photometric_solver import PER_FRAME, clip_of, error_px, perturbed, problem_of

from vhap.fit.photometric.point_albedo import PointAlbedo
from vhap.fit.photometric.problem import FixedAlbedo
from vhap.fit.photometric.solver import observed_albedo, solve_jointly
from vhap.fit.photometric.surface_points import SurfacePoints

COUNT = 1000


def known() -> FixedAlbedo:
    random = torch.Generator().manual_seed(0)
    grey = torch.rand(COUNT, generator=random)
    corners, barycentrics = torch.arange(3 * COUNT).view(COUNT, 3), torch.full((COUNT, 3), 1 / 3)
    points = SurfacePoints(corners, barycentrics, grey, torch.rand(COUNT, 2, generator=random))
    return FixedAlbedo(points, PointAlbedo(grey + 0.1, 1 + grey, 2 + grey, torch.tensor(3.0)))


def test_fewer_points_stand_for_all():
    every = known()
    some = every.thinned(400)
    assert some.each == pytest.approx(COUNT / 400)
    assert len(some.points.grey) == len(some.albedo.value) == 400
    rows = some.points.corners[:, 0] // 3
    assert len(rows.unique()) == 400
    assert bool((rows.diff() > 0).all())
    torch.testing.assert_close(some.albedo.value, every.albedo.value[rows])
    for name in ("prior_precision", "precision"):
        torch.testing.assert_close(getattr(some.albedo, name), 2.5 * getattr(every.albedo, name)[rows])
    assert torch.equal(some.points.corners, every.thinned(400).points.corners)
    assert some.thinned(200).each == pytest.approx(COUNT / 200)


@pytest.mark.parametrize("most", [COUNT, COUNT + 1])
def test_few_points_stay_as_they_are(most):
    every = known()
    assert every.thinned(most) is every


def test_a_checkpoint_holds_all_points():
    every = known()
    again = FixedAlbedo.of_tensors(**every.tensors())
    assert again.each == 1
    assert torch.equal(again.albedo.value, every.albedo.value)
    assert torch.equal(again.points.uv, every.points.uv)


def test_a_head_comes_to_the_same_place_by_fewer_points():
    truth = clip_of(3)
    problem = problem_of(truth)
    problem = replace(problem, prior=replace(problem.prior, count=1500))
    albedo = observed_albedo(problem, truth, torch.arange(3))
    assert albedo is not None
    start, rows = perturbed(truth), torch.arange(3)
    every, some = (
        solve_jointly(problem, start, rows, PER_FRAME, 6, points) for points in (albedo, albedo.thinned(700))
    )
    assert albedo.thinned(700).each > 2
    assert error_px(start, truth).mean() > 1.5
    assert error_px(every, truth).max() < 0.3
    assert error_px(some, truth).max() < 0.4
