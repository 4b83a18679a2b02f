"""Levenberg-Marquardt on problems that anyone knows."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from vhap.fit.levenberg_marquardt import Schedule, descend

SCHEDULE = Schedule(damping=1e-3, least=1e-9, raised=8.0, lowered=1 / 8, tries=8, converged=1e-12, promise=0.0)


def rosenbrock(x: Tensor) -> Tensor:
    """With a residual that nothing moves, so that the least cost is one."""
    return torch.stack([10 * (x[1] - x[0] ** 2), 1 - x[0], torch.ones_like(x[0])])


@dataclass
class State:
    x: Tensor
    tried: list[float] = field(default_factory=list)
    indefinite_below: float = 0.0

    @property
    def cost(self) -> float:
        return float(rosenbrock(self.x).square().sum())


@dataclass
class Equations:
    now: State

    def _normal(self) -> tuple[Tensor, Tensor]:
        jacobian = torch.autograd.functional.jacobian(rosenbrock, self.now.x)
        assert isinstance(jacobian, Tensor)
        return jacobian.T @ jacobian, -jacobian.T @ rosenbrock(self.now.x)

    def solve(self, damping: float) -> Tensor | None:
        self.now.tried.append(damping)
        if damping < self.now.indefinite_below:
            return None
        normal, right = self._normal()
        return torch.linalg.solve(normal + damping * torch.diag(normal.diagonal()), right)

    def gain(self, step: Tensor) -> float:
        normal, right = self._normal()
        return float(2 * right @ step - step @ normal @ step)

    def after(self, step: Tensor) -> State:
        return State(self.now.x + step, self.now.tried, self.now.indefinite_below)


def begun(**options) -> State:
    return State(torch.tensor([-1.2, 1.0], dtype=torch.double), **options)


def test_the_valley_is_followed_to_its_end():
    costs = []
    found = descend(begun(), Equations, 100, SCHEDULE, lambda index, cost: costs.append((index, cost)))
    torch.testing.assert_close(found.state.x, torch.ones(2, dtype=torch.double), atol=1e-6, rtol=0.0)
    assert [index for index, _ in costs] == list(range(1, found.rounds + 1))
    assert all(later < before for (_, before), (_, later) in itertools.pairwise(costs))


def test_no_more_rounds_than_asked_for():
    assert descend(begun(), Equations, 2, SCHEDULE).rounds == 2
    still = descend(begun(), Equations, 0, SCHEDULE)
    assert (still.rounds, still.damping) == (0, SCHEDULE.damping)
    assert torch.equal(still.state.x, begun().x)


def test_indefinite_equations_are_damped_until_they_are_not():
    found = descend(begun(indefinite_below=0.05), Equations, 1, SCHEDULE)
    assert found.rounds == 1
    assert found.state.tried[:3] == pytest.approx([1e-3, 8e-3, 64e-3])


def test_where_nothing_can_be_gained_one_failed_step_ends_it():
    schedule = Schedule(damping=1e-3, least=1e-9, raised=8.0, lowered=1 / 8, tries=8, converged=1e-3, promise=1e-3)
    best = State(torch.ones(2, dtype=torch.double))
    found = descend(best, Equations, 10, schedule)
    assert found.rounds == 0
    assert best.tried == [1e-3]
