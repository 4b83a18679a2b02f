"""Cholesky factorisation of equations in which each frame meets the two that follow it.

Two frames make one block, so that the matrix is block tridiagonal: the time is linear in the number of frames, and all
of it is spent in products of small dense matrices (Golub and Van Loan, Matrix Computations, section 4.5).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from vhap.util.threads import in_threads

COLUMNS = 96
"""Right-hand sides at most that one thread solves for."""


@dataclass(frozen=True)
class Joint:
    """What joins a pair of frames with the pair before it, (N - 1, P) each, diagonals of blocks (P, P) of a matrix E:
    across: of the first frames of both, inner: of the second one before and the first one here, other: of the second
    frames of both. What joins first and last of the four is zero."""

    across: Tensor
    inner: Tensor
    other: Tensor

    def times(self, index: int, rows: Tensor) -> Tensor:
        """E (2 P, 2 P) of one index times rows (2 P, K)."""
        first, second = rows.chunk(2)
        across, inner, other = (part[index, :, None] for part in (self.across, self.inner, self.other))
        return torch.cat([torch.addcmul(across * first, inner, second), other * second])

    def transposed_times(self, index: int, rows: Tensor) -> Tensor:
        """E^T of one index times rows (2 P, K)."""
        first, second = rows.chunk(2)
        across, inner, other = (part[index, :, None] for part in (self.across, self.inner, self.other))
        return torch.cat([across * first, torch.addcmul(inner * first, other, second)])


@dataclass(frozen=True)
class BlockBand:
    """The factored symmetric positive definite matrix of T frames with P unknowns each.

    factors (N, 2 P, 2 P): lower Cholesky factors of pairs of frames, less what those before explain; inverses
    (N, 2 P, 2 P): of what was factored; joint: with the pair before; N = (T + 1) // 2.
    """

    factors: Tensor
    inverses: Tensor
    joint: Joint
    frames: int

    @classmethod
    def of(cls, blocks: Tensor, next_frame: Tensor, after_next: Tensor) -> BlockBand:
        """blocks (T, P, P) of single frames; next_frame, after_next (T, P): the diagonals of the blocks that join a
        frame with the one and the two after it; those of the last frame (two frames) are not read.

        Raises torch.linalg.LinAlgError where the matrix is not positive definite.
        """
        frames, width, _ = blocks.shape
        pairs, odd = (frames + 1) // 2, frames % 2
        joined, across = next_frame.double(), after_next.double()
        if odd:
            # A frame of its own, which meets no other.
            joined, across = (torch.cat([part, torch.zeros_like(part[:1])]) for part in (joined, across))
            joined[frames - 1] = across[frames - 1] = across[frames - 2] = 0
        first, second = slice(0, width), slice(width, 2 * width)
        factors = blocks.new_zeros(pairs, 2 * width, 2 * width, dtype=torch.double)
        factors[:, first, first], factors[: pairs - odd, second, second] = blocks[::2], blocks[1::2]
        if odd:
            factors[-1, second, second] = torch.eye(width).to(factors)
        factors[:, first, second].diagonal(dim1=1, dim2=2).copy_(joined[::2])
        factors[:, second, first].diagonal(dim1=1, dim2=2).copy_(joined[::2])
        joint = Joint(across=across[:-2:2], inner=joined[1:-1:2], other=across[1:-1:2])
        inverses = torch.empty_like(factors)
        for index in range(pairs):
            if index:
                # E is diagonals only: E A^-1 E^T costs a third of what products of whole blocks do.
                factors[index] -= joint.times(index - 1, joint.times(index - 1, inverses[index - 1]).mT)
            factors[index] = torch.linalg.cholesky(factors[index])
            inverses[index] = torch.cholesky_inverse(factors[index])
        return cls(factors, inverses, joint, frames)

    def solve(self, right: Tensor) -> Tensor:
        """right (T, P, K) -> (T, P, K), in the kind of number of `right`."""
        solved = self._in_pairs(right)

        def undo(columns: slice) -> None:
            part = solved[..., columns]
            # A product with an inverse takes less than half the time of two triangular solves of one column.
            for index, inverse in enumerate(self.inverses):
                rows = part[index]
                if index:
                    rows = rows - self.joint.times(index - 1, part[index - 1])
                part[index] = inverse @ rows
            for index in range(len(part) - 2, -1, -1):
                part[index] -= self.inverses[index] @ self.joint.transposed_times(index, part[index + 1])

        self._by_columns(undo, solved)
        return solved.view(-1, *right.shape[1:])[: self.frames].to(right)

    def forward(self, right: Tensor) -> Tensor:
        """right (T, P, K) -> (N, 2 P, K) with the lower factor undone, in double: products of two such are what the
        inverse makes of their right-hand sides."""
        solved = self._in_pairs(right)

        def undo(columns: slice) -> None:
            part = solved[..., columns]
            for index, (factor, rows) in enumerate(zip(self.factors, part)):
                if index:
                    before = torch.linalg.solve_triangular(self.factors[index - 1].mT, part[index - 1], upper=True)
                    rows = rows - self.joint.times(index - 1, before)
                part[index] = torch.linalg.solve_triangular(factor, rows, upper=False)

        self._by_columns(undo, solved)
        return solved

    def backward(self, solved: Tensor) -> Tensor:
        """(N, 2 P, K) with the transposed factor undone."""
        done = torch.empty_like(solved)
        last = len(solved) - 1
        for index in range(last, -1, -1):
            part = solved[index]
            if index < last:
                after = self.joint.transposed_times(index, done[index + 1])
                part = part - torch.linalg.solve_triangular(self.factors[index], after, upper=False)
            done[index] = torch.linalg.solve_triangular(self.factors[index].mT, part, upper=True)
        return done

    def _in_pairs(self, right: Tensor) -> Tensor:
        """(T, P, K) -> (N, 2 P, K), in double."""
        frames, width, count = right.shape
        pairs = right.new_zeros(2 * len(self.factors), width, count, dtype=torch.double)
        pairs[:frames] = right
        return pairs.view(-1, 2 * width, count)

    @staticmethod
    def _by_columns(undo: Callable[[slice], None], solved: Tensor) -> None:
        """undo of some columns of (N, 2 P, K) at a time. By their number alone, so that the bits do not depend on the
        number of threads."""
        count = solved.shape[2]
        each = -(-count // max(1, -(-count // COLUMNS)))
        split = [slice(first, first + each) for first in range(0, count, max(1, each))]
        for _ in in_threads(undo, split) if solved.device.type == "cpu" else map(undo, split):
            pass
