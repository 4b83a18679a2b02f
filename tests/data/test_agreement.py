"""Faces and mattes that contradict each other, in pictures of other sizes and faces of other sizes."""

import numpy as np
import pytest

from vhap.data.agreement import box_points, contradiction, contradictions, describe


def face(x, y, size=0.02):
    """(N, 3) points of a face around x / width, y / height."""
    points = box_points(np.array([x - size, y - size, x + size, y + size]))
    return np.column_stack([points, np.full(len(points), 0.5)])


def matte(left, right, size=(90, 160)):
    alpha = np.zeros(size, np.uint8)
    alpha[:, int(left * size[1]) : int(right * size[1])] = 255
    return alpha


@pytest.mark.parametrize("size", [(90, 160), (1080, 1920), (33, 20)])
def test_empty_outside_and_right(size):
    points = np.stack([face(0.2, 0.5), face(0.2, 0.5), face(0.2, 0.5)])
    found = contradictions(points, [matte(0, 0, size), matte(0.5, 1, size), matte(0, 0.4, size)])
    assert {row: wrong.kind for row, wrong in found.items()} == {0: "empty", 1: "outside"}
    assert found[1].cover == 0
    assert found[1].at == pytest.approx((0.2, 0.5))


def test_no_face_contradicts_nothing():
    nothing = np.tile([-1.0, -1.0, 0.0], (4, 1))
    assert contradiction(nothing, matte(0, 0)) is None
    assert contradiction(nothing[:, :2], matte(0, 0)) is None
    unsure = face(0.2, 0.5) * [1, 1, 0]
    assert contradiction(unsure, matte(0, 0)) is None


def test_a_face_cut_by_the_picture_is_judged_by_what_is_seen():
    assert contradiction(face(0.0, 0.5, 0.1), matte(0, 0.2)) is None
    assert contradiction(face(0.0, 0.5, 0.1), matte(0.2, 1)) is not None


def test_a_hand_before_the_face_is_none():
    alpha = matte(0.1, 0.3)
    alpha[50:] = 0
    assert contradiction(face(0.2, 0.5, 0.1), alpha) is None


def test_words_name_pictures_and_numbers():
    points = np.stack([face(0.25, 0.5)] * 8)
    found = contradictions(points, [matte(0, 0)] * 7 + [matte(0.6, 1)])
    text = describe({f"{row:06d}": wrong for row, wrong in found.items()}, 8)
    assert "empty where a face is in 7 of 8 pictures (000000, 000001" in text
    assert "and 2 more" in text
    assert "outside the matte in 1 of 8 pictures (000007; in 000007 at 25% of the width, 50% of the height)" in text
