"""Frames solved one after the other, from exact landmarks of a head in motion."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from tests.fit.tracked_heads import builtin_head, exact_problem, moving_params
from vhap.fit.online import OnlineSolver
from vhap.fit.online_keys import KeyFrames
from vhap.fit.params import TrackParams
from vhap.head.model import landmark_head, person_head, pose

SIZE, FRAMES = (300, 400), 24


def solver(lag: int) -> tuple[OnlineSolver, TrackParams, torch.Tensor]:
    """Of a person who is known, the truth, and the landmarks (T, L, 2)."""
    truth = moving_params(FRAMES)
    problem = exact_problem(truth, SIZE)
    head = person_head(builtin_head(), truth.shape, None)
    known = replace(problem, head=landmark_head(head, "ibug"))
    return OnlineSolver(known, replace(truth, shape=truth.shape[:0]), lag), truth, problem.detected_px[:, 0]


def error_mm(found: TrackParams, truth: TrackParams, row: int) -> float:
    """Of the face, in its own middle."""
    face = builtin_head().regions["face"]
    one = pose(builtin_head(), replace(found, shape=truth.shape).head())[0, face]
    other = pose(builtin_head(), truth.rows(torch.tensor([row])).head())[0, face]
    return float(1000 * ((one - one.mean(0)) - (other - other.mean(0))).norm(dim=-1).mean())


@pytest.mark.parametrize("lag", [0, 3])
def test_every_frame_is_given_out_in_order_after_its_lag(lag: int):
    follow, truth, pixels = solver(lag)
    weight, done, waited = torch.ones(pixels.shape[1]), [], []
    for row in range(FRAMES):
        due = follow.add(row / 25, pixels[row], weight, row)
        waited += [row - tag for _, tag in due]
        done += due
    assert set(waited) == {lag}
    done += follow.flush()
    assert [tag for _, tag in done] == list(range(FRAMES))
    errors = [error_mm(found, truth, tag) for found, tag in done if found is not None]
    assert len(errors) == FRAMES
    assert sum(errors) / FRAMES < 2.5


def test_a_lag_smooths_noise():
    noise = torch.Generator().manual_seed(0)
    jitter = {}
    for lag in (0, 3):
        follow, _, pixels = solver(lag)
        noise.manual_seed(0)
        noisy = pixels + torch.randn(pixels.shape, generator=noise)
        done = [due for row in range(FRAMES) for due in follow.add(row / 25, noisy[row], torch.ones(70), row)]
        done += follow.flush()
        turns = torch.cat([found.rotation for found, _ in done if found is not None])
        jitter[lag] = float(turns.diff(n=2, dim=0).norm(dim=1).median())
    assert jitter[3] < 0.8 * jitter[0]


def test_after_a_gap_the_head_is_found_anew():
    follow, truth, pixels = solver(3)
    weight = torch.ones(pixels.shape[1])
    done = follow.add(0.0, pixels[0], weight, 0) + follow.add(0.04, pixels[1], weight, 1)
    assert done == []
    # What waited is given out before the frame after the gap.
    done = follow.add(2.0, pixels[20], weight, 20)
    assert [tag for _, tag in done] == [0, 1]
    last = follow.newest()
    assert last is not None
    assert error_mm(last, truth, 20) < 4


def test_landmarks_that_are_no_heads_are_given_out_as_such():
    follow, _, pixels = solver(0)
    assert follow.add(0.0, pixels[0], torch.zeros(pixels.shape[1]), "nothing") == [(None, "nothing")]


def test_key_frames_are_those_that_differ_most():
    keys, points = KeyFrames(most=4), torch.rand(40, 478, 3, generator=torch.Generator().manual_seed(0))
    points[20:] = points[0] + 0.001 * points[20:]
    for number, each in enumerate(points):
        keys.offer(number, number / 25, each, None, lambda: lambda: torch.zeros(1, 1, 3))
    kept = [frame.number for frame in keys.frames()]
    # Of those that are all like the first one, none.
    assert len(kept) == 4
    assert max(kept) < 20
    assert kept == sorted(kept)
