"""Per-vertex offsets: the Laplacian, and how they are part of the posed head."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from tracked_heads import builtin_head, moving_params, still_params

from vhap.geometry.meshes import uniform_laplacian
from vhap.head.model import pose

# Two triangles on a square and a vertex without a triangle.
FACES = torch.tensor([[0, 1, 2], [0, 2, 3]])
N = 5
NEIGHBOURS = {0: [1, 2, 3], 1: [0, 2], 2: [0, 1, 3], 3: [0, 2]}


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
