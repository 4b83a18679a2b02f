"""Values of single cameras, out of measures that are known."""

import math

import pytest

from vhap.evaluate.measure_cameras import camera_table, per_camera, worst_cameras, worst_line
from vhap.evaluate.measure_pictures import FrameMeasures, PictureMeasures
from vhap.evaluate.metrics import SquaredErrorSum


def picture(nme: float, error: float, both: int) -> PictureMeasures:
    """error: of each of a hundred values; both: out of ten pixels."""
    return PictureMeasures(
        not math.isnan(nme), SquaredErrorSum(100 * error, 100), SquaredErrorSum(error, 1), nme, both, 10
    )


LEFT = (picture(2.0, 0.01, 9), picture(4.0, 0.03, 7))
RIGHT = (picture(math.nan, 0.001, 10), picture(1.0, 0.001, 10))
UNSEEN = (PictureMeasures(False), PictureMeasures(False))


@pytest.fixture
def cameras() -> dict:
    return per_camera(["left", "right", "unseen"], [FrameMeasures(views, True) for views in zip(LEFT, RIGHT, UNSEEN)])


def test_each_camera_counts_its_own_pictures(cameras):
    assert cameras["camera_id"] == ["left", "right", "unseen"]
    assert cameras["detected_fraction"] == [1, 0.5, 0]
    assert cameras["landmark_nme_percent"] == pytest.approx([3, 1, math.nan], nan_ok=True)
    for name in ("psnr_head_db", "psnr_face_db"):
        assert cameras[name] == pytest.approx([-10 * math.log10(0.02), 30, math.nan], nan_ok=True)
    assert cameras["silhouette_iou"] == pytest.approx([0.8, 1, math.nan], nan_ok=True)


def test_the_worst_are_named_by_each_measure(cameras):
    found = worst_cameras(cameras)
    assert set(found) == {"landmark_nme_percent", "psnr_face_db", "psnr_head_db", "silhouette_iou"}
    assert all(names == ["left"] for names in found.values())
    assert worst_line(found) == (
        "Worst cameras: landmark_nme_percent left; psnr_face_db left; psnr_head_db left; silhouette_iou left."
    )


def test_one_camera_is_not_the_worst():
    found = worst_cameras(per_camera(["only"], [FrameMeasures((view,), True) for view in LEFT]))
    assert not any(found.values())
    assert worst_line(found) is None


def test_the_table_has_a_line_for_each_camera_and_a_dash_for_what_is_not_there(cameras):
    with_gaps = {name: [None if value != value else value for value in values] for name, values in cameras.items()}
    lines = [line.split() for line in camera_table(with_gaps).splitlines()]
    assert lines[0] == list(cameras)
    assert lines[1] == ["left", "1", "3", "16.99", "16.99", "0.8"]
    assert lines[3] == ["unseen", "0", "-", "-", "-", "-"]


def test_a_frame_is_lost_by_the_mean_of_its_cameras():
    assert FrameMeasures((picture(9, 0, 1), picture(12, 0, 1)), True).lost
    assert not FrameMeasures((picture(7, 0, 1), picture(12, 0, 1)), True).lost
    assert FrameMeasures(UNSEEN[:1], finite=False).lost
