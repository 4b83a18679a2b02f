import math
from dataclasses import fields, replace

import pytest
import torch
from tracked_heads import builtin_head, exact_problem, landmarks_px, moving_params, problem_of, still_params

from vhap.fit.landmarks.first_guess import (
    choose_frames,
    choose_more,
    choose_of_each,
    fill_between,
    guess_from_landmarks,
    pose_from_landmarks,
)
from vhap.fit.landmarks.solver import landmark_cost
from vhap.fit.params import PER_FRAME, TrackParams

SIZE = (512, 512)


def turned(*yaws_deg: float) -> TrackParams:
    params = still_params(len(yaws_deg))
    params.rotation[:, 1] = torch.deg2rad(torch.tensor(yaws_deg))
    params.translation[:, 0] = 0.03
    return params


@pytest.mark.parametrize("yaw_deg", [-60.0, -20.0, 0.0, 60.0])
def test_pose_is_exact_from_every_side(yaw_deg):
    truth = turned(yaw_deg)
    found, known = pose_from_landmarks(exact_problem(truth, SIZE), still_params(1))
    assert known.all()
    torch.testing.assert_close(found.rotation, truth.rotation, atol=2e-3, rtol=0)
    torch.testing.assert_close(found.translation, truth.translation, atol=1e-3, rtol=0)


def test_a_profile_is_followed_through_expressions_and_another_identity():
    truth = replace(moving_params(3), rotation=turned(50, 60, 55).rotation)
    guess = guess_from_landmarks(exact_problem(truth, SIZE), still_params(3), 3)
    yaw = guess.params.rotation[:, 1] + guess.params.neck_pose[:, 1]
    torch.testing.assert_close(yaw, truth.rotation[:, 1], atol=math.radians(6), rtol=0)


@pytest.mark.parametrize("frames", [1, 5])
@pytest.mark.parametrize("start", ["true", "wrong"])
def test_where_shape_and_expression_begin_is_no_matter(frames, start):
    """So estimates of them by other tools (code.json of DECA) are not needed, however good they are."""
    truth = moving_params(frames)
    noise = torch.randn(landmarks_px(truth, SIZE).shape, generator=torch.Generator().manual_seed(0))
    problem = problem_of(builtin_head(), landmarks_px(truth, SIZE) + 2 * noise, SIZE)
    plain = still_params(frames)
    others = truth if start == "true" else moving_params(frames, seed=7)
    factor = 1 if start == "true" else -3
    begun = replace(
        plain,
        shape=factor * others.shape,
        expr=factor * others.expr,
        jaw_pose=others.jaw_pose,
        neck_pose=others.neck_pose,
    )
    assert float(landmark_cost(problem, begun).sum()) != float(landmark_cost(problem, plain).sum())
    costs = [float(landmark_cost(problem, guess_from_landmarks(problem, at, 3).params).sum()) for at in (plain, begun)]
    assert costs[1] == pytest.approx(costs[0], rel=2e-3)


def test_without_any_detection_nothing_changes():
    start = replace(moving_params(4), focal_length=torch.tensor([1.7]))
    problem = exact_problem(start, SIZE)
    problem.weight[:] = 0
    problem.detected_px[:] = 0
    before = {f.name: getattr(start, f.name).clone() for f in fields(start) if getattr(start, f.name) is not None}
    guess = guess_from_landmarks(problem, start, 2)
    assert not guess.found.any()
    assert guess.init_frames == [0, 1]
    for name, value in before.items():
        assert torch.equal(getattr(guess.params, name), value), name


@pytest.mark.parametrize("count", [0, 5])
def test_too_few_points_are_no_detection(count):
    truth = turned(0, 10)
    problem = exact_problem(truth, SIZE)
    problem.weight[1] = 0
    problem.weight[1, 0, 30 : 30 + count] = 1
    found, known = pose_from_landmarks(problem, still_params(2))
    assert known[:, 0].tolist() == [True, False]
    assert torch.equal(found.rotation[1], found.rotation[0])


def test_initialisation_takes_the_most_frontal_frame_and_spreads():
    yaws = [-40.0, -38.0, -36.0, 12.0, 2.0, 13.0, 36.0, 38.0, 40.0]
    truth = turned(*yaws)
    problem = exact_problem(truth, SIZE)
    everything = torch.ones(len(yaws), dtype=torch.bool)
    assert choose_frames(problem, truth, everything, 1) == [4]
    three = choose_frames(problem, truth, everything, 3)
    assert three == sorted(three)
    assert 4 in three
    assert min(yaws[frame] for frame in three) <= -36
    assert max(yaws[frame] for frame in three) >= 36
    assert choose_frames(problem, truth, everything, 99) == list(range(len(yaws)))


def test_frames_that_look_alike_are_not_chosen_twice():
    truth = turned(5, 5, 5, 5)
    assert choose_frames(exact_problem(truth, SIZE), truth, torch.ones(4, dtype=torch.bool), 3) == [0, 1, 2]


def test_initialisation_never_takes_a_frame_without_a_face():
    truth = turned(-30, 0, 30, 20)
    known = torch.tensor([True, False, True, False])
    assert choose_frames(exact_problem(truth, SIZE), truth, known, 3) == [0, 2]


def test_filling_touches_unknown_frames_only():
    truth = moving_params(7)
    known = torch.tensor([False, True, False, True, True, False, False])
    filled = fill_between(truth, known)
    for name in PER_FRAME:
        value, given = getattr(filled, name), getattr(truth, name)
        assert torch.equal(value[known], given[known])
        torch.testing.assert_close(value[2], (given[1] + given[3]) / 2)
        for end, nearest in ((0, 1), (5, 4), (6, 4)):
            torch.testing.assert_close(value[end], given[nearest])


def test_frames_are_chosen_although_none_of_those_chosen_before_counts():
    problem, found = exact_problem(moving_params(6), (96, 96)), torch.arange(6) > 2
    assert choose_more(problem, [0, 1], found, 2) == sorted(set(choose_more(problem, [0, 1], found, 2)))
    assert set(choose_more(problem, [0, 1], found, 2)) <= {3, 4, 5}
    assert choose_more(problem, [0], found, 6) == [3, 4, 5]


def test_keyframes_are_shared_out_among_recordings() -> None:
    """Of small recordings all, what they have not is for the others; always the one least like those there."""
    truth = moving_params(12)
    problem = exact_problem(truth, SIZE)
    everything, group = torch.ones(12, dtype=torch.bool), torch.tensor([0] * 7 + [1] * 4 + [2])
    for count, shares in ((3, [1, 1, 1]), (6, [3, 2, 1]), (9, [4, 4, 1]), (99, [7, 4, 1])):
        chosen = choose_of_each(problem, 2, everything, group, count)
        assert chosen == sorted(set(chosen)), count
        assert 2 in chosen, count
        assert torch.bincount(group[chosen], minlength=3).tolist() == shares, count
    found = everything.clone()
    found[[7, 8, 9, 10]] = False
    assert torch.bincount(group[choose_of_each(problem, 2, found, group, 4)], minlength=3).tolist() == [3, 0, 1]
