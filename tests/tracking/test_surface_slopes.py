"""Slopes of normals, shading, motion and pictures against finite differences."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import normalize
from tracked_heads import builtin_head, in_double, moving_params

from vhap.geometry.meshes import vertex_normals
from vhap.model.head import HeadParams, pose
from vhap.render.shading import shade
from vhap.tracking.params import PER_FRAME
from vhap.tracking.surface_slopes import motion_slopes, normal_slopes, picture_slopes, shading_slopes

STEP = 1e-5


def random_like(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def posed() -> HeadParams:
    """One row of a head in motion, in double precision."""
    params = moving_params(5).rows(torch.tensor([1]))
    own = {name: getattr(params, name)[0].double() for name in PER_FRAME}
    return HeadParams(shape=params.shape.double(), **own)


def test_normals_turn_as_finite_differences_say():
    head = in_double(builtin_head())
    vertices, moves = pose(head, posed()), 0.01 * random_like((head.n_vertices, 3, 4))
    found = normal_slopes(vertices, head.faces, moves)
    for k in range(moves.shape[-1]):
        there, back = (vertex_normals(vertices + sign * STEP * moves[..., k], head.faces) for sign in (1, -1))
        numeric = (there - back) / (2 * STEP)
        assert float((found[..., k] - numeric).norm() / numeric.norm()) < 1e-4


def test_shading_moves_with_normals_of_any_length():
    normals, albedo, lights = random_like((50, 3)), random_like((50, 3), 1).abs(), random_like((9, 3), 2)

    def shaded(smooth: Tensor) -> Tensor:
        return (shade(normalize(smooth, dim=-1), lights) * albedo).sum(-1)

    found = shading_slopes(normals, albedo, lights)
    for axis, unit in enumerate(torch.eye(3, dtype=torch.double)):
        numeric = (shaded(normals + STEP * unit) - shaded(normals - STEP * unit)) / (2 * STEP)
        torch.testing.assert_close(found[:, axis], numeric, rtol=1e-4, atol=1e-6)


def test_vertices_move_with_every_joint():
    head, params = in_double(builtin_head()), posed()
    found, index = motion_slopes(head, params), 0
    for name in PER_FRAME[:-1]:
        value = getattr(params, name)
        for unit in torch.eye(len(value), dtype=torch.double):
            there, back = (pose(head, replace(params, **{name: value + sign * STEP * unit})) for sign in (1, -1))
            torch.testing.assert_close(found[index], (there - back) / (2 * STEP), rtol=1e-4, atol=1e-7)
            index += 1
    assert len(found) == index == 18


def test_slopes_of_a_ramp_are_exact_and_zero_at_the_border():
    row, column = torch.meshgrid(torch.arange(6.0), torch.arange(8.0), indexing="ij")
    slopes = picture_slopes(3 * column - 2 * row)
    expected = torch.tensor([3.0, -2.0]).expand(4, 6, 2)
    assert torch.equal(slopes[1:-1, 1:-1], expected)
    assert not slopes[:, [0, -1], 0].any()
    assert not slopes[[0, -1], :, 1].any()
