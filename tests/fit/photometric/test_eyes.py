"""Gaze by pictures, on a film of the built-in head whose eyes move and close."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import cache

import pytest
import torch
from torch import Tensor

from tests.fit.tracked_heads import builtin_head, exact_problem, frame_batch, scene, still_params
from vhap.data.sample import FrameBatch
from vhap.fit.params import TrackParams
from vhap.fit.photometric import eyes
from vhap.fit.photometric.eyes_albedo import Profile, fit_profile, painted_axes, surface_colours, texture_profile
from vhap.fit.photometric.eyes_equations import EyePrior, EyeState, differences
from vhap.fit.photometric.eyes_views import (
    CHART_REACH,
    charts,
    eye_surface,
    eyeballs_of,
    joined,
    pixels_of,
    surface_directions,
)
from vhap.fit.photometric.pictures import Pictures
from vhap.fit.photometric.problem import PhotometricProblem
from vhap.geometry.rotations import axis_angle_derivatives, axis_angle_to_matrix
from vhap.render import reference_eyes as twins
from vhap.render.warp_eye_pixels import EyeDifferences, EyeRays, EyeShapes, differences_of_eyes

SIZE = (224, 224)
FRAMES = 6
GAZE_RAD = torch.tensor([[0.0, 0.0], [0.1, 0.3], [-0.15, -0.35], [0.15, -0.2], [0.05, 0.25], [0.0, -0.1]])
"""Pitch and yaw, far beyond what a gradient at rest reaches."""


@cache
def truth() -> TrackParams:
    still = still_params(FRAMES, focal=3.0)
    turn = torch.zeros(FRAMES, 3)
    turn[:, 1] = torch.linspace(-0.2, 0.2, FRAMES)
    one = torch.cat([GAZE_RAD, torch.zeros(FRAMES, 1)], 1)
    return replace(still, rotation=turn, eyes_pose=torch.cat([one, one], 1))


def with_closed_eyes(params: TrackParams, frame: int) -> TrackParams:
    expr = params.expr.clone()
    expr[frame, [index for index, name in enumerate(builtin_head().expr_names) if "eyeBlink" in name]] = 1.0
    return replace(params, expr=expr)


def problem_of(right: TrackParams, batch: FrameBatch | None = None) -> PhotometricProblem:
    """Its landmarks count nowhere, so that pictures alone show where the eyes look."""
    film = frame_batch(right, SIZE) if batch is None else batch
    landmarks = exact_problem(right, SIZE)
    landmarks = replace(landmarks, weight=torch.zeros_like(landmarks.weight))
    return PhotometricProblem(scene(SIZE, 512), landmarks, Pictures(lambda rows: _rows(film, rows)))


def _rows(film: FrameBatch, rows: Tensor) -> FrameBatch:
    names = ("timesteps", "cameras", "rgb", "alpha", "landmarks_px", "confidence")
    return replace(film, **{name: getattr(film, name)[rows] for name in names})


def error_deg(params: TrackParams, right: TrackParams) -> Tensor:
    """(T, 2) both eyes; the angles are small enough for their components to be compared."""
    apart = (params.eyes_pose - right.eyes_pose).unflatten(-1, (2, 3))
    return torch.rad2deg(apart.norm(dim=-1))


def at_rest(params: TrackParams) -> TrackParams:
    return replace(params, eyes_pose=torch.zeros_like(params.eyes_pose))


def test_gaze_is_found_from_rest():
    right = truth()
    found = eyes.follow_eyes(problem_of(right), at_rest(right), torch.arange(FRAMES))
    error = error_deg(found, right)
    assert error.max() < 1.0
    assert error.mean() < 0.5
    for name in ("rotation", "translation", "expr", "shape", "neck_pose"):
        assert torch.equal(getattr(found, name), getattr(right, name)), name


def test_other_eyes_than_the_painted_ones_do_no_harm():
    """Bright irises, and pictures half as bright."""
    right, film = truth(), frame_batch(truth(), SIZE)
    film = replace(film, rgb=(0.5 * film.rgb + 0.1).clamp(0, 1))
    found = eyes.follow_eyes(problem_of(right, film), at_rest(right), torch.arange(FRAMES))
    assert error_deg(found, right).max() < 1.5


def test_a_highlight_does_not_turn_an_eye():
    right, film = truth(), frame_batch(truth(), SIZE)
    camera = right.cameras(None, SIZE, torch.zeros(FRAMES))
    surface = eye_surface(builtin_head())
    axes = torch.tensor([[0.0, 0.0, 1.0]] * 2)
    joints = eyeballs_of(builtin_head(), right.head(), surface, axes)[0].joint
    rgb = film.rgb.clone()
    for frame, place in enumerate(camera.project(joints)[0].round().long()):
        for x, y in place.tolist():
            rgb[frame, y - 1 : y + 1, x + 1 : x + 3] = 1.0
    found = eyes.follow_eyes(problem_of(right, replace(film, rgb=rgb)), at_rest(right), torch.arange(FRAMES))
    assert error_deg(found, right).max() < 2.0


def test_closed_eyes_stay_between_those_of_their_neighbours():
    right = with_closed_eyes(truth(), 2)
    found = eyes.follow_eyes(problem_of(right), at_rest(right), torch.arange(FRAMES))
    assert found.eyes_pose.isfinite().all()
    assert error_deg(found, right)[[0, 1, 3, 4, 5]].max() < 1.0
    between = (found.eyes_pose[1] + found.eyes_pose[3]) / 2
    assert torch.rad2deg((found.eyes_pose[2] - between).norm()) < 10


def test_frames_that_are_not_asked_for_stay():
    right = truth()
    found = eyes.follow_eyes(problem_of(right), at_rest(right), torch.tensor([1, 3]))
    assert not found.eyes_pose[[0, 2, 4, 5]].any()
    assert error_deg(found, right)[[1, 3]].max() < 1.0
    nothing = torch.arange(0)
    assert eyes.follow_eyes(problem_of(right), right, nothing) is right


def test_head_without_eyeballs_is_left_alone():
    right = truth()
    head = builtin_head()
    regions = {name: ids for name, ids in head.regions.items() if "eyeball" not in name}
    problem = problem_of(right)
    problem = replace(problem, scene=replace(problem.scene, head=replace(head, regions=regions)))
    assert eyes.follow_eyes(problem, right, torch.arange(FRAMES)) is right


def uneven_eyes() -> tuple[EyeRays, EyeShapes, int]:
    """Pixels of one frame before eyes that are neither spheres nor round in colour, and how many views these are."""
    head, right = builtin_head(), truth()
    surface = eye_surface(head)
    axes = torch.nn.functional.normalize(torch.tensor([[0.08, 0.02, 1.0], [-0.05, 0.0, 1.0]]), dim=-1)
    balls, direction = eyeballs_of(head, right.head(), surface, axes)
    x, y, _ = direction.T
    uneven = 1 + 0.05 * torch.sin(3 * x) * torch.cos(4 * y)
    radius = balls.radius * charts(direction, uneven[:, None], surface.eye)
    detail = charts(direction, torch.stack([1 + 0.2 * x, 1 - 0.1 * y, 1 + 0.1 * x * y], -1), surface.eye)
    rows, batch = torch.tensor([1]), frame_batch(right, SIZE)
    pixels = joined(pixels_of(scene(SIZE), right.rows(rows), balls, 1, _rows(batch, rows)))
    rays = EyeRays(**{f.name: getattr(pixels, f.name) for f in fields(EyeRays)})
    angle = torch.arange(46) / 20
    profile = torch.stack([0.5 + 0.3 * torch.sin(angle + c) for c in range(3)], -1)
    return rays, EyeShapes(axes, radius, detail, CHART_REACH, profile, 0.05), pixels.n_views


def some_turns() -> Tensor:
    """(T, 2, 3) axis-angle of both eyes, in double."""
    gaze = 0.1 * torch.randn(FRAMES, 2, 2, generator=torch.Generator().manual_seed(0)).double()
    return torch.nn.functional.pad(gaze, (0, 1))


def test_the_kernel_agrees_with_its_twin():
    rays, shapes, views = uneven_eyes()
    turns, gain = some_turns().float(), torch.full((views, 3), 0.1)
    turn, by_turn = axis_angle_to_matrix(turns), axis_angle_derivatives(turns)[..., :2, :, :]
    expected = twins.differences_of_eyes(rays, shapes, turn, by_turn, gain)
    found = differences_of_eyes(rays, shapes, turn, by_turn, gain, slopes=True)
    names = ("value", "by_gaze", "factor", "angle")
    for name in names:
        right = getattr(expected, name)
        apart = (getattr(found, name).double() - right).abs() / right.abs().max()
        # The camera is a hundred radii away, in single precision; and a pixel on the border of a cell may be counted
        # to its neighbour, whose slopes are others.
        assert float(apart.flatten().quantile(0.95)) < 1e-3, name
        assert float(apart.mean()) < 1e-3, name
    assert len(names) == 4
    assert torch.equal(found.valid, expected.valid)
    assert 100 < int(found.valid.sum()) <= len(rays.view)
    without = differences_of_eyes(rays, shapes, turn, turn, gain, slopes=False)
    assert torch.equal(without.value, found.value)
    assert len(without.by_gaze) == 0


def test_derivatives_agree_with_finite_differences():
    (rays, shapes, views), turns = uneven_eyes(), some_turns()

    def at(turns: Tensor) -> EyeDifferences:
        by_turn = axis_angle_derivatives(turns)[..., :2, :, :]
        return twins.differences_of_eyes(rays, shapes, axis_angle_to_matrix(turns), by_turn, torch.zeros(views, 3))

    found, step = at(turns), 1e-7
    for column in range(2):
        moved = turns + step * torch.eye(3).double()[column]
        _agree(found.by_gaze[..., column], found.value, at(moved).value, step)


def test_a_views_brightness_changes_what_is_rendered():
    """In proportion to what it shows without."""
    right = truth()
    surface = eye_surface(builtin_head())
    colour, direction = (
        surface_colours(scene(SIZE, 512).base_texture, surface),
        surface_directions(builtin_head(), surface),
    )
    balls, direction = eyeballs_of(
        builtin_head(), right.head(), surface, painted_axes(builtin_head(), surface, direction, colour)
    )
    rows, batch = torch.tensor([1]), frame_batch(right, SIZE)
    pixels = joined(pixels_of(scene(SIZE), right.rows(rows), balls, 1, _rows(batch, rows)))
    profile = Profile(torch.rand(46, 3, generator=torch.Generator().manual_seed(0)))
    gaze, roll = torch.zeros(FRAMES, 2, 2), torch.zeros(FRAMES, 2)
    gain = torch.full((pixels.n_views, 3), 0.1)
    found = differences(pixels, balls, roll, profile, EyeState(gaze, gain))
    for column in range(3):
        moved = gain + torch.eye(3)[column]
        brighter = differences(pixels, balls, roll, profile, EyeState(gaze, moved), slopes=False)
        torch.testing.assert_close(brighter.value - found.value, found.by_gain[..., column], atol=1e-5, rtol=1e-4)
    assert found.by_gain.shape == (len(pixels.view), 3, 3)


def _agree(slope: Tensor, before: Tensor, after: Tensor, step: float) -> None:
    """But for the few pixels that cross a knot of a profile or chart on the way."""
    numeric = (after - before) / step
    scale = numeric.abs().amax()
    assert scale > 0
    assert ((slope - numeric).abs() / scale).flatten().quantile(0.98) < 0.01


def test_profile_of_round_albedo_is_found_in_closed_form():
    angle = torch.linspace(0, 1.5, 2000)
    albedo = torch.stack([0.2 + 0.4 * torch.sigmoid(20 * (angle - 0.4))] * 3, -1)
    factor = torch.linspace(0.5, 1.5, 2000)[:, None].expand(-1, 3)
    start = Profile(torch.full((46, 3), 0.5))
    found = fit_profile(angle, factor, factor * albedo, torch.full((2000,), 1e4), start)
    assert (found.at(angle)[0] - albedo).abs().max() < 0.02


def test_the_middle_of_a_painted_iris_is_found():
    head = builtin_head()
    assert head.base_texture is not None
    surface = eye_surface(head)
    direction, colour = surface_directions(head, surface), surface_colours(head.base_texture[None], surface)
    axes = painted_axes(head, surface, direction, colour)
    assert torch.rad2deg(torch.acos(axes[:, 2].clamp(max=1))).max() < 0.2
    aside = torch.nn.functional.normalize(torch.tensor([0.06, -0.03, 1.0]), dim=0)
    away = torch.acos((direction * aside).sum(-1).clamp(-1, 1))
    painted = texture_profile(away, colour).at(away)[0]
    found = painted_axes(head, surface, direction, painted)
    assert torch.rad2deg(torch.acos((found @ aside).clamp(max=1))).max() < 0.3


@pytest.mark.parametrize("most", [5, 40])
def test_thinned_pixels_count_as_much_as_all(most):
    right = truth()
    balls, _ = eyeballs_of(builtin_head(), right.head(), eye_surface(builtin_head()), torch.eye(3)[[2, 2]])
    rows = torch.tensor([0])
    pixels = joined(pixels_of(scene(SIZE), right.rows(rows), balls, 0, _rows(frame_batch(right, SIZE), rows)))
    few = eyes.thinned(pixels, most)
    assert torch.bincount(few.view).max() <= most
    assert few.counts.sum() == pytest.approx(float(pixels.counts.sum()), rel=0.2)
    assert EyePrior().correlation > 1
