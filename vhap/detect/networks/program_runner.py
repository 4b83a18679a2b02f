"""Programs of whole networks on a CPU, and what is left of the networks in torch."""

from __future__ import annotations

import math
import threading

import numpy as np
import torch
import warp as wp
from torch import Tensor

from vhap.detect.networks.kernels import run_program
from vhap.detect.networks.program_places import Place, Program


class ProgramRunner:
    """Runs a program on batches, each picture for itself: its results do not depend on the others. Threads may share
    it; each has floats of its own."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._steps = wp.array(program.steps.ravel(), dtype=int, device="cpu")
        self._weights = wp.array(program.weights, dtype=float, device="cpu")
        self._local = threading.local()

    def run(self, x: Tensor) -> dict[int, Tensor]:
        """x: (B, H, W, C) float32 on the CPU -> the program's tensors that are read after it, by their numbers."""
        program, batch = self.program, len(x)
        memory, array = self._memory(batch)
        source, count = program.source, math.prod(program.source.shape[1:])
        memory[:, source.start : source.start + count] = x.reshape(batch, count).numpy()
        inputs = [self._steps, len(program.steps), self._weights, array, program.floats]
        wp.launch(run_program, dim=batch, inputs=inputs, device="cpu")
        return {number: torch.from_numpy(_values(memory, place)) for number, place in program.places.items()}

    def _memory(self, batch: int) -> tuple[np.ndarray, wp.array]:
        if getattr(self._local, "batch", 0) < batch:
            self._local.memory = np.zeros((batch, self.program.floats), np.float32)
            self._local.array = wp.array(self._local.memory.ravel(), dtype=float, device="cpu", copy=False)
            self._local.batch = batch
        return self._local.memory[:batch], self._local.array


def _values(memory: np.ndarray, place: Place) -> np.ndarray:
    """A copy of a tensor's values without the floats that fill its vectors."""
    batch, count = len(memory), math.prod(place.shape[1:])
    pixels = memory[:, place.start : place.start + place.pixels * place.pitch].reshape(batch, place.pixels, place.pitch)
    return pixels[..., : count // place.pixels].reshape(batch, *place.shape[1:]).copy()
