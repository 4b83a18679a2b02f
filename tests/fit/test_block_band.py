"""Banded equations of frames, against the dense matrix."""

import pytest
import torch
from torch import Tensor

from vhap.fit.block_band import COLUMNS, BlockBand
from vhap.util.threads import get_threads, set_threads

WIDTH = 5


def banded(frames: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Blocks, both diagonals, and the whole matrix (T P, T P)."""
    random = torch.Generator().manual_seed(frames)
    root = torch.randn(frames, WIDTH, WIDTH, generator=random, dtype=torch.double)
    blocks = root @ root.mT + 8 * torch.eye(WIDTH, dtype=torch.double)
    diagonals = [torch.randn(frames, WIDTH, generator=random, dtype=torch.double) for _ in range(2)]
    whole = torch.block_diag(*blocks)
    for apart, diagonal in enumerate(diagonals, 1):
        for frame in range(frames - apart):
            rows = torch.arange(WIDTH) + WIDTH * frame
            whole[rows, rows + apart * WIDTH] = whole[rows + apart * WIDTH, rows] = diagonal[frame]
    return blocks, diagonals[0], diagonals[1], whole


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 7, 8])
def test_solution_is_that_of_the_dense_matrix(frames):
    blocks, next_frame, after_next, whole = banded(frames)
    right = torch.randn(frames, WIDTH, COLUMNS + 3, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    band = BlockBand.of(blocks, next_frame, after_next)
    expected = torch.linalg.solve(whole, right.flatten(0, 1))
    torch.testing.assert_close(band.solve(right).flatten(0, 1), expected)
    half = band.forward(right).flatten(0, 1)
    torch.testing.assert_close(half.T @ half, right.flatten(0, 1).T @ expected)


def test_solution_has_the_same_bits_for_any_number_of_threads():
    blocks, next_frame, after_next, _ = banded(6)
    right = torch.randn(6, WIDTH, 3 * COLUMNS, generator=torch.Generator().manual_seed(0), dtype=torch.double)
    band, before, found = BlockBand.of(blocks, next_frame, after_next), get_threads(), []
    try:
        for count in (1, 2, 4):
            set_threads(count)
            found.append(band.solve(right))
    finally:
        set_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_a_matrix_that_is_not_positive_definite_is_refused():
    blocks, next_frame, after_next, _ = banded(4)
    blocks[2] -= 100 * torch.eye(WIDTH, dtype=torch.double)
    with pytest.raises(torch.linalg.LinAlgError):  # pyright: ignore[reportPrivateImportUsage]
        BlockBand.of(blocks, next_frame, after_next)
