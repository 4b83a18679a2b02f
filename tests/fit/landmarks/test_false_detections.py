"""Landmarks that are not the head's: a face found in the background, another person's, wrong points."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from tracked_heads import exact_problem, landmarks_px, moving_params, still_params

from vhap.fit.landmarks.false_detections import find_brief_faces
from vhap.fit.landmarks.first_guess import FirstGuess, guess_from_landmarks
from vhap.fit.params import PER_FRAME, TrackParams
from vhap.fit.residuals.landmark_problem import LandmarkProblem

SIZE = (256, 256)
FRAMES = 24


def guess_of(problem: LandmarkProblem) -> FirstGuess:
    return guess_from_landmarks(problem, still_params(len(problem.weight)), 4)


def mean_error_px(params: TrackParams, truth: TrackParams, rows: list[int]) -> float:
    kept = torch.tensor(rows)
    apart = landmarks_px(params.rows(kept), SIZE) - landmarks_px(truth.rows(kept), SIZE)
    return float(apart.norm(dim=-1).mean())


def with_face(problem: LandmarkProblem, face_px: Tensor, rows: list[int]) -> LandmarkProblem:
    pixels, weight = problem.detected_px.clone(), problem.weight.clone()
    pixels[rows, 0], weight[rows] = face_px, 1
    return replace(problem, detected_px=pixels, weight=weight)


def without_face(problem: LandmarkProblem, rows: list[int]) -> LandmarkProblem:
    seen = torch.ones(len(problem.weight), dtype=torch.bool)
    seen[rows] = False
    return replace(problem.only(seen[:, None]), detected_px=problem.detected_px * seen[:, None, None, None])


def noise_px(spread: float) -> Tensor:
    return 128 + spread * torch.randn(70, 2, generator=torch.Generator().manual_seed(5))


SMALL_FACE = 0.3 * landmarks_px(moving_params(1, seed=3), SIZE)[0] + 10
FALSE_FACES = {"no face's shape": noise_px(40), "a small face in the corner": SMALL_FACE}


@pytest.mark.parametrize("face", FALSE_FACES)
@pytest.mark.parametrize("empty", [0, 12], ids=["between sights", "before the first sight"])
def test_a_lone_false_face_is_no_sight_of_the_head(face, empty):
    truth = moving_params(FRAMES)
    clean = without_face(exact_problem(truth, SIZE), [5, *range(empty)])
    guess = guess_of(with_face(clean, FALSE_FACES[face], [5]))
    real = [row for row in range(FRAMES) if row >= empty and row != 5]
    assert torch.nonzero(guess.found[:, 0]).flatten().tolist() == real
    assert 5 not in guess.init_frames
    assert mean_error_px(guess.params, truth, real) < mean_error_px(guess_of(clean).params, truth, real) + 1e-4


def test_a_false_face_where_the_head_is_betrays_itself_by_its_shape():
    """Of the head's place and size, so that only the fit can tell."""
    truth = moving_params(FRAMES)
    exact = exact_problem(truth, SIZE)
    shuffled = exact.detected_px[5, 0][torch.randperm(70, generator=torch.Generator().manual_seed(0))]
    assert not find_brief_faces(with_face(exact, shuffled, [5])).any()
    guess = guess_of(with_face(exact, shuffled, [5]))
    assert torch.nonzero(~guess.found[:, 0]).flatten().tolist() == [5]


def test_another_person_for_three_frames_is_not_followed():
    truth, other = moving_params(FRAMES), moving_params(3, seed=9)
    other.translation[:, 0] += 0.35
    problem = with_face(exact_problem(truth, SIZE), landmarks_px(other, SIZE), [9, 10, 11])
    guess = guess_of(problem)
    real = [row for row in range(FRAMES) if row not in (9, 10, 11)]
    assert torch.nonzero(guess.found[:, 0]).flatten().tolist() == real
    assert not {9, 10, 11} & set(guess.init_frames)
    assert mean_error_px(guess.params, truth, list(range(FRAMES))) < 2


def test_one_wrong_point_in_ten_costs_no_frame():
    truth = moving_params(FRAMES)
    exact = exact_problem(truth, SIZE)
    random = torch.Generator().manual_seed(1)
    wrong = torch.rand(exact.weight.shape, generator=random) < 0.1
    away = torch.nn.functional.normalize(torch.randn(exact.detected_px.shape, generator=random), dim=-1)
    guess = guess_of(replace(exact, detected_px=exact.detected_px + 30 * away * wrong[..., None]))
    assert guess.found.all()
    assert mean_error_px(guess.params, truth, list(range(FRAMES))) < 1.5


def test_a_fast_head_stays_one():
    """Two thirds of its height from frame to frame, there and back, for a few frames."""
    truth = moving_params(FRAMES)
    truth.translation[8:12, 0] += torch.tensor([0.1, 0.2, 0.2, 0.1])
    problem = exact_problem(truth, SIZE)
    guess = guess_of(problem)
    assert guess.found.all()
    assert mean_error_px(guess.params, truth, list(range(FRAMES))) < 1


def test_after_a_cut_both_shots_count():
    truth = moving_params(FRAMES)
    truth.translation[10:, 0] += 0.3
    assert guess_of(exact_problem(truth, SIZE)).found.all()


def test_two_good_frames_are_enough():
    truth = moving_params(FRAMES)
    problem = without_face(exact_problem(truth, SIZE), [row for row in range(FRAMES) if row not in (4, 17)])
    guess = guess_of(problem)
    assert torch.nonzero(guess.found[:, 0]).flatten().tolist() == guess.init_frames == [4, 17]
    assert mean_error_px(guess.params, truth, [4, 17]) < 1


def test_twenty_frames_without_a_face_lie_between_their_neighbours():
    truth = moving_params(30)
    guess = guess_of(without_face(exact_problem(truth, SIZE), list(range(5, 25))))
    assert torch.nonzero(~guess.found[:, 0]).flatten().tolist() == list(range(5, 25))
    assert not set(range(5, 25)) & set(guess.init_frames)
    for name in PER_FRAME:
        value = getattr(guess.params, name)
        assert value.isfinite().all()
        torch.testing.assert_close(value[15], value[4] + (value[25] - value[4]) * 11 / 21, atol=1e-5, rtol=1e-4)
