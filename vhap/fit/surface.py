"""The surface of a head that stands where it is: its light, its offsets and its texture, each solved by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from vhap.config.track import LossWeightConfig
from vhap.fit.params import TrackParams
from vhap.fit.photometric.offset_lengths import ExpectedLengths, LengthPrior, LengthUnknowns, expected_lengths
from vhap.fit.photometric.offsets import OffsetTask, solve_offsets
from vhap.fit.photometric.problem import FixedAlbedo, PhotometricProblem
from vhap.fit.photometric.solver import open_task
from vhap.fit.scene import Scene

LEAST_SHARE = 1e-6

Report = Callable[[int, float], None]


@dataclass(frozen=True)
class OffsetWeights:
    """What is expected of offsets. w: the options; share: by how much each precision differs from the usual, by the
    option's name."""

    w: LossWeightConfig
    usual: LossWeightConfig
    prior: LengthPrior = LengthPrior()

    def share(self, name: str) -> float:
        return float(getattr(self.w, name)) / float(getattr(self.usual, name))

    def expected(self, scene: Scene, unknowns: LengthUnknowns, before: Tensor | None) -> ExpectedLengths:
        """Of one set of lengths; before (V, 3): moving offsets of the frame before."""
        w = self.w
        relaxed, smooth = scene.mask(w.reg_offset_relax_for), scene.mask(w.reg_offset_lap_relax_for)
        length = torch.where(relaxed, w.reg_offset_relax_coef, 1.0) * self.share("reg_offset")
        bend = torch.where(smooth, w.reg_offset_lap_relax_coef, 1.0) * self.share("reg_offset_lap")
        rigid = scene.regions(w.reg_offset_rigid_for) if w.reg_offset_rigid > 0 else []
        prior = replace(
            self.prior,
            rigid_m=self.prior.rigid_m / max(self.share("reg_offset_rigid"), LEAST_SHARE) ** 0.5,
            change_m=self.prior.change_m / max(self.share("reg_offset_dynamic"), LEAST_SHARE) ** 0.5,
        )
        past = None if before is None else unknowns.lengths_in(before)
        return expected_lengths(scene, unknowns, prior, length, bend, rigid, past)


def fit_static_offset(
    problem: PhotometricProblem,
    params: TrackParams,
    rows: Tensor,
    weights: OffsetWeights,
    rounds: int,
    report: Report = lambda index, cost: None,
) -> TrackParams:
    """The offset that all frames share, by the pictures of the frames rows (B,)."""
    if params.static_offset is None:
        return params
    offset = _solved(
        problem, params, rows, params.static_offset, lambda new: replace(params, static_offset=new), weights, rounds,
        None, report,
    )  # fmt: skip
    return replace(params, static_offset=offset)


def fit_moving_offset(
    problem: PhotometricProblem,
    params: TrackParams,
    row: int,
    known: FixedAlbedo,
    weights: OffsetWeights,
    rounds: int,
    report: Report = lambda index, cost: None,
) -> Tensor:
    """(V, 3): the offset of one frame beside the static one, on the albedo that other frames have determined. It is
    expected where that of the frame before was."""
    assert params.dynamic_offset is not None
    dynamic = params.dynamic_offset

    def put(new: Tensor) -> TrackParams:
        changed = dynamic.clone()
        changed[row] = new
        return replace(params, dynamic_offset=changed)

    before = dynamic[row - 1] if row else None
    start = dynamic[row] if before is None else before
    return _solved(problem, params, torch.tensor([row]), start, put, weights, rounds, known, report, before)


def _solved(
    problem: PhotometricProblem,
    params: TrackParams,
    rows: Tensor,
    start: Tensor,
    put: Callable[[Tensor], TrackParams],
    weights: OffsetWeights,
    rounds: int,
    known: FixedAlbedo | None,
    report: Report,
    before: Tensor | None = None,
) -> Tensor:
    """start (V, 3) where no picture shows the head."""
    task = open_task(problem, put(start), rows, known)
    if task is None:
        return start
    fixed = problem.fixed_outline
    moving = torch.ones_like(start[:, 0], dtype=torch.bool) if fixed is None else ~fixed
    unknowns = LengthUnknowns.of(problem.scene, params.shape, start, moving)
    expected = weights.expected(problem.scene, unknowns, before)
    lengths = unknowns.lengths_in(start)
    x = np.pad(lengths, (0, expected.count - len(lengths)))
    x = solve_offsets(OffsetTask(task, unknowns, expected, put), x, rounds, report)
    return unknowns.offset(x[: len(lengths)])
