"""Preprocessing as users call it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from vhap.config.data import DataConfig
from vhap.config.detect import DetectConfig
from vhap.config.preprocess import PreprocessConfig
from vhap.data.landmark_files import load_landmarks
from vhap.data.monocular import MonocularCapture
from vhap.data.pictures import write_picture
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
    whole = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    (folder / "images" / "000002.jpg").unlink()
    (folder / "alpha_maps" / "000003.png").unlink()
    (folder / "landmark2d" / "mediapipe.npz").unlink()
    preprocess_video.run(PreprocessConfig(input=clip, target_fps=1, landmark_detector_njobs=1))
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == whole
    assert detect_landmarks.run(DetectConfig(input=folder)) == folder.resolve() / "landmark2d"


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
