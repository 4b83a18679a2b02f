"""Cholesky factorisation of equations in which each frame meets the two that follow it.

Two frames make one block, so that the matrix is block tridiagonal: the time is linear in the number of frames, and all
of it is spent in products of small dense matrices (Golub and Van Loan, Matrix Computations, section 4.5).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vhap.util.threads import in_threads

COLUMNS = 96
"""Right-hand sides that one thread solves for."""


@dataclass(frozen=True)
class BlockBand:
    """The lower factor of a symmetric positive definite matrix of T frames with P unknowns each.

    factors (N, 2 P, 2 P): lower triangles of pairs of frames; below (N - 1, 2 P, 2 P): what stands under each of them;
    N = (T + 1) // 2.
    """

    factors: Tensor
    below: Tensor
    frames: int

    @classmethod
    def of(cls, blocks: Tensor, next_frame: Tensor, after_next: Tensor) -> BlockBand:
        """blocks (T, P, P) of single frames; next_frame, after_next (T, P): the diagonals of the blocks that join a
        frame with the one and the two after it; those of the last frame (two frames) are not read.

        Raises torch.linalg.LinAlgError where the matrix is not positive definite.
        """
        frames, width, _ = blocks.shape
        paired = blocks.double()
        joined, across = next_frame.double(), after_next.double()
        if frames % 2:
            # A frame of its own, which meets no other.
            paired = torch.cat([paired, torch.eye(width).to(paired)[None]])
            joined, across = (torch.cat([part, torch.zeros_like(part[:1])]) for part in (joined, across))
            joined[frames - 1] = across[frames - 1] = across[frames - 2] = 0
        first, second = slice(0, width), slice(width, 2 * width)
        diagonal = paired.new_zeros(len(paired) // 2, 2 * width, 2 * width)
        diagonal[:, first, first], diagonal[:, second, second] = paired[::2], paired[1::2]
        inner = torch.diag_embed(joined[::2])
        diagonal[:, first, second] = diagonal[:, second, first] = inner
        below = torch.zeros_like(diagonal[1:])
        below[:, first, first] = torch.diag_embed(across[:-2:2])
        below[:, second, second] = torch.diag_embed(across[1:-1:2])
        below[:, first, second] = torch.diag_embed(joined[1:-1:2])
        factors = torch.empty_like(diagonal)
        for place in range(len(diagonal)):
            if place:
                # X = E L^-T of the pair before, whose square leaves this pair's block.
                above = torch.linalg.solve_triangular(factors[place - 1], below[place - 1].mT, upper=False).mT
                below[place - 1] = above
                diagonal[place] -= above @ above.mT
            factors[place] = torch.linalg.cholesky(diagonal[place])
        return cls(factors, below, frames)

    def solve(self, right: Tensor) -> Tensor:
        """right (T, P, K) -> (T, P, K), in the kind of number of `right`."""
        width = right.shape[1]
        return self.backward(self.forward(right)).reshape(-1, width, right.shape[2])[: self.frames].to(right)

    def forward(self, right: Tensor) -> Tensor:
        """right (T, P, K) -> (N, 2 P, K) with the lower factor undone, in double: products of two such are what the
        inverse makes of their right-hand sides."""
        frames, width, count = right.shape
        solved = right.new_zeros(len(self.factors) * 2, width, count, dtype=torch.double)
        solved[:frames] = right
        solved = solved.view(-1, 2 * width, count)

        def undo(columns: slice) -> None:
            part = solved[..., columns]
            for place, (factor, rows) in enumerate(zip(self.factors, part)):
                if place:
                    rows = torch.addmm(rows, self.below[place - 1], part[place - 1], alpha=-1)
                part[place] = torch.linalg.solve_triangular(factor, rows, upper=False)

        # By the number of columns alone, so that the bits do not depend on the number of threads.
        split = [slice(first, first + COLUMNS) for first in range(0, count, COLUMNS)]
        for _ in in_threads(undo, split) if right.device.type == "cpu" else map(undo, split):
            pass
        return solved

    def backward(self, solved: Tensor) -> Tensor:
        """(N, 2 P, K) with the transposed factor undone."""
        done = torch.empty_like(solved)
        last = len(solved) - 1
        for place in range(last, -1, -1):
            part = solved[place]
            if place < last:
                part = torch.addmm(part, self.below[place].mT, done[place + 1], alpha=-1)
            done[place] = torch.linalg.solve_triangular(self.factors[place].mT, part, upper=True)
        return done
