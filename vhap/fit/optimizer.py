"""Adam that touches only the rows of the frames at hand."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from vhap.fit.params import PER_ROW, TrackParams

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


@dataclass
class Moments:
    """First and second moments of one unknown, and how many steps each of its rows has made."""

    first: Tensor
    second: Tensor
    steps: Tensor


@dataclass
class RowAdam:
    """Adam (Kingma and Ba 2015) with its own step count for each frame.

    A frame that is not in the batch keeps its value and its momentum: with one dense Adam the momentum of
    earlier batches would go on moving it.
    """

    moments: dict[str, Moments] = field(default_factory=dict)

    @torch.no_grad()
    def step(
        self, params: TrackParams, gradients: dict[str, Tensor], timesteps: Tensor, rates: dict[str, float | Tensor]
    ) -> None:
        """Updates params in place. gradients: per-frame unknowns have one row for each of timesteps (B,).
        rates: one number, or one for each column."""
        for name, gradient in gradients.items():
            value = getattr(params, name)
            if name not in self.moments:
                count = value.shape[0] if name in PER_ROW else 1
                steps = torch.zeros(count, device=value.device)
                self.moments[name] = Moments(torch.zeros_like(value), torch.zeros_like(value), steps)
            if name in PER_ROW:
                self._step_rows(self.moments[name], value, gradient, timesteps, rates[name])
            else:
                self._step_whole(self.moments[name], value, gradient, rates[name])

    @staticmethod
    def _step_rows(state: Moments, value: Tensor, gradient: Tensor, rows: Tensor, rate: float | Tensor) -> None:
        state.steps[rows] += 1
        first = state.first[rows].lerp(gradient, 1 - BETA_1)
        second = state.second[rows].lerp(gradient.square(), 1 - BETA_2)
        state.first[rows], state.second[rows] = first, second
        count = state.steps[rows].view(-1, *[1] * (value.ndim - 1))
        mean, deviation = first / (1 - BETA_1**count), (second / (1 - BETA_2**count)).sqrt()
        value[rows] -= rate * mean / (deviation + EPSILON)

    @staticmethod
    def _step_whole(state: Moments, value: Tensor, gradient: Tensor, rate: float | Tensor) -> None:
        state.steps += 1
        count = float(state.steps)
        state.first.lerp_(gradient, 1 - BETA_1)
        state.second.mul_(BETA_2).addcmul_(gradient, gradient, value=1 - BETA_2)
        deviation = state.second.sqrt().div_((1 - BETA_2**count) ** 0.5).add_(EPSILON)
        value -= (rate / (1 - BETA_1**count)) * state.first / deviation
