"""Slopes of surface points, normals, shading and pictures, against automatic and finite differences."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch
from torch import Tensor
from torch.func import jacfwd
from torch.nn.functional import normalize
from tracked_heads import in_double, moving_params, scene

from vhap.fit.params import N_CAMERA, TrackParams, as_vectors, from_vectors
from vhap.fit.photometric.posed_heads import PosedHeads
from vhap.fit.residuals.surface_derivatives import sloped_planes, surface_derivatives
from vhap.fit.scene import N_LIGHT
from vhap.geometry.meshes import vertex_normals
from vhap.head.model import HeadModel, pose
from vhap.render.warp_surface_points import PointList

POINTS = 12


def random_like(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def one_frame() -> TrackParams:
    """A head in motion, with an offset, in double precision."""
    params = moving_params(5).rows(torch.tensor([1]))
    named = {f.name: getattr(params, f.name) for f in fields(params)}
    double = {name: v.double() for name, v in named.items() if isinstance(v, Tensor) and v.is_floating_point()}
    return replace(params, **double)


def in_single(params: TrackParams) -> TrackParams:
    return params.mapped(lambda _, value: value.float())


def with_correctives(head: HeadModel) -> HeadModel:
    return replace(head, pose_basis=0.01 * random_like((head.n_vertices, 3, 36), 11).to(head.template))


def assert_near(found: Tensor, expected: Tensor) -> None:
    """Single precision beside double: each column as a whole."""
    error = (found.double() - expected).norm(dim=0)
    assert bool((error < 1e-4 * expected.norm(dim=0) + 1e-5 * expected.norm(dim=0).max()).all())


@pytest.mark.parametrize("correctives", [False, True], ids=["rigid", "pose correctives"])
@pytest.mark.parametrize("normals", [False, True], ids=["places", "places and normals"])
def test_columns_are_the_slopes_that_autograd_finds(normals, correctives):
    stage = scene((96, 96), 64)
    stage = replace(stage, head=with_correctives(stage.head)) if correctives else stage
    head, params = in_double(stage.head), one_frame()
    params = replace(params, static_offset=1e-3 * random_like((head.n_vertices, 3), 9))
    corners = head.faces[torch.arange(0, len(head.faces), len(head.faces) // POINTS)[:POINTS]]
    barycentrics = normalize(random_like((POINTS, 3), 1).abs(), p=1, dim=-1)
    by_point, by_normal = random_like((POINTS, 3), 2), 0.1 * random_like((POINTS, 3), 3)

    def residuals(common: Tensor, local: Tensor) -> Tensor:
        vertices = pose(head, from_vectors(params, common, local[None]).head())[0]
        place = (vertices[corners] * barycentrics[..., None]).sum(1)
        turned = (vertex_normals(vertices, head.faces)[corners] * barycentrics[..., None]).sum(1)
        return (place * by_point).sum(-1) + (turned * by_normal).sum(-1) * float(normals)

    common, local = as_vectors(params)
    by_common, by_own = jacfwd(residuals, argnums=(0, 1))(common, local[0])
    posed, none = PosedHeads.of(stage, in_single(params)), torch.zeros(1, dtype=torch.int32)
    points = PointList(corners.int(), barycentrics.float(), none.expand(POINTS).contiguous(), none)
    given = [points, by_point.float(), by_normal.float() if normals else None]
    by_shared, own = surface_derivatives(stage, posed, *given)
    assert_near(by_shared[:, N_CAMERA:-N_LIGHT], by_common[:, N_CAMERA:])
    assert_near(own, by_own)
    none, alone = surface_derivatives(stage, posed, *given, shared=False)
    assert none.shape == (POINTS, 0)
    assert torch.equal(alone, own)


def test_slopes_of_a_ramp_are_exact_and_zero_at_the_border():
    row, column = torch.meshgrid(torch.arange(6.0), torch.arange(8.0), indexing="ij")
    ramp = 3 * column - 2 * row
    planes = sloped_planes(ramp)[0]
    assert torch.equal(planes[0], ramp)
    expected = torch.tensor([3.0, -2.0])[:, None, None].expand(2, 4, 6)
    assert torch.equal(planes[1:, 1:-1, 1:-1], expected)
    assert not planes[1, :, [0, -1]].any()
    assert not planes[2, [0, -1]].any()
