"""Preprocessing as users call it."""

import os
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import pytest

from vhap.config.data import DataConfig
from vhap.config.detect import DetectConfig
from vhap.config.preprocess import PreprocessConfig
from vhap.data.landmark_files import load_landmarks
from vhap.data.monocular import MonocularCapture
from vhap.data.pictures import list_pictures, read_alpha, write_picture
from vhap.data.video import read_frames
from vhap.pipeline import detect_landmarks, preprocess_video
from vhap.util.errors import InputError

CLIPS = os.environ.get("VHAP_TEST_VIDEOS")


@pytest.fixture
def video(tmp_path):
    """Eight frames of a test card in a folder whose name holds the word `images`."""
    path = tmp_path / "images of people" / "card.mp4"
    path.parent.mkdir()
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        "testsrc=size=96x64:rate=25:duration=0.32",
    ]
    subprocess.run([*command, "-pix_fmt", "yuv420p", str(path)], check=True)
    return path


def config(path, **options):
    return PreprocessConfig(input=path, **{"landmark_source": "none", "matting_method": "none", **options})


def test_beside_the_video_and_elsewhere(video, tmp_path):
    assert preprocess_video.run(config(video)) == video.with_suffix("")
    assert len(list((video.with_suffix("") / "images").iterdir())) == 8
    other = preprocess_video.run(config(video, output_folder=tmp_path / "elsewhere"))
    assert other == tmp_path / "elsewhere"
    assert len(list((other / "images").iterdir())) == 8


def test_alpha_maps_stand_in_the_sequence_folder(video):
    folder = preprocess_video.run(config(video, matting_method="mediapipe"))
    assert sorted(path.name for path in (folder / "alpha_maps").iterdir()) == [f"{i:06d}.png" for i in range(8)]
    capture = MonocularCapture(DataConfig(root_folder=video.parent, sequence="card", use_landmark=False))
    assert capture.load([0]).alpha.shape == (1, 64, 96)


def test_sequence_folder_with_own_pictures(tmp_path):
    folder = tmp_path / "EMO-1-shout"
    for index in range(3):
        write_picture(folder / "images" / f"photo_{index}.png", np.full((16, 24, 3), 90, np.uint8))
    before = {path.name: path.read_bytes() for path in (folder / "images").iterdir()}
    for given in (folder, tmp_path / "EMO-1", tmp_path / "EMO*"):
        assert preprocess_video.run(config(given, downsample_scales=(2,))) == folder.resolve()
    assert {path.name: path.read_bytes() for path in (folder / "images").iterdir()} == before
    assert len(list((folder / "images_2").iterdir())) == 3
    (tmp_path / "EMO-10").mkdir()
    with pytest.raises(InputError, match="found 2"):
        preprocess_video.run(config(tmp_path / "EMO"))


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("missing.mp4", {}, "missing.mp4"),
        ("nothing", {}, "found 0"),
        ("card.mp4", {"downsample_scales": (3,)}, "downsample_scales"),
        ("card.mp4", {"target_fps": 0.0}, "frame rate"),
        ("card.mp4", {"matting_method": "robust_video_matting"}, "weights"),
        ("card.mp4", {"matting_method": "background_matting_v2"}, "weights"),
    ],
)
def test_bad_input_writes_nothing(video, monkeypatch, tmp_path, name, options, match):
    monkeypatch.setenv("VHAP_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InputError, match=match):
        preprocess_video.run(config(video.parent / name, **options))
    assert [path.name for path in video.parent.iterdir()] == ["card.mp4"]


def test_video_without_a_face(video):
    with pytest.raises(InputError, match="expected a face"):
        preprocess_video.run(config(video, landmark_source="mediapipe"))
    assert not (video.with_suffix("") / "landmark2d" / "mediapipe.npz").exists()


@pytest.mark.skipif(not CLIPS, reason="VHAP_TEST_VIDEOS names no folder of clips")
def test_real_clip_and_completion(tmp_path):
    clip = tmp_path / "man.mp4"
    shutil.copy(Path(CLIPS or "") / "man_gray.mp4", clip)
    clip.chmod(0o644)
    folder = preprocess_video.run(PreprocessConfig(input=clip, target_fps=1, landmark_detector_njobs=2))
    found = load_landmarks(folder / "landmark2d" / "mediapipe.npz")
    assert found.detected.all()
    assert found.timestep_ids == [f"{i:06d}" for i in range(len(found.points))]
    whole = _visible_files(folder)
    (folder / "images" / "000002.jpg").unlink()
    (folder / "alpha_maps" / "000003.png").unlink()
    (folder / "landmark2d" / "mediapipe.npz").unlink()
    preprocess_video.run(PreprocessConfig(input=clip, target_fps=1, landmark_detector_njobs=1))
    assert _visible_files(folder) == whole
    assert detect_landmarks.run(DetectConfig(input=folder)) == folder.resolve() / "landmark2d"


def _visible_files(folder):
    """The record of what was made of what (hidden) is in the order of making."""
    return {path: path.read_bytes() for path in folder.rglob("[!.]*") if path.is_file()}


@pytest.fixture
def two_persons(tmp_path):
    """A folder with four pictures of two faces of one clip, the larger one on the left, apart on grey."""
    if not CLIPS:
        pytest.skip("VHAP_TEST_VIDEOS names no folder of clips")
    frame = next(read_frames(Path(CLIPS) / "man_gray.mp4", Fraction(1)))
    picture = np.empty((300, 700, 3), np.uint8)
    picture[:] = frame[:20].mean((0, 1))
    picture[40:, 20:280] = cv2.resize(frame, (260, 260), interpolation=cv2.INTER_AREA)
    picture[100:, 480:680] = cv2.resize(frame, (200, 200), interpolation=cv2.INTER_AREA)
    for index in range(4):
        write_picture(tmp_path / "two" / "images" / f"{index}.png", picture + np.uint8(index))
    return tmp_path / "two"


def run_on(folder, **options):
    preprocess_video.run(PreprocessConfig(input=folder, landmark_detector_njobs=1, **options))
    points = load_landmarks(folder / "landmark2d" / "mediapipe.npz").points[:, :, 0].mean(1)
    maps = [read_alpha(path) for path in list_pictures(folder / "alpha_maps").values()]
    assert len(maps) == 4
    return (
        points,
        [bool((alpha[:, :350] > 0).any()) for alpha in maps],
        [bool((alpha[:, 350:] > 0).any()) for alpha in maps],
    )


def test_landmarks_and_mattes_follow_one_person_and_another_when_asked(two_persons):
    points, left, right = run_on(two_persons)
    assert (points < 0.5).all()
    assert left == [True] * 4
    assert right == [False] * 4
    maps = list_pictures(two_persons / "alpha_maps")
    own = np.full((300, 700), 255, np.uint8)
    write_picture(maps["2"], own)
    for person in ("2", "580,200"):
        points, left, right = run_on(two_persons, person=person)
        assert (points > 0.5).all()
        assert left == [False, False, True, False]
        assert right == [True] * 4
        np.testing.assert_array_equal(read_alpha(maps["2"]), own)
    kept = _visible_files(two_persons)
    detect_landmarks.run(DetectConfig(input=two_persons))
    run_on(two_persons)
    assert _visible_files(two_persons) == kept, "not given: as before"
    points, left, right = run_on(two_persons, person="auto")
    assert (points < 0.5).all()
    assert right == [False, False, True, False]
    with pytest.raises(InputError, match="0 shows 1 at "):
        run_on(two_persons, person="3")


def test_mattes_of_a_users_own_that_lack_the_face_are_named(two_persons, caplog):
    for name in ("0", "1"):
        write_picture(two_persons / "alpha_maps" / f"{name}.png", np.zeros((150, 350), np.uint8))
    preprocess_video.run(PreprocessConfig(input=two_persons, landmark_detector_njobs=1))
    (line,) = [record.getMessage() for record in caplog.records if "contradict" in record.getMessage()]
    assert "empty where a face is in 2 of 4 pictures (0, 1;" in line
    assert not read_alpha(two_persons / "alpha_maps" / "0.png").any()


def test_mattes_without_landmarks_hold_one_person_too(two_persons):
    preprocess_video.run(PreprocessConfig(input=two_persons, landmark_source="none", person="2"))
    assert not read_alpha(two_persons / "alpha_maps" / "0.png")[:, :350].any()
    assert sorted(path.name for path in two_persons.iterdir() if path.is_dir()) == ["alpha_maps", "images"]


def test_a_small_face_in_a_large_picture_gets_a_matte(tmp_path, caplog):
    if not CLIPS:
        pytest.skip("VHAP_TEST_VIDEOS names no folder of clips")
    frame = next(read_frames(Path(CLIPS) / "man_gray.mp4", Fraction(1)))
    picture = np.empty((1080, 1920, 3), np.uint8)
    picture[:] = frame[:20].mean((0, 1))
    picture[260:380, 1200:1320] = cv2.resize(frame, (120, 120), interpolation=cv2.INTER_AREA)
    write_picture(tmp_path / "small" / "images" / "0.png", picture)
    folder = preprocess_video.run(PreprocessConfig(input=tmp_path / "small", landmark_detector_njobs=1))
    alpha = read_alpha(folder / "alpha_maps" / "0.png")
    assert (alpha[310:350, 1240:1280] > 250).mean() > 0.95
    assert alpha.mean() / 255 < 0.01
    assert not [record for record in caplog.records if "contradict" in record.getMessage()]


def test_script_answers_in_one_line(video):
    script = Path(preprocess_video.__file__).parents[1] / "preprocess_video.py"
    arguments = ["--input", str(video.parent / "missing.mp4"), "--downsample-scales", "2", "4"]
    done = subprocess.run([sys.executable, str(script), *arguments], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: expected a video")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("method", ["robust_video_matting", "background_matting_v2"])
def test_a_plate_beside_the_video_is_seen_before_its_pictures_are_there(video, tmp_path, monkeypatch, method):
    monkeypatch.setenv("VHAP_CACHE", str(tmp_path / "cache"))
    write_picture(video.parent / "BACKGROUND" / "image.png", np.zeros((64, 96, 3), np.uint8))
    with pytest.raises(InputError, match="--matting_method background_difference, which needs no weights"):
        preprocess_video.run(PreprocessConfig(video, matting_method=method, landmark_source="none"))
    assert not (video.parent / "card").exists()
