"""The detector on real faces; skipped where no clips are named."""

import os
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from vhap.data.video import read_frames
from vhap.detect.ibug import ibug_from_mediapipe
from vhap.detect.mediapipe_landmarks import MediapipeLandmarks, face_size

CLIPS = os.environ.get("VHAP_TEST_VIDEOS")
pytestmark = pytest.mark.skipif(not CLIPS, reason="VHAP_TEST_VIDEOS names no folder of clips")


@pytest.fixture(scope="module")
def picture():
    return next(read_frames(Path(CLIPS or "") / "man_gray.mp4", Fraction(1)))


@pytest.fixture(scope="module")
def detector():
    return MediapipeLandmarks()


@pytest.fixture(scope="module")
def points(detector, picture):
    return detector.detect(picture)


def test_points_lie_on_the_face(points):
    assert points.shape == (478, 2)
    ibug = ibug_from_mediapipe(points)
    assert 150 < face_size(points) < 300
    assert ibug[36, 0] < ibug[39, 0] < ibug[42, 0] < ibug[45, 0], "eyes from the image's left to its right"
    assert ibug[68, 0] < ibug[69, 0]
    assert ibug[27, 1] < ibug[33, 1] < ibug[51, 1] < ibug[57, 1] < ibug[8, 1], "from the nose's root to the chin"
    for eye, iris in ((slice(36, 42), 68), (slice(42, 48), 69)):
        assert np.linalg.norm(ibug[eye].mean(0) - ibug[iris]) < 8


def test_result_does_not_depend_on_what_was_seen_before(detector, picture, points):
    detector.detect(np.ascontiguousarray(picture[:, ::-1]))
    np.testing.assert_array_equal(detector.detect(picture), points)


@pytest.mark.parametrize("degrees", [-30, 30])
def test_points_turn_with_the_picture(detector, picture, points, degrees):
    matrix = cv2.getRotationMatrix2D((240, 240), degrees, 1)
    turned = detector.detect(cv2.warpAffine(picture, matrix, (480, 480), borderValue=(150, 160, 155)))
    expected = (points - 0.5) @ matrix[:, :2].T + matrix[:, 2] + 0.5
    assert np.linalg.norm(turned - expected, axis=1).mean() < 0.015 * face_size(points)


def test_points_move_with_the_picture(detector, picture, points):
    """Half a pixel is seen in the mean of all points, so that no convention is half a pixel off."""
    larger = cv2.resize(picture, None, fx=1.5, fy=1.5, interpolation=cv2.INTER_CUBIC)
    assert np.abs((detector.detect(larger) / 1.5 - points).mean(0)).max() < 0.25


@pytest.mark.parametrize("share", [0.3, 0.15])
def test_small_face_in_a_wide_picture(detector, picture, points, share):
    small = cv2.resize(picture, None, fx=2 * share, fy=2 * share, interpolation=cv2.INTER_AREA)
    wide = np.full((1080, 1920, 3), 90, np.uint8)
    wide[200 : 200 + small.shape[0], 1300 : 1300 + small.shape[1]] = small
    found = detector.detect(wide)
    assert found is not None
    expected = points * 2 * share + [1300, 200]
    assert np.linalg.norm(found - expected, axis=1).mean() < 0.03 * face_size(expected)


def test_two_faces(detector, picture):
    beside = np.hstack([picture, picture[:, ::-1]])
    faces = detector.faces(np.ascontiguousarray(beside))
    assert sorted(face[:, 0].mean() > 480 for face in faces) == [False, True]


def test_nobody(detector):
    assert detector.detect(np.full((200, 300, 3), 128, np.uint8)) is None


def test_face_near_a_known_place(detector, picture, points):
    known = np.column_stack([points, np.zeros(478)])
    found = detector.face_near(picture, known)
    assert np.linalg.norm(found[:, :2] - points, axis=1).mean() < 0.02 * face_size(points)
    assert detector.face_near(np.full_like(picture, 128), known) is None


def test_confidence_of_a_frontal_face(detector, picture):
    (face,) = detector.faces(picture)
    assert detector.confidence(face).mean() > 0.95
