"""Tables in whole blocks of columns, which a processor's vector instructions take at once."""

from __future__ import annotations

import torch
from torch import Tensor

BLOCK = 32
TINY_M = 1e-12
"""Smaller displacements count as none: squared they would be denormal, which takes processors many times as long."""


def padded(width: int) -> int:
    """Up to whole blocks."""
    return -(-width // BLOCK) * BLOCK


def in_blocks(basis: Tensor, width: int) -> Tensor:
    """(V, 3, K) blend shapes -> (V, blocks, 3, BLOCK) for `width` columns or some more, zeros behind the K."""
    table = basis.new_zeros(*basis.shape[:2], padded(width))
    table[..., : basis.shape[2]] = torch.where(basis.abs() < TINY_M, 0.0, basis)
    return table.unflatten(-1, (-1, BLOCK)).transpose(1, 2).contiguous()
