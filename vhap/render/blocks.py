"""Tables in whole blocks of columns, which a processor's vector instructions take at once."""

from __future__ import annotations

from torch import Tensor

BLOCK = 8


def padded(width: int) -> int:
    """Up to whole blocks."""
    return -(-width // BLOCK) * BLOCK


def in_blocks(basis: Tensor, width: int) -> Tensor:
    """(V, 3, K) blend shapes -> (3 V, width in whole blocks), zeros behind the K."""
    table = basis.new_zeros(3 * len(basis), padded(width))
    table[:, : basis.shape[2]] = basis.flatten(0, 1)
    return table
