"""Equations of pictures: what frames share is left out where it is held, and changes nothing else."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from tracked_heads import exact_problem, frame_batch, moving_params, scene

from vhap.data.sample import FrameBatch
from vhap.fit.params import PER_FRAME
from vhap.fit.photometric import solver
from vhap.fit.photometric.equations import SHARED, equations_of
from vhap.fit.photometric.pictures import Pictures
from vhap.fit.photometric.point_albedo import PointPrior
from vhap.fit.photometric.problem import PhotometricProblem, evaluate

SIZE, TEXTURE = (96, 96), 128


def test_frames_have_the_same_equations_with_and_without_what_they_share():
    truth = moving_params(3, TEXTURE)
    shown = frame_batch(truth, SIZE)
    assert shown.alpha is not None

    def load(rows: Tensor) -> FrameBatch:
        names = ("timesteps", "cameras", "rgb", "alpha", "landmarks_px", "confidence")
        return replace(shown, **{name: getattr(shown, name)[rows] for name in names})

    landmarks, prior = exact_problem(truth, SIZE), PointPrior(count=800)
    problem = PhotometricProblem(scene(SIZE, TEXTURE), landmarks, Pictures(load), prior=prior)
    start = replace(truth, rotation=truth.rotation + 0.02)
    with torch.no_grad():
        task = solver.open_task(problem, start, torch.arange(3))
        assert task is not None
        now = evaluate(task, start)
        every, alone = (equations_of(task, now, names) for names in ((*PER_FRAME, *SHARED), PER_FRAME))
    assert torch.equal(alone.sums.frames, every.sums.frames)
    assert torch.equal(alone.sums.right_frames, every.sums.right_frames)
    assert torch.equal(alone.by_frame, every.by_frame)
    assert bool(every.by_shared.any())
    assert not alone.by_shared.any()
    assert not alone.sums.coupling.any()
    assert torch.equal(alone.sums.shared, torch.eye(len(alone.sums.shared), dtype=torch.double))
