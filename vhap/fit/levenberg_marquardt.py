"""Levenberg-Marquardt: damped Gauss-Newton steps, each of which lowers the cost (Nocedal and Wright 2006, section
10.3).

It knows nothing of heads: a problem gives the equations at a state, these give steps, and a step gives the next state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class HasCost(Protocol):
    @property
    def cost(self) -> float:
        """What is minimised: a sum of (robust) squares."""
        ...


StateT = TypeVar("StateT", bound=HasCost)
StepT = TypeVar("StepT")
NextT = TypeVar("NextT", bound=HasCost, covariant=True)


class Equations(Protocol[NextT, StepT]):
    """The normal equations at a state."""

    def solve(self, damping: float) -> StepT | None:
        """The step of the equations whose diagonal is larger by that share; None where rounding has made them
        indefinite."""
        ...

    def gain(self, step: StepT) -> float:
        """By how much a step lowers the cost, where the equations hold."""
        ...

    def after(self, step: StepT) -> NextT:
        """The state after a step, with its cost."""
        ...


@dataclass(frozen=True)
class Schedule:
    """damping: of the first step; least: at least; raised, lowered: factors on it after a step that failed, and after
    one that served; tries: steps of a round at most. Rounds end where one gained less than the share `converged` of the
    cost, or where a step failed that promised less than the share `promise`: shorter ones would gain even less."""

    damping: float
    least: float
    raised: float
    lowered: float
    tries: int
    converged: float
    promise: float


@dataclass(frozen=True)
class Descent(Generic[StateT]):
    """state: the last one; rounds: how many lowered the cost; damping: that serves next."""

    state: StateT
    rounds: int
    damping: float


def descend(
    state: StateT,
    equations_at: Callable[[StateT], Equations[StateT, StepT]],
    rounds: int,
    schedule: Schedule,
    report: Callable[[int, float], None] = lambda index, cost: None,
) -> Descent[StateT]:
    """At most so many rounds from a state. report(index, cost) is called after each that lowered the cost, index from 1
    on."""
    damping = schedule.damping
    for index in range(rounds):
        better, tried = _lower(state, equations_at(state), damping, schedule)
        if better is None:
            return Descent(state, index, damping)
        gain = (state.cost - better.cost) / state.cost
        state, damping = better, max(tried * schedule.lowered, schedule.least)
        report(index + 1, state.cost)
        if gain < schedule.converged:
            return Descent(state, index + 1, damping)
    return Descent(state, rounds, damping)


def _lower(
    state: StateT, equations: Equations[StateT, StepT], damping: float, schedule: Schedule
) -> tuple[StateT | None, float]:
    """The state after the first of a few steps, each damped more than the one before, that costs less, None where none
    does; and its damping."""
    for _ in range(schedule.tries):
        step = equations.solve(damping)
        if step is not None:
            trial = equations.after(step)
            if trial.cost < state.cost:
                return trial, damping
            if equations.gain(step) < schedule.promise * state.cost:
                break
        damping *= schedule.raised
    return None, damping
