"""Robust losses: near zero squares, and their weights the derivatives of their costs."""

import pytest
import torch

from vhap.geometry.robust import Cauchy, GemanMcClure, RobustLoss

LOSSES = [Cauchy(2.0), GemanMcClure(2.0), Cauchy(0.5), GemanMcClure(0.5)]


@pytest.mark.parametrize("loss", LOSSES)
def test_the_weight_is_the_derivative_of_the_cost(loss: RobustLoss):
    squared = torch.tensor([0.0, 0.1, 1.0, 7.0, 1e4], dtype=torch.double, requires_grad=True)
    (derivative,) = torch.autograd.grad(loss.cost(squared).sum(), squared)
    torch.testing.assert_close(loss.weight(squared), derivative)


@pytest.mark.parametrize("loss", LOSSES)
def test_small_residuals_cost_their_squares(loss: RobustLoss):
    squared = torch.tensor([0.0, 1e-6], dtype=torch.double)
    torch.testing.assert_close(loss.cost(squared), squared, rtol=1e-4, atol=0.0)


def test_far_residuals_are_let_go_by_one_and_pull_ever_less_by_the_other():
    far = torch.tensor([1e6], dtype=torch.double)
    assert float(GemanMcClure(2.0).cost(far)) == pytest.approx(4, rel=1e-4)
    assert 4 < float(Cauchy(2.0).cost(far)) < 60
    assert 0 < float(GemanMcClure(2.0).weight(far)) < float(Cauchy(2.0).weight(far)) < 1e-5
