"""Preprocessing of a rig's videos and pictures, with a stand-in detector that finds bright spots."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vhap.config.data import MultiviewDataConfig, NersembleDataConfig
from vhap.config.detect import DetectConfig
from vhap.config.preprocess import PreprocessConfig
from vhap.config.synthetic import SyntheticConfig
from vhap.data.landmark_files import load_landmarks
from vhap.data.multiview import MultiviewCapture
from vhap.data.nersemble.capture import NersembleCapture
from vhap.data.pictures import write_picture
from vhap.detect import landmarks
from vhap.pipeline import detect_landmarks, preprocess_video
from vhap.pipeline.make_synthetic_capture import run as make_capture
from vhap.util.errors import InputError


class SpotDetector:
    """A face is a red pixel, its 478 points on a line through it."""

    def faces(self, picture):
        found = np.argwhere((picture[..., 0] > 200) & (picture[..., 1] < 60))
        line = np.linspace(-2, 2, 478)[:, None] * [1, 1, 0]
        return [line + np.array([x + 0.5, y + 0.5, 0.5]) for y, x in found[:1]]

    def face_near(self, picture, points):
        return None

    def confidence(self, points):
        return points[:, 2]


@pytest.fixture
def spots(monkeypatch):
    monkeypatch.setattr(landmarks, "detector_maker", lambda name, device="auto": SpotDetector)


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    """A NeRSemble v2 sequence as it is downloaded: videos in images/."""
    root = tmp_path_factory.mktemp("nersemble")
    folder = make_capture(
        SyntheticConfig(
            root, layout="nersemble_v2", sequence="EMO-1-shout+laugh", frames=3, cameras=2, width=66, height=96,
            videos=True, landmark_source="face-alignment",
        )
    )  # fmt: skip
    for name in ("alpha_maps", "landmark2d", "ground_truth"):
        shutil.rmtree(folder / name)
    for path in folder.glob("images/*.jpg"):
        path.unlink()
    return root


@pytest.fixture
def root(recording, tmp_path) -> Path:
    return Path(shutil.copytree(recording, tmp_path / "nersemble"))


def config(path: Path, **options) -> PreprocessConfig:
    return PreprocessConfig(input=path, **{"landmark_source": "none", "matting_method": "none", **options})


def test_a_downloaded_sequence_becomes_a_capture(root, spots):
    sequences = root / "001" / "sequences"
    given = config(sequences / "EMO-1*", matting_method="mediapipe", downsample_scales=(2,))
    folder = preprocess_video.run(given)
    assert folder == sequences / "EMO-1-shout+laugh"
    stems = sorted(path.stem for path in (folder / "images").glob("*.jpg"))
    assert len(stems) == 6
    assert sorted(path.stem for path in (folder / "images_2").iterdir()) == stems
    assert sorted(path.name for path in (folder / "alpha_maps").iterdir()) == [f"{stem}.png" for stem in stems]
    capture = NersembleCapture(
        NersembleDataConfig(root_folder=root, subject="1", sequence="EMO-1", layout="v2", use_landmark=False)
    )
    batch = capture.load([0, 2])
    assert batch.rgb.shape == (4, 96, 66, 3)
    assert batch.alpha is not None
    half = NersembleDataConfig(
        root_folder=root, subject="1", sequence="EMO-1", layout="v2", use_landmark=False, n_downsample_rgb=2
    )
    assert NersembleCapture(half).size == (48, 33)


@pytest.mark.parametrize("names", [("cam_00", "cam_01"), ("left", "right")])
def test_videos_of_ones_own_rig_become_a_capture(tmp_path, names):
    folder = make_capture(
        SyntheticConfig(
            tmp_path, layout="multiview", sequence="talk", frames=2, cameras=2, width=66, height=96, videos=True,
            landmark_source="face-alignment",
        )
    )  # fmt: skip
    data = MultiviewDataConfig(root_folder=tmp_path, sequence="talk", use_landmark=False, background_color=None)
    before = MultiviewCapture(data).load([0, 1])
    text = (folder / "transforms.json").read_text()
    for old, new in zip(("cam_00", "cam_01"), names):
        (folder / f"{old}.mp4").rename(folder / f"{new}.mp4")
        text = text.replace(old, new)
    (folder / "transforms.json").write_text(text)
    for name in ("images", "alpha_maps", "landmark2d"):
        shutil.rmtree(folder / name)
    preprocess_video.run(config(folder, matting_method="mediapipe"))
    capture = MultiviewCapture(data)
    assert capture.camera_ids == [name.removeprefix("cam_") for name in names]
    assert MultiviewCapture(replace(data, cameras=(names[1],))).camera_ids == capture.camera_ids[1:]
    after = capture.load([0, 1])
    assert after.alpha is not None
    assert (after.rgb - before.rgb).abs().mean() < 0.02


def test_pictures_elsewhere_are_not_written_over(root, tmp_path):
    """--output_folder names a folder with pictures of one's own."""
    write_picture(tmp_path / "mine/images/cam_222200037_000000.png", np.zeros((8, 8, 3), np.uint8))
    given = config(root / "001/sequences/EMO-1-shout+laugh", output_folder=tmp_path / "mine")
    with pytest.raises(InputError, match="cam_222200037_000000"):
        preprocess_video.run(given)
    assert [path.name for path in (tmp_path / "mine").rglob("*.*")] == ["cam_222200037_000000.png"]


@pytest.mark.parametrize("nested", [False, True])
def test_landmarks_of_each_camera_and_of_one_that_sees_no_face(tmp_path, spots, nested):
    folder = tmp_path / "take"
    for camera in ("a", "b"):
        for t in range(3):
            picture = np.zeros((20, 30, 3), np.uint8)
            if camera == "a":
                picture[5, 10 + t, 0] = 255
            name = f"{camera}/{t:06d}" if nested else f"cam_{camera}_{t:06d}"
            write_picture(folder / "images" / f"{name}.png", picture)
    assert preprocess_video.run(config(folder, landmark_source="mediapipe")) == folder.resolve()
    files = [folder / "landmark2d" / "mediapipe" / f"{camera}.npz" for camera in ("a", "b")]
    seen, unseen = (load_landmarks(path, [f"{t:06d}" for t in range(3)]) for path in files)
    np.testing.assert_allclose(seen.points[2].mean(0), [12.5 / 30, 5.5 / 20, 0.5], atol=1e-6)
    assert not unseen.detected.any()
    assert unseen.points.shape == (3, 478, 3)
    before = [path.stat().st_mtime_ns for path in files]
    files[0].unlink()
    assert detect_landmarks.run(DetectConfig(input=folder)) == folder.resolve() / "landmark2d"
    assert files[0].is_file(), "every camera's file is checked"
    assert files[1].stat().st_mtime_ns == before[1]


def test_no_camera_sees_a_face(root, spots):
    with pytest.raises(InputError, match="none by mediapipe"):
        preprocess_video.run(config(root / "001/sequences/EMO-1", landmark_source="mediapipe"))


@pytest.mark.parametrize("method", ["robust_video_matting", "background_matting_v2"])
def test_missing_weights_and_plates_are_seen_before_anything_is_written(root, monkeypatch, tmp_path, method):
    monkeypatch.setenv("VHAP_CACHE", str(tmp_path / "cache"))
    folder = root / "001/sequences/EMO-1-shout+laugh"
    before = sorted(path.name for path in folder.rglob("*"))
    with pytest.raises(InputError, match="weights"):
        preprocess_video.run(config(folder, matting_method=method))
    if method == "background_matting_v2":
        plate = next((root / "001/sequences/BACKGROUND").iterdir())
        plate.unlink()
        with pytest.raises(InputError, match=plate.name):
            preprocess_video.run(config(folder, matting_method=method))
    assert sorted(path.name for path in folder.rglob("*")) == before


def test_pictures_can_be_written_elsewhere(root, tmp_path):
    folder = root / "001/sequences/EMO-1-shout+laugh"
    assert preprocess_video.run(config(folder, output_folder=tmp_path / "else")) == tmp_path / "else"
    assert len(list((tmp_path / "else" / "images").iterdir())) == 6
    with pytest.raises(InputError, match="no output_folder"):
        preprocess_video.run(config(tmp_path / "else", output_folder=tmp_path / "third"))


def test_cameras_with_unequal_pictures_are_refused(tmp_path):
    for name in ("cam_a_000000", "cam_a_000001", "cam_b_000000"):
        write_picture(tmp_path / "take" / "images" / f"{name}.png", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(InputError, match="camera b lacks 1: 000001"):
        preprocess_video.run(config(tmp_path / "take"))
