"""What this machine can do at best: bytes moved and operations done in a second, measured in the run that uses them."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

REPEATS = 7
MATRIX_SIDE = 1536
SMALLEST_BYTES = 1 << 16
"""Copies below this size measure the call, not the memory."""


def synchronize(device: torch.device) -> None:
    """Waits for what was launched on a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def median_seconds(work: Callable[[], object], device: torch.device, repeats: int = REPEATS) -> float:
    """Median of several calls, after one that does not count."""
    work()
    seconds = []
    for _ in range(repeats):
        synchronize(device)
        started = time.perf_counter()
        work()
        synchronize(device)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


@dataclass
class Floor:
    """Best times of a device with the threads that torch has. What was measured once is kept."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    _bandwidths: dict[int, float] = field(default_factory=dict)
    _operations: float = 0.0

    def bytes_per_second(self, moved: float) -> float:
        """Bytes read plus bytes written a second by a copy that moves as many, up to a power of two: a kernel whose
        data fit into a cache is compared with a copy inside that cache."""
        size = 1 << max(math.ceil(math.log2(max(moved, SMALLEST_BYTES))), 0)
        if size not in self._bandwidths:
            source = torch.ones(size // 8, dtype=torch.float32, device=self.device)
            target = torch.empty_like(source)
            rounds = max(1, (1 << 24) // size)

            def copy() -> None:
                for _ in range(rounds):
                    target.copy_(source)

            self._bandwidths[size] = rounds * 2 * 4 * len(source) / median_seconds(copy, self.device)
        return self._bandwidths[size]

    def operations_per_second(self) -> float:
        """Floating-point operations (a multiplication and an addition are two) of a float32 matrix product."""
        if self._operations == 0:
            left = torch.rand(MATRIX_SIDE, MATRIX_SIDE, device=self.device)
            right, out = torch.rand_like(left), torch.empty_like(left)
            seconds = median_seconds(lambda: torch.mm(left, right, out=out), self.device)
            self._operations = 2 * MATRIX_SIDE**3 / seconds
        return self._operations

    def seconds(self, moved: float, operations: float) -> float:
        """No less than either takes alone: memory and arithmetic work at the same time."""
        return max(moved / self.bytes_per_second(moved), operations / self.operations_per_second())
