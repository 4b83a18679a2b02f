import numpy as np
import pytest

from vhap.detect.person import find_face, follow_person, parse_person
from vhap.util.errors import InputError

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


def test_a_named_face_is_followed_though_another_is_larger():
    rows = frames([box(150, 15.0), box(60, 40.0)], [box(61, 40.0), box(151, 15.0)], [box(62, 40.0)])
    assert follow_person(rows, SIZE, (0, 0)) == [0, 1, None]
    assert follow_person(rows, SIZE) == [1, 0, 0]


def test_numbers_count_from_the_left_in_the_fullest_picture():
    rows = frames([box(90)], [box(150), box(20), box(90)], [box(20), box(90), box(150)])
    assert [find_face(rows, number, ["a", "b", "c"]) for number in (1, 2, 3)] == [(1, 1), (1, 2), (1, 0)]


def test_a_pixel_means_the_nearest_face_in_the_first_picture_that_has_one_there():
    rows = frames([box(90)], [box(150), box(20)])
    assert find_face(rows, (25.0, 55.0), ["a", "b"]) == (1, 1)
    assert find_face(rows, (95.0, 50.0), ["a", "b"]) == (0, 0)


@pytest.mark.parametrize("wanted", [4, (60.0, 5.0)])
def test_nobody_there_names_those_who_are(wanted):
    rows = frames([], [box(150), box(20), box(90)])
    with pytest.raises(InputError, match="b shows 1 at 20,50, 2 at 90,50, 3 at 150,50"):
        find_face(rows, wanted, ["a", "b"])
    with pytest.raises(InputError, match="no picture shows a face"):
        find_face(frames([], []), wanted, ["a", "b"])


@pytest.mark.parametrize(("text", "meant"), [("auto", None), ("2", 2), ("640,360", (640, 360)), ("1.5,2", (1.5, 2))])
def test_the_option_is_a_number_or_a_pixel(text, meant):
    assert parse_person(text) == meant


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "nan", "1,nan", "a", "1,2,3", "-5,3", "1e9", "inf,1", "2\n"])
def test_others_are_refused(text):
    with pytest.raises(InputError, match="--person"):
        parse_person(text)
