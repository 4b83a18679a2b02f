"""The box around the head: the rule for one picture, and what holds for all of them."""

import numpy as np
import pytest

from vhap.relightable.crop import Crop
from vhap.relightable.head_box import crop_of_all, crop_of_first, crop_of_whole, grown, stands_apart

SIZE = (480, 640)
WHOLE = (0, 0, 640, 480)


def face_at(x, y, width=80.0, height=90.0):
    """68 points whose box is x, y, width, height."""
    rng = np.random.default_rng(0)
    points = rng.random((68, 2))
    points = (points - points.min(0)) / np.ptp(points, axis=0)
    return points * (width, height) + (x, y)


def rule(face, scale, size=SIZE):
    """The documented rule, written again from its text."""
    points = face.astype(int)
    xmin, ymin, xmax, ymax = *points.min(0), *points.max(0)
    xc, yc = int((xmax + xmin) / 2), int(0.2 * ymax + 0.8 * ymin)
    side = int(scale * 2 * max(xc - xmin, yc - ymin))
    x0, x1 = max(xc - side // 2, 0), min(xc + side // 2, size[1] - 1)
    y0, y1 = max(yc - side // 2, 0), min(yc + side // 2, size[0] - 1)
    return x0 + (x1 - x0) % 2, y0 + (y1 - y0) % 2, x1, y1


@pytest.mark.parametrize("at", [(260, 190), (10, 5), (560, 395), (300, 2)])
@pytest.mark.parametrize("scale", [2.2, 3.3])
def test_first_is_the_old_rule_to_the_pixel(at, scale):
    crop = crop_of_first(face_at(*at), WHOLE, SIZE, (512, 512), scale)
    assert crop.visible == rule(face_at(*at), scale)
    left, top, right, bottom = crop.padding
    assert abs(left - right) <= 1
    assert abs(top - bottom) <= 1
    x0, y0, x1, y1 = crop.box
    assert x1 - x0 == y1 - y0


def test_resting_head_has_the_box_of_the_rule():
    x0, y0, x1, y1 = crop_of_all([face_at(260, 190)] * 3, WHOLE, SIZE, (512, 512), 2.2).box
    first = crop_of_first(face_at(260, 190), WHOLE, SIZE, (512, 512), 2.2).box
    assert np.abs(np.subtract((x0, y0, x1, y1), first)).max() <= 2


def test_moving_head_stays_inside_with_its_margin():
    faces = [face_at(120 + 25 * i, 150 + 4 * i) for i in range(12)]
    crop = crop_of_all(faces, WHOLE, SIZE, (512, 512), 2.2)
    for face in faces:
        x0, y0, x1, y1 = crop_of_first(face, WHOLE, SIZE, (512, 512), 2.2).visible
        assert crop.box[0] <= x0 + 1
        assert crop.box[1] <= y0 + 1
        assert crop.box[2] >= x1 - 1
        assert crop.box[3] >= y1 - 1
    assert crop.box[2] - crop.box[0] == crop.box[3] - crop.box[1]


def test_a_false_face_stands_apart_and_a_head_that_moves_does_not():
    moving = [face_at(100 + 12 * i, 150 + 3 * i, 80 + i) for i in range(20)]
    assert not stands_apart(moving).any()
    assert not stands_apart([face_at(10, 10)]).any()
    assert not stands_apart([face_at(10, 10), face_at(500, 300)]).any()
    wrong = [*moving[:7], face_at(500, 400, 20, 20), *moving[7:], face_at(330, 200, 300, 300)]
    assert np.flatnonzero(stands_apart(wrong)).tolist() == [7, 21]
    # Most of the pictures of a cut are of one side of it.
    assert not stands_apart([face_at(50, 50)] * 9 + [face_at(450, 300)] * 9).any()


@pytest.mark.parametrize("size", [(512, 512), (300, 512), (640, 480), (97, 101)])
@pytest.mark.parametrize("at", [(0, 0), (280, 200), (560, 390)])
def test_pixels_stay_square(size, at):
    crop = crop_of_all([face_at(*at)], WHOLE, SIZE, size, 2.2)
    scale_x, scale_y = crop.scale
    assert scale_x / scale_y == pytest.approx(1, abs=1.0 / min(crop.box[2] - crop.box[0], crop.box[3] - crop.box[1]))
    assert crop_of_whole(WHOLE, SIZE, size).visible == WHOLE


def test_what_the_pictures_show_comes_before_black():
    # At the left border the rule's square ends, but on its other side there is more of the picture.
    crop = crop_of_all([face_at(0, 190)], WHOLE, SIZE, (512, 512), 2.2)
    assert crop.padding == (0, 0, 0, 0)
    assert grown((0, 0, 640, 480), (512, 512), WHOLE) == (0, -80, 640, 560)


def test_nothing_outside_the_region_is_visible():
    region = (200, 100, 400, 300)
    crop = crop_of_all([face_at(260, 150)], region, SIZE, (256, 256), 4.0)
    assert crop.visible == region
    picture = np.full((*SIZE, 3), 200, np.uint8)
    picture[100:300, 200:400] = 50
    assert crop.cut(picture).max() <= 50


def test_points_cameras_and_pictures_map_alike():
    crop = Crop((480, 640), (-40, 60, 360, 460), (512, 512))
    assert crop.padding == (40, 0, 0, 0)
    picture = np.zeros((480, 640, 3), np.uint8)
    picture[200:210, 100:110] = 255
    rows, columns = np.nonzero(crop.cut(picture)[..., 0] > 127)
    middle = np.array([columns.mean() + 0.5, rows.mean() + 0.5])
    assert crop.cut_points(np.array([105.0, 205.0])) == pytest.approx(middle, abs=0.3)
    assert crop.original_points(crop.cut_points(np.array([[3.0, 4.0]]))) == pytest.approx(np.array([[3.0, 4.0]]))
    intrinsics = np.array([[900.0, 0, 320], [0, 900, 240], [0, 0, 1]])
    point = np.array([0.1, -0.2, 2.0])
    there, here = intrinsics @ point, crop.matrix @ intrinsics @ point
    assert here[:2] / here[2] == pytest.approx(crop.cut_points(there[:2] / there[2]))
    inside = crop.inside()
    assert not inside[:, :51].any()
    assert inside[:, 52:].all()
