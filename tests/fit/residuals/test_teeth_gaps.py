"""Teeth behind the skin: a box of skin before a row of teeth, whose modes push one through the other."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
import torch
from tracked_heads import builtin_head, exact_problem, moving_params

from vhap.fit.landmarks.equations import frame_costs, normal_equations
from vhap.fit.params import N_CAMERA, TrackParams, as_vectors
from vhap.fit.residuals.teeth_gaps import LEAST_M, SPREAD_M, TeethGaps, find_teeth_gaps
from vhap.head.ict_facekit import load_ict_facekit
from vhap.head.model import HeadModel

ICT = os.environ.get("VHAP_ICT_FACEKIT")
SIZE = (480, 640)
BEHIND_M = 0.01


def head_with_teeth() -> HeadModel:
    """The built-in head with nine teeth behind its chin, which come forward with the first mode of identity."""
    head = builtin_head()
    mouth = head.template[head.regions["lips"]].mean(0)
    x, y = torch.meshgrid(torch.linspace(-0.01, 0.01, 3), torch.linspace(-0.03, -0.02, 3), indexing="ij")
    place = mouth + torch.stack([x.flatten(), y.flatten(), torch.zeros(9)], -1)
    skin = head.template[head.regions["face"]]
    nearest = (skin[None, :, :2] - place[:, None, :2]).norm(dim=-1).argmin(1)
    place[:, 2] = skin[nearest, 2] - BEHIND_M
    by_shape = torch.zeros(9, 3, head.n_shape)
    by_shape[:, 2, 0] = 0.01
    first = head.n_vertices
    return replace(
        head,
        template=torch.cat([head.template, place]),
        shape_basis=torch.cat([head.shape_basis, by_shape]),
        expr_basis=torch.cat([head.expr_basis, torch.zeros(9, 3, head.n_expr)]),
        regions={**head.regions, "teeth": torch.arange(first, first + 9)},
    )


def gaps() -> TeethGaps:
    found = find_teeth_gaps(head_with_teeth())
    assert found is not None
    return found


def forward(amount: float) -> TrackParams:
    truth = moving_params(2)
    shape = torch.zeros_like(truth.shape)
    shape[0] = amount
    return replace(truth, shape=shape, expr=torch.zeros_like(truth.expr))


def test_a_head_without_teeth_has_no_gaps():
    assert find_teeth_gaps(builtin_head()) is None


def test_only_teeth_that_come_through_cost():
    head, found = head_with_teeth(), gaps()
    rest = torch.zeros(head.n_expr)
    for one in torch.cat([rest[None], torch.eye(head.n_expr)]):
        assert found.shortfall(torch.zeros(head.n_shape), one)[0].max() < 1e-3
    through = found.shortfall(forward(1.5).shape, rest)[0]
    assert through.min() > 0.3 * BEHIND_M / 2 / SPREAD_M
    assert through.max() < (BEHIND_M + LEAST_M) / SPREAD_M


def test_equations_are_the_slope_of_the_cost():
    problem = replace(exact_problem(forward(1.5), SIZE), teeth=gaps())
    blank = replace(problem, weight=torch.zeros_like(problem.weight))
    common, local = (vector.requires_grad_() for vector in as_vectors(forward(1.5)))
    sigma, anchor = blank.sigma_px(), local.detach()
    cost = frame_costs(blank, common, local, sigma, anchor).sum()
    cost.backward()
    told = normal_equations(blank, common.detach(), local.detach(), sigma, anchor)
    without = normal_equations(replace(blank, teeth=None), common.detach(), local.detach(), sigma, anchor)
    assert local.grad is not None
    assert common.grad is not None
    torch.testing.assert_close(-2 * told.right_frames.float(), local.grad, rtol=1e-3, atol=1e-3)
    shared = -2 * (told.right_shared - without.right_shared).float()
    torch.testing.assert_close(shared, common.grad, rtol=1e-3, atol=1e-2)
    assert shared[N_CAMERA] > 100


@pytest.mark.skipif(ICT is None, reason="needs VHAP_ICT_FACEKIT, the folder FaceXModel")
def test_people_of_the_head_model_have_their_teeth_inside():
    head = load_ict_facekit(str(ICT))
    found = find_teeth_gaps(head)
    assert found is not None
    random = torch.Generator().manual_seed(0)
    for _ in range(10):
        shape = torch.randn(head.n_shape, generator=random).clamp(-2, 2)
        short = found.shortfall(shape, torch.zeros(head.n_expr))[0]
        assert (short > 0).float().mean() < 0.05
        assert short.max() * SPREAD_M < 0.002
