"""keypoint.json and iris.json of a subject's pictures."""

import json
import os
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from vhap import iris, keypoint_detector
from vhap.config.relightable import CropConfig, IrisConfig, KeypointConfig
from vhap.data.pictures import write_picture
from vhap.detect.ibug import MEDIAPIPE_OF_IBUG
from vhap.pipeline import relightable_crop, relightable_faces, relightable_points
from vhap.relightable.point_files import read_irises, read_keypoints
from vhap.util.errors import InputError

CLIPS = os.environ.get("VHAP_TEST_VIDEOS")


class BrightFace:
    """Every picture's 478 points stand on a line that begins at its brightness; none in a black one."""

    calls = 0

    def faces(self, picture):
        BrightFace.calls += 1
        level = float(picture.max())
        if level == 0:
            return []
        along = np.arange(478) / 16
        return [np.column_stack([level / 4 + along, 8 + along, np.zeros(478)])]

    def face_near(self, picture, points):
        return None

    def confidence(self, points):
        return np.ones(478)


@pytest.fixture
def subject(tmp_path, monkeypatch):
    monkeypatch.setenv("VHAP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(relightable_faces, "detector_maker", lambda *_: BrightFace)
    monkeypatch.setattr(relightable_points, "require_detector", lambda *_: None)
    folder = tmp_path / "anna"
    for index, level in enumerate((40, 0, 44)):
        write_picture(folder / "image" / f"{index:05d}.png", np.full((64, 96, 4), level, np.uint8))
    return folder


def test_points_and_irises_where_a_face_is_and_null_elsewhere(subject, capsys):
    keypoint_detector.main(["--path", str(subject)])
    iris.main(["--path", str(subject)])
    assert capsys.readouterr().out.split() == [str(subject / "keypoint.json"), str(subject / "iris.json")]
    points, centres = (json.loads((subject / name).read_text()) for name in ("keypoint.json", "iris.json"))
    assert list(points) == list(centres) == ["00000.png", "00001.png", "00002.png"]
    # Never the values of the picture before.
    assert points["00001.png"] is None
    assert centres["00001.png"] is None
    expected = np.column_stack([10 + MEDIAPIPE_OF_IBUG / 16, 8 + MEDIAPIPE_OF_IBUG / 16])
    assert np.array(points["00000.png"]) == pytest.approx(expected[:68], abs=2e-3)
    # The subject's left iris, 473, stands on the image's right and comes first.
    right_then_left = np.concatenate([expected[69], expected[68]])
    assert centres["00000.png"] == pytest.approx(right_then_left, abs=2e-3)
    assert read_keypoints(subject / "keypoint.json", points)["00002.png"] == pytest.approx(
        np.add(expected[:68], (1, 0)), abs=2e-3
    )


def test_second_run_detects_and_writes_nothing(subject):
    relightable_points.run_keypoints(KeypointConfig(subject))
    relightable_points.run_irises(IrisConfig(subject))
    before = {path: path.stat().st_mtime_ns for path in subject.rglob("*")}
    BrightFace.calls = 0
    relightable_points.run_keypoints(KeypointConfig(subject))
    relightable_points.run_irises(IrisConfig(subject))
    assert BrightFace.calls == 0
    assert {path: path.stat().st_mtime_ns for path in subject.rglob("*")} == before


def test_changed_picture_is_detected_again(subject):
    file = relightable_points.run_irises(IrisConfig(subject))
    write_picture(subject / "image" / "00001.png", np.full((64, 96, 4), 48, np.uint8))
    relightable_points.run_irises(IrisConfig(subject))
    assert read_irises(file)["00001.png"] is not None


class Fan(BrightFace):
    def faces(self, picture):
        return [np.add(points[:68], (2, 0, 0)) for points in super().faces(picture)]

    def confidence(self, points):
        return np.ones(68)


def test_points_of_another_detector_replace_those_of_mediapipe(subject, monkeypatch):
    before = read_keypoints(relightable_points.run_keypoints(KeypointConfig(subject)))
    monkeypatch.setattr(relightable_faces, "detector_maker", lambda *_: Fan)
    after = read_keypoints(relightable_points.run_keypoints(KeypointConfig(subject, "face-alignment")))
    assert after["00001.png"] is None
    assert before["00000.png"] is not None
    along = np.arange(68) / 16
    assert after["00000.png"] == pytest.approx(np.column_stack([12 + along, 8 + along]), abs=2e-3)


def test_pictures_of_insta(subject):
    (subject / "image").rename(subject / "images")
    assert len(read_keypoints(relightable_points.run_keypoints(KeypointConfig(subject)))) == 3


@pytest.mark.parametrize("run", [relightable_points.run_keypoints, relightable_points.run_irises])
def test_no_face_and_no_pictures(subject, run):
    kind = KeypointConfig if run is relightable_points.run_keypoints else IrisConfig
    for index in range(3):
        write_picture(subject / "image" / f"{index:05d}.png", np.zeros((64, 96, 4), np.uint8))
    with pytest.raises(InputError, match="expected a face in some of 3 pictures"):
        run(kind(subject))
    assert not list(subject.glob("*.json"))
    with pytest.raises(InputError, match="subject's folder"):
        run(kind(subject / "nobody"))
    (subject / "empty").mkdir()
    with pytest.raises(InputError, match="expected pictures"):
        run(kind(subject / "empty"))
    write_picture(subject / "image" / "00003.png", np.zeros((60, 96, 4), np.uint8))
    with pytest.raises(InputError, match="one size"):
        run(kind(subject))


@pytest.mark.skipif(not CLIPS, reason="VHAP_TEST_VIDEOS names no folder of clips")
def test_points_of_a_clip_lie_on_the_face(tmp_path):
    folder = tmp_path / "man"
    folder.mkdir()
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(Path(CLIPS or "") / "man_gray.mp4")]
    subprocess.run([*command, "-frames:v", "2", "-an", str(folder / "man.mp4")], check=True)
    relightable_crop.run(CropConfig(tmp_path, "man", matting=True, crop_image=True))
    found = read_keypoints(relightable_points.run_keypoints(KeypointConfig(folder)))
    assert len(found) == 2
    for name, points in found.items():
        assert points is not None
        right, left = points[36:42].mean(0), points[42:48].mean(0)
        # By eye: his eyes are at (206, 240) and (316, 243), the corners of his mouth at (211, 362) and (310, 364).
        assert right == pytest.approx((206, 241), abs=6)
        assert left == pytest.approx((317, 243), abs=6)
        assert points[48] == pytest.approx((212, 363), abs=6)
        assert points[54] == pytest.approx((310, 364), abs=6)
        centres = read_irises(relightable_points.run_irises(IrisConfig(folder)))[name]
        assert centres is not None
        assert np.linalg.norm(centres - (left, right), axis=1).max() < 8
