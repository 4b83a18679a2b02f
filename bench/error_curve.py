"""Errors of a run against its seconds: a clock that stands still while errors are measured, and what a curve tells."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from vhap.data.results import load_result
from vhap.evaluate.metrics import SimilaritySums, vertex_distance_mm
from vhap.head.model import HeadModel
from vhap.util.errors import InputError
from vhap.util.files import map_npy

Measure = Literal["face_mm", "head_mm"]
NEXT = 1.08
"""Errors are measured again after so many times the seconds."""
FIRST_SECONDS = 0.25
RESULT = "tracked_flame_params_0.npz"


@dataclass(frozen=True)
class FilmTruth:
    """vertices (T, V, 3) metres; face (N,) indices of the region `face`."""

    vertices: Tensor
    face: Tensor

    def errors_mm(self, vertices: Tensor) -> tuple[float, float]:
        """Mean vertex distance of the face and of the whole head over all frames (T, V, 3), after the one similarity
        that brings the whole head of all frames nearest to the truth, as `vhap evaluate-tracking` measures. NaN where a
        vertex is not finite."""
        if not bool(torch.isfinite(vertices).all()):
            return math.nan, math.nan
        found, exact = vertices.detach().flatten(0, 1), self.vertices.flatten(0, 1)
        aligned = SimilaritySums.of(found, exact).solve().apply(found).view_as(self.vertices)
        distance = vertex_distance_mm(aligned, self.vertices)
        return float(distance[:, self.face].double().mean()), float(distance.double().mean())


def truth_of(film: Path, head: HeadModel) -> FilmTruth:
    """Of a synthetic capture by one camera. InputError where it is of another head."""
    folder = film / "ground_truth"
    filmed = load_result(folder / RESULT).head_identity
    if filmed != head.identity:
        raise InputError(f"expected a film of the head {head.identity} at {film}, found {filmed}; make it again")
    vertices = torch.from_numpy(map_npy(folder / "vertices.npy").copy()).float()
    return FilmTruth(vertices, head.regions["face"])


@dataclass
class Stopwatch:
    """Seconds by the clock and of the processor (all threads) since it was made, without those while it stood still."""

    _started: tuple[float, float] = field(default_factory=lambda: (time.perf_counter(), time.process_time()))
    _stood: tuple[float, float] = (0.0, 0.0)

    def read(self) -> tuple[float, float]:
        now = (time.perf_counter(), time.process_time())
        wall, processor = (n - s - stood for n, s, stood in zip(now, self._started, self._stood))
        return wall, processor

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        before = (time.perf_counter(), time.process_time())
        try:
            yield
        finally:
            after = (time.perf_counter(), time.process_time())
            wall, processor = (s + a - b for s, a, b in zip(self._stood, after, before))
            self._stood = (wall, processor)


@dataclass(frozen=True)
class Sample:
    seconds: float
    processor_seconds: float
    stage: str
    face_mm: float
    head_mm: float


@dataclass
class Curve:
    """A run's errors in the order of time. finished: False where it was cut at its time bound."""

    name: str
    samples: list[Sample] = field(default_factory=list)
    finished: bool = True

    @property
    def end(self) -> Sample:
        return self.samples[-1]

    def from_then_within(self, measure: Measure, error: float) -> Sample | None:
        """The first sample from which on the error is never above this one; None where the run ends above it."""
        kept = None
        for sample in reversed(self.samples):
            if not getattr(sample, measure) <= error:
                break
            kept = sample
        return kept


@dataclass
class Recorder:
    """Fills a curve while a run goes on. bound_s: the run's bound, None for none."""

    truth: FilmTruth
    curve: Curve
    bound_s: float | None = None
    watch: Stopwatch = field(default_factory=Stopwatch)
    _next: float = FIRST_SECONDS

    def start(self) -> None:
        """Time counts from here."""
        self.watch = Stopwatch()

    def add(self, stage: str, vertices: Callable[[], Tensor]) -> None:
        wall, processor = self.watch.read()
        with self.watch.standing_still():
            self.curve.samples.append(Sample(wall, processor, stage, *self.truth.errors_mm(vertices())))
        self._next = max(wall, FIRST_SECONDS) * NEXT

    def after_step(self, stage: str, vertices: Callable[[], Tensor]) -> bool:
        """Measures where it is time to. False where the bound is reached, which is measured too."""
        wall, _ = self.watch.read()
        over = self.bound_s is not None and wall >= self.bound_s
        if over or wall >= self._next:
            self.add(stage, vertices)
        if over:
            self.curve.finished = False
        return not over


def csv_of(curves: Sequence[Curve]) -> str:
    lines = ["run,stage,seconds,processor_seconds,face_mm,head_mm"]
    for curve in curves:
        for s in curve.samples:
            numbers = f"{s.seconds:.3f},{s.processor_seconds:.3f},{s.face_mm:.4f},{s.head_mm:.4f}"
            lines.append(f'"{curve.name}",{s.stage},{numbers}')
    return "\n".join(lines) + "\n"
