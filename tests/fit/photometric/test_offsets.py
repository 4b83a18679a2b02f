"""Offsets by pictures: derivatives, what they find, and what is expected of them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate
from tracked_heads import builtin_head, exact_problem, frame_batch, scene, still_params

from vhap.config.track import LossWeightConfig
from vhap.fit.params import TrackParams
from vhap.fit.photometric.offset_lengths import LengthUnknowns
from vhap.fit.photometric.offsets import OffsetTask, _equations
from vhap.fit.photometric.pictures import Pictures
from vhap.fit.photometric.problem import PhotometricProblem
from vhap.fit.photometric.solver import observed_albedo, open_task
from vhap.fit.surface import OffsetWeights, fit_moving_offset, fit_static_offset
from vhap.geometry.meshes import vertex_normals

SIZE, TEXTURE = (160, 160), 128
YAWS_DEG = (-50.0, -25.0, 0.0, 25.0, 50.0)
USUAL = LossWeightConfig()
WEIGHTS = OffsetWeights(USUAL, USUAL)
WEAK = OffsetWeights(replace(USUAL, reg_offset=3.0, reg_offset_lap=1e4, reg_offset_rigid=0.0), USUAL)
"""For pictures so small, which show little."""


@cache
def freckles() -> Tensor:
    """(1, R, R, 3): blotches of grey on the base texture, which is smooth."""
    noise = torch.rand(1, 3, TEXTURE // 2, TEXTURE // 2, generator=torch.Generator().manual_seed(0))
    grey = noise.mean(1, keepdim=True) - 0.5
    return interpolate(grey, (TEXTURE, TEXTURE), mode="bilinear").permute(0, 2, 3, 1).expand(-1, -1, -1, 3).contiguous()


def turned(offset: Tensor) -> TrackParams:
    params = replace(still_params(len(YAWS_DEG), TEXTURE), residual_texture=freckles())
    params.rotation[:, 1] = torch.deg2rad(torch.tensor(YAWS_DEG))
    return replace(params, static_offset=offset)


@cache
def directions() -> Tensor:
    head = builtin_head()
    return vertex_normals(head.template[None], head.faces)[0]


def bump(metres: float, radius_m: float = 0.03) -> Tensor:
    """(V, 3): a soft bump of the left cheek along the normals."""
    head = builtin_head()
    face = head.template[head.regions["face"]]
    centre = face[(face - torch.tensor([0.035, -0.02, 0.1])).norm(dim=-1).argmin()]
    height = torch.exp(-((head.template - centre).norm(dim=-1) / radius_m).square() * 2)
    return metres * height[:, None] * directions()


def problem_of_film(truth: TrackParams) -> PhotometricProblem:
    batch = frame_batch(truth, SIZE)
    stage = scene(SIZE, TEXTURE)
    pictures = Pictures(lambda rows: batch.select(rows))
    return PhotometricProblem(scene=stage, landmarks=exact_problem(truth, SIZE), pictures=pictures)


def lengths(offset: Tensor) -> Tensor:
    return (offset * directions()).sum(-1)


def test_gradient_is_that_of_finite_differences_of_the_cost():
    start, rows = turned(bump(0.002)), torch.arange(len(YAWS_DEG))
    problem = problem_of_film(turned(bump(0.0)))
    task = open_task(problem, start, rows)
    assert task is not None
    assert start.static_offset is not None
    every = torch.ones(builtin_head().n_vertices, dtype=torch.bool)
    unknowns = LengthUnknowns.of(problem.scene, start.shape, start.static_offset, every)
    expected = WEIGHTS.expected(problem.scene, unknowns, None)
    offsets = OffsetTask(task, unknowns, expected, lambda new: replace(start, static_offset=new))
    first = unknowns.lengths_in(start.static_offset)
    x = np.pad(first, (0, expected.count - len(first)))
    now, _ = offsets.state(x)
    _, right = _equations(offsets, now, x)
    for direction in (lengths(bump(1.0)), lengths(bump(1.0, 0.1))):
        step = np.pad(2e-5 * direction.double().numpy(), (0, expected.count - len(first)))
        change = offsets.state(x + step)[1] - offsets.state(x - step)[1]
        assert change == pytest.approx(-4 * float(right @ step), rel=0.15)


def test_a_bump_is_found_and_nothing_where_there_is_none():
    rows = torch.arange(len(YAWS_DEG))
    start = turned(bump(0.0))
    for height in (0.006, 0.0):
        truth = bump(height)
        found = fit_static_offset(problem_of_film(turned(truth)), start, rows, WEAK, 4).static_offset
        assert found is not None
        error, before = (lengths(which - truth).abs() for which in (found, bump(0.0)))
        raised = lengths(bump(1.0)) > 0.5
        if height:
            assert float(error[raised].mean()) < 0.7 * float(before[raised].mean())
        assert float(error[~raised].mean()) < 3e-4


def test_moving_offsets_stay_near_the_frame_before_by_their_weight():
    truth = turned(bump(0.006))
    problem, rows = problem_of_film(truth), torch.arange(len(YAWS_DEG))
    start = replace(turned(bump(0.0)), dynamic_offset=torch.zeros(len(YAWS_DEG), *bump(0.0).shape))
    known = observed_albedo(problem, truth, rows)
    assert known is not None
    raised, heights = lengths(bump(1.0)) > 0.5, []
    for weight in (3e5, 3e9):
        weights = OffsetWeights(replace(WEAK.w, reg_offset_dynamic=weight), USUAL)
        found = fit_moving_offset(problem, start, 3, known, weights, 3)
        heights.append(float(lengths(found)[raised].mean()))
    assert heights[0] > 1e-4
    assert abs(heights[1]) < 0.2 * heights[0]


@pytest.mark.parametrize("option", ["reg_offset", "reg_offset_lap", "reg_offset_rigid"])
def test_cost_grows_with_each_weight_and_is_relaxed_in_its_regions(option):
    stage, offset = scene(SIZE, TEXTURE), bump(0.004)
    every = torch.ones(len(offset), dtype=torch.bool)
    unknowns = LengthUnknowns.of(stage, torch.zeros(builtin_head().n_shape), offset, every)

    def cost(**changes) -> float:
        expected = OffsetWeights(replace(USUAL, **changes), USUAL).expected(stage, unknowns, None)
        x = unknowns.lengths_in(offset)
        return expected.cost(np.pad(x, (0, expected.count - len(x))))

    assert cost(**{option: 4 * getattr(USUAL, option)}) > cost() > cost(**{option: 0.0})
    if option != "reg_offset_rigid":
        assert cost(**{f"{option}_relax_for": ("face",), f"{option}_relax_coef": 0.1}) < cost()


def test_precision_is_the_curvature_and_gradient_the_slope_of_the_cost():
    stage, offset = scene(SIZE, TEXTURE), bump(0.004)
    every = torch.ones(len(offset), dtype=torch.bool)
    unknowns = LengthUnknowns.of(stage, torch.zeros(builtin_head().n_shape), offset, every)
    expected = WEIGHTS.expected(stage, unknowns, 0.5 * offset)
    x = np.pad(unknowns.lengths_in(offset), (0, expected.count - len(unknowns.vertices)))
    step = 1e-6 * np.random.default_rng(0).standard_normal(len(x))
    change = expected.cost(x + step) - expected.cost(x - step)
    assert change == pytest.approx(4 * float(expected.gradient(x) @ step), rel=1e-3)
