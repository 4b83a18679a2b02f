import numpy as np

from vhap.detect.person import follow_person

SIZE = (100, 200)


def box(x, size=30.0, y=50.0):
    return [x, y, size]


def frames(*rows):
    return [np.array(row, float).reshape(-1, 3) for row in rows]


def test_one_face_with_a_gap():
    assert follow_person(frames([box(100)], [], [box(104)]), SIZE) == [0, None, 0]


def test_larger_and_more_central_face_wins_whatever_its_index():
    small, large = box(20, 15.0), box(100, 40.0)
    assert follow_person(frames([small, large], [large, small], [small, large]), SIZE) == [1, 0, 1]


def test_stays_with_the_person_when_another_comes_closer():
    other = [box(180, 20.0), box(168, 27.0), box(150, 36.0), box(135, 40.0)]
    rows = [[box(x), closer] for x, closer in zip((90, 78, 66, 55), other)]
    long = rows[:1] * 20 + rows
    assert follow_person(frames(*long), SIZE) == [0] * 24


def test_other_person_does_not_stand_in_while_the_person_is_hidden():
    both, other = [box(100, 40.0), box(30, 20.0)], [box(30, 20.0)]
    chosen = follow_person(frames(*[both] * 5, *[other] * 3, *[both] * 5), SIZE)
    assert chosen == [0] * 5 + [None] * 3 + [0] * 5


def test_a_cut_in_the_video_continues_with_the_new_face():
    assert follow_person(frames([box(30)], [box(30)], [box(150)], [box(150)]), SIZE) == [0, 0, 0, 0]


def test_nobody():
    assert follow_person(frames([], []), SIZE) == [None, None]
