"""Outlines of the face's parts among MediaPipe's points, and how they are filled."""

from __future__ import annotations

import itertools
from types import ModuleType

import numpy as np
import pytest

from vhap.detect import ibug
from vhap.relightable import class_outlines as outlines
from vhap.relightable.class_maps import FaceClass


@pytest.fixture
def connections() -> ModuleType:
    return pytest.importorskip("mediapipe.python.solutions.face_mesh_connections")


@pytest.mark.parametrize("name", ["FACE_OVAL", "LEFT_EYE", "RIGHT_EYE"])
def test_outlines_are_those_that_mediapipe_draws(connections: ModuleType, name: str) -> None:
    drawn = {frozenset(pair) for pair in getattr(connections, f"FACEMESH_{name}")}
    outline = getattr(outlines, name)
    assert {frozenset(pair) for pair in zip(outline, outline[1:] + outline[:1])} == drawn


def test_lips_and_brows_are_made_of_what_mediapipe_draws(connections: ModuleType) -> None:
    drawn = {frozenset(pair) for pair in connections.FACEMESH_LIPS}
    mouth = {frozenset(pair) for pair in zip(outlines.MOUTH, outlines.MOUTH[1:] + outlines.MOUTH[:1])}
    assert mouth < drawn
    for lip in (outlines.UPPER_LIP, outlines.LOWER_LIP):
        assert sum(frozenset(pair) in drawn for pair in itertools.pairwise(lip)) == len(lip) - 2
    for side in ("LEFT", "RIGHT"):
        points = {point for pair in getattr(connections, f"FACEMESH_{side}_EYEBROW") for point in pair}
        assert set(getattr(outlines, f"{side}_BROW")) == points


def test_left_and_right_are_the_subjects() -> None:
    assert set(ibug.LEFT_EYE) <= set(outlines.LEFT_EYE)
    assert set(ibug.RIGHT_EYE) <= set(outlines.RIGHT_EYE)
    assert set(ibug.NOSE) & set(outlines.NOSE) == {168, 97, 2, 326}


def test_pixels_are_filled_by_their_centres() -> None:
    target = np.zeros((8, 10), np.uint8)
    outlines.fill(target, np.array([[2.1, 1.1], [6.1, 1.1], [6.1, 5.1], [2.1, 5.1]]), 3)
    # The border is drawn too, so that neighbouring parts leave no gap: at most a pixel around.
    assert (target[2:5, 3:6] == 3).all()
    assert (target > 0).sum() <= 25
    before = target.copy()
    outlines.fill(target, np.array([[1.0, 7.0], [9.0, 7.0], [5.0, 7.0]]), 4)
    np.testing.assert_array_equal(target, before)


def drawn_face() -> np.ndarray:
    """(478, 2) px of a face 200 px high that is drawn with a pair of compasses, in a picture of 400 x 320."""
    points = np.full((478, 2), (160.0, 180.0))

    def ellipse(ids: tuple[int, ...], centre: tuple[float, float], radii: tuple[float, float], start: float) -> None:
        angle = start + 2 * np.pi * np.arange(len(ids)) / len(ids)
        points[list(ids)] = np.stack([centre[0] + radii[0] * np.sin(angle), centre[1] - radii[1] * np.cos(angle)], -1)

    ellipse(outlines.FACE_OVAL, (160, 180), (75, 100), 0)
    ellipse(outlines.LEFT_EYE, (192, 160), (14, 7), np.pi / 2)
    ellipse(outlines.RIGHT_EYE, (128, 160), (14, 7), -np.pi / 2)
    ellipse(outlines.LEFT_BROW, (192, 138), (18, 5), np.pi / 2)
    ellipse(outlines.RIGHT_BROW, (128, 138), (18, 5), -np.pi / 2)
    ellipse(outlines.MOUTH, (160, 235), (16, 8), -np.pi / 2)
    outer = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
    ellipse(outer, (160, 235), (26, 16), -np.pi / 2)
    ellipse(outlines.NOSE, (160, 190), (14, 22), 0)
    return points


def test_points_become_classes_where_the_parts_are() -> None:
    classes = outlines.classes_from_points(drawn_face(), (400, 320))
    expected = {
        (180, 100): FaceClass.SKIN,
        (160, 192): FaceClass.LEFT_EYE,
        (160, 128): FaceClass.RIGHT_EYE,
        (138, 192): FaceClass.LEFT_BROW,
        (138, 128): FaceClass.RIGHT_BROW,
        (235, 160): FaceClass.MOUTH,
        (223, 160): FaceClass.UPPER_LIP,
        (247, 160): FaceClass.LOWER_LIP,
        (195, 160): FaceClass.NOSE,
        (310, 160): FaceClass.NECK,
        (60, 160): FaceClass.BACKGROUND,
        (310, 40): FaceClass.BACKGROUND,
    }
    assert {place: FaceClass(classes[place]) for place in expected} == expected
    place = outlines.place_of(drawn_face())
    np.testing.assert_allclose(place.eyes, [160, 160], atol=1)
    np.testing.assert_allclose(place.chin, [160, 280], atol=1)


def test_the_68_points_draw_the_same_parts() -> None:
    face = drawn_face()
    points = face[list(ibug.MEDIAPIPE_OF_IBUG)]
    classes = np.full((400, 320), int(FaceClass.SKIN), np.uint8)
    outlines.draw_ibug_parts(classes, points)
    detailed = outlines.classes_from_points(face, (400, 320))
    for part in (FaceClass.LEFT_EYE, FaceClass.RIGHT_EYE, FaceClass.MOUTH, FaceClass.UPPER_LIP, FaceClass.LOWER_LIP):
        both, either = (classes == part) & (detailed == part), (classes == part) | (detailed == part)
        assert both.sum() > 0.6 * either.sum(), part
    assert (classes[138:146, 180:204] == FaceClass.LEFT_BROW).any()
    assert (classes[138:146, 116:140] == FaceClass.RIGHT_BROW).any()
