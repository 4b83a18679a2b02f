"""The person alone in mattes of several, and the close look at small faces; pictures drawn for it."""

import cv2
import numpy as np
import pytest

from vhap.data.pictures import list_pictures, read_alpha, write_picture
from vhap.detect import mediapipe_matting
from vhap.detect.matte_check import MatteCheck
from vhap.detect.matting import matte_pictures
from vhap.detect.mediapipe_matting import draw_to_edges
from vhap.detect.tracked_faces import TrackedFaces
from vhap.detect.tracked_person import boxes_through_time, close_region, keep_person, speck_share

HEIGHT, WIDTH = 120, 240


def two(gap=True, size=(HEIGHT, WIDTH)):
    """Persons around x = 60 and 180 with soft outlines; they touch without a gap."""
    alpha = np.zeros(size, np.uint8)
    for x in (60, 180):
        cv2.circle(alpha, (x, 60), 30, 255, -1)
        cv2.rectangle(alpha, (x - 40, 90), (x + 40, 119), 255, -1)
    if not gap:
        alpha[100:110] = 255
    return cv2.GaussianBlur(alpha, (0, 0), 1.5)


def face(x, size=30.0, y=60.0):
    return np.array([x - size / 2, y - size / 2, x + size / 2, y + size / 2])


def points_of(boxes):
    """(T, 25, 3) landmarks, in the picture's sides, of boxes in px; None: not found."""
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, 5)] * 2), -1).reshape(-1, 2)
    found = np.zeros((len(boxes), 25, 3), np.float32)
    for row, box in enumerate(boxes):
        if box is not None:
            found[row, :, :2] = (box[:2] + grid * (box[2:] - box[:2])) / [WIDTH, HEIGHT]
            found[row, :, 2] = 0.9
    return found


@pytest.mark.parametrize(
    ("x", "kept", "gone"), [(60, np.s_[:, :118], np.s_[:, 122:]), (180, np.s_[:, 122:], np.s_[:, :118])]
)
def test_the_person_stays_with_the_soft_outline_and_the_other_goes(x, kept, gone):
    alone = keep_person(two(), face(x))
    np.testing.assert_array_equal(alone[kept], two()[kept])
    assert not alone[gone].any()


def test_persons_who_touch_stay_together():
    np.testing.assert_array_equal(keep_person(two(gap=False), face(60)), two(gap=False))


def test_a_body_parted_from_the_head_by_a_thin_line_is_the_persons():
    alpha = two()
    alpha[88:90] = 0
    alone = keep_person(alpha, face(60, 60.0))
    np.testing.assert_array_equal(alone[:, :118], alpha[:, :118])
    assert not alone[:, 122:].any()


@pytest.mark.parametrize("x", [120, 300])
def test_a_face_outside_every_part_changes_nothing(x):
    np.testing.assert_array_equal(keep_person(two(), face(x)), two())


def test_boxes_are_interpolated_and_held_at_the_ends():
    boxes = boxes_through_time(points_of([None, face(60), None, face(80), None]))
    assert boxes is not None
    middles = (boxes[:, 0] + boxes[:, 2]) / 2 * WIDTH
    np.testing.assert_allclose(middles, [60, 60, 70, 80, 80], atol=1e-3)
    assert boxes_through_time(points_of([None, None])) is None


def test_only_small_faces_are_looked_at_closely():
    assert close_region(face(60, 30), (HEIGHT, WIDTH)) is None
    region = close_region(np.array([900.0, 500, 940, 550]), (1080, 1920))
    assert region is not None
    assert (region.columns.start, region.columns.stop) == (720, 1120)
    assert region.weight().shape == (400, 400)
    assert region.weight()[200, 200] == 1
    assert region.weight()[0].max() < 0.05
    corner = close_region(np.array([0.0, 0, 40, 50]), (1080, 1920))
    assert corner is not None
    assert (corner.corner, corner.weight()[0, 0]) == ((0, 0), 1)


def test_specks_are_small_beside_the_face():
    assert speck_share((480, 480), np.array([130.0, 140, 350, 410])) == pytest.approx(0.004, rel=0.1)
    assert speck_share((2160, 3840), np.array([0.0, 0, 54, 67])) * 2160 * 3840 < 100


def test_large_pictures_are_matted_as_at_their_full_size(monkeypatch):
    size, random = (720, 1280), np.random.default_rng(0)
    rows, columns = np.mgrid[: size[0], : size[1]]
    truth = np.hypot(rows - size[0] / 2, columns - size[1] / 2) < size[0] / 4
    picture = np.where(truth[..., None], [0.6, 0.4, 0.3], [0.5, 0.6, 0.6]).astype(np.float32)
    picture += random.normal(0, 0.02, picture.shape).astype(np.float32)
    wide = cv2.dilate(truth.astype(np.float32), np.ones((9, 9)))
    mask = cv2.resize(cv2.resize(wide, (256, 256), interpolation=cv2.INTER_AREA), size[::-1])
    bounded = draw_to_edges(picture, mask)
    assert ((bounded > 0.5) != truth).mean() < 0.001
    assert ((mask > 0.5) != truth).mean() > 0.004
    monkeypatch.setattr(mediapipe_matting, "WORK_DIAGONAL_PX", 10_000)
    assert np.abs(bounded - draw_to_edges(picture, mask)).mean() < 0.001


def test_nothing_of_the_picture_s_size_is_searched_with_a_large_window(monkeypatch):
    windows = []
    whole = cv2.getStructuringElement
    monkeypatch.setattr(cv2, "getStructuringElement", lambda form, size: windows.append(size) or whole(form, size))
    draw_to_edges(np.zeros((2160, 3840, 3), np.float32), np.zeros((394, 700), np.float32))
    assert max(max(size) for size in windows) < 50


class BothPersons:
    """A method that finds whoever is there."""

    is_recurrent = False

    def alpha(self, picture):
        return two()


def test_every_methods_mattes_hold_the_person_alone_and_are_made_again_for_another(tmp_path):
    for index in range(3):
        write_picture(tmp_path / "images" / f"{index}.png", np.full((HEIGHT, WIDTH, 3), index, np.uint8))
    pictures, maps = list_pictures(tmp_path / "images"), tmp_path / "alpha_maps"

    def run(x, person):
        faces = TrackedFaces(pictures, None, tmp_path, person)
        # What the property would detect.
        faces.__dict__["points"] = points_of([face(x), None, face(x)])
        return matte_pictures(pictures, maps, BothPersons(), tmp_path, {"method": "both"}, faces=faces)

    assert run(60, "") == 3
    assert all(not read_alpha(path)[:, 122:].any() for path in maps.glob("*.png"))
    assert run(60, "") == 0
    own = np.full((HEIGHT, WIDTH), 255, np.uint8)
    write_picture(maps / "1.png", own)
    assert run(180, "2") == 2, "a user's own map is kept"
    assert not read_alpha(maps / "0.png")[:, :118].any()
    assert read_alpha(maps / "0.png")[:, 122:].any()
    np.testing.assert_array_equal(read_alpha(maps / "1.png"), own)


def test_maps_on_disk_are_held_against_the_faces(tmp_path):
    for name, alpha in {"a": two(), "b": np.zeros((HEIGHT, WIDTH), np.uint8), "c": two()}.items():
        write_picture(tmp_path / f"{name}.png", alpha)
    check = MatteCheck(["a", "b", "c", "missing"], points_of([face(60), face(60), face(120, 20), face(60)]))
    assert {name: wrong.kind for name, wrong in check.of(tmp_path).items()} == {"b": "empty", "c": "outside"}
    assert MatteCheck(["a"], None).of(tmp_path) == {}


def test_maps_that_were_seen_as_they_were_made_are_not_read_again(tmp_path):
    check = MatteCheck(["a", "b", "c"], points_of([face(60), None, face(60)]))
    for name, alpha in {"a": np.zeros((HEIGHT, WIDTH), np.uint8), "b": two(), "c": two()}.items():
        check.look(name, alpha)
        (tmp_path / f"{name}.png").write_bytes(b"no picture")
    assert {name: wrong.kind for name, wrong in check.of(tmp_path).items()} == {"a": "empty"}
