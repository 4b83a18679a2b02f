"""Sums over parts of the data whose graphs never stand beside each other, with the gradient of the whole sum."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Part = TypeVar("Part")


def accumulated(evaluate: Callable[..., Tensor], parts: Iterable[Part], *inputs: Tensor) -> Tensor:
    """The sum of evaluate(part, *inputs) () over all parts, differentiable once in the inputs.

    Each part's gradient is taken at once and its graph let go, so memory is that of the largest part.
    """
    leaves = [value.detach().requires_grad_(torch.is_grad_enabled() and value.requires_grad) for value in inputs]
    moving = [leaf for leaf in leaves if leaf.requires_grad]
    total, gradients = inputs[0].new_zeros(()), [None] * len(moving)
    for part in parts:
        cost = evaluate(part, *leaves)
        total += cost.detach()
        if cost.requires_grad:
            found = torch.autograd.grad(cost, moving, allow_unused=True)
            gradients = [_sum(old, new) for old, new in zip(gradients, found)]
    return _Known.apply(total, gradients, *(value for value in inputs if value.requires_grad))  # type: ignore[misc]


def _sum(old: Tensor | None, new: Tensor | None) -> Tensor | None:
    """None is the gradient of what nothing depends on. old is overwritten."""
    if old is None or new is None:
        return new if old is None else old
    return old.add_(new)


class _Known(torch.autograd.Function):
    """A value () whose gradients are known before anyone asks for them."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, gradients: list[Tensor | None], *inputs: Tensor) -> Tensor:
        ctx.gradients = gradients
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *(None if known is None else upstream * known for known in ctx.gradients)
