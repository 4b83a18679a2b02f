import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from scipy.ndimage import maximum_filter

from vhap.config.synthetic import SyntheticConfig
from vhap.data.landmark_files import load_landmarks
from vhap.data.pictures import read_alpha, read_rgb
from vhap.data.results import load_result
from vhap.evaluate.run_scene import result_head_params
from vhap.geometry.cameras import camera_from_focal
from vhap.head.builtin import load_builtin
from vhap.head.model import pose
from vhap.pipeline.make_synthetic_capture import run
from vhap.util.errors import InputError
from vhap.util.files import read_json

FRAMES, SIZE = 4, 96


def options(output: Path, **changes) -> SyntheticConfig:
    plain = SyntheticConfig(
        output=output, frames=FRAMES, size=SIZE, image_format="png", landmark_source="face-alignment"
    )
    return replace(plain, **changes)


def hashes(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def capture(tmp_path_factory) -> Path:
    return run(options(tmp_path_factory.mktemp("root") / "clip", landmark_noise_px=0.7))


def test_everything_that_tracking_needs_is_written(capture):
    names = [f"{t:06d}" for t in range(FRAMES)]
    assert sorted(p.stem for p in (capture / "images").iterdir()) == names
    assert sorted(p.stem for p in (capture / "alpha_maps").iterdir()) == names
    assert load_landmarks(capture / "landmark2d" / "face-alignment.npz", names).points.shape == (FRAMES, 70, 3)
    frames = imageio_ffmpeg.read_frames(str(capture.with_name("clip.mp4")))
    info = next(frames)
    pictures = [np.frombuffer(frame, np.uint8).reshape(SIZE, SIZE, 3) for frame in frames]
    assert len(pictures) == FRAMES
    assert info["fps"] == 25
    assert info["codec"] == "h264"
    difference = pictures[1].astype(float) - read_rgb(capture / "images" / "000001.png")
    assert np.abs(difference).mean() < 4


def test_true_vertices_project_onto_true_landmarks_and_into_the_alpha_map(capture):
    truth = capture / "ground_truth"
    model = load_builtin()
    vertices = torch.from_numpy(np.load(truth / "vertices.npy"))
    assert vertices.shape == (FRAMES, model.n_vertices, 3)
    result = load_result(truth / "tracked_flame_params_0.npz", model.identity)
    camera = camera_from_focal(torch.tensor(float(result.focal_length[0])), SIZE, SIZE)
    marks = model.landmarks["ibug"]
    corners = vertices[:, model.faces[marks.face_ids]]
    points_px, _ = camera.project((corners * marks.barycentrics[..., None]).sum(2))
    exact = np.load(truth / "landmarks.npz")["ibug_px"]
    np.testing.assert_allclose(points_px.numpy(), exact, atol=1e-3)
    whole_px, _ = camera.project(vertices)
    for t in range(FRAMES):
        alpha = maximum_filter(read_alpha(capture / "alpha_maps" / f"{t:06d}.png"), 3)
        x, y = whole_px[t].numpy().astype(int).T
        seen = (x > 1) & (x < SIZE - 2) & (y > 1) & (y < SIZE - 2)
        assert (alpha[y[seen], x[seen]] > 0).mean() > 0.995


def test_parameters_of_the_truth_pose_its_vertices(capture):
    model = load_builtin()
    result = load_result(capture / "ground_truth" / "tracked_flame_params_0.npz")
    vertices = np.load(capture / "ground_truth" / "vertices.npy", mmap_mode="r+")
    for t in range(FRAMES):
        np.testing.assert_allclose(pose(model, result_head_params(result, t)).numpy(), vertices[t], atol=1e-6)
    camera = read_json(capture / "ground_truth" / "cameras.json")["cameras"]["0"]
    assert camera["fx"] == pytest.approx(float(result.focal_length[0]) * SIZE, rel=1e-5)


def test_noise_has_the_asked_size(capture):
    exact = np.load(capture / "ground_truth" / "landmarks.npz")["ibug_px"]
    noisy = load_landmarks(capture / "landmark2d" / "face-alignment.npz").points[..., :2] * SIZE
    assert np.std(noisy - exact) == pytest.approx(0.7, rel=0.15)
    assert abs(np.mean(noisy - exact)) < 0.1


def test_the_same_seed_gives_the_same_files_and_an_interrupted_capture_is_completed(capture, tmp_path):
    again = run(options(tmp_path / "clip", landmark_noise_px=0.7))
    whole = hashes(capture)
    assert hashes(again) == whole
    for name in (
        "images/000002.png",
        "alpha_maps/000001.png",
        "ground_truth/vertices.npy",
        "landmark2d/face-alignment.npz",
    ):
        (again / name).unlink()
    run(options(tmp_path / "clip", landmark_noise_px=0.7))
    assert hashes(again) == whole
    (tmp_path / "clip.mp4").unlink()
    run(options(tmp_path / "clip", landmark_noise_px=0.7))
    assert (tmp_path / "clip.mp4").read_bytes() == capture.with_name("clip.mp4").read_bytes()
    other = run(options(tmp_path / "other", landmark_noise_px=0.7, seed=1))
    assert hashes(other)["images/000000.png"] != whole["images/000000.png"]


def test_another_motion_or_light_is_of_the_same_person(capture, tmp_path):
    moved = run(options(tmp_path / "moved", landmark_noise_px=0.7, motion_seed=5))
    lit = run(options(tmp_path / "lit", landmark_noise_px=0.7, light_seed=5))
    first, second, third = (
        load_result(folder / "ground_truth/tracked_flame_params_0.npz") for folder in (capture, moved, lit)
    )
    for other in (second, third):
        np.testing.assert_array_equal(other.shape, first.shape)
        np.testing.assert_array_equal(other.albedo, first.albedo)
        np.testing.assert_array_equal(other.focal_length, first.focal_length)
    assert np.abs(second.rotation - first.rotation).max() > 0.02
    np.testing.assert_array_equal(second.lights, first.lights)
    np.testing.assert_array_equal(third.rotation, first.rotation)
    assert np.abs(third.lights - first.lights).max() > 0.05
    same = run(options(tmp_path / "same", landmark_noise_px=0.7, motion_seed=0, light_seed=0))
    assert (same / "images/000001.png").read_bytes() == (capture / "images/000001.png").read_bytes()


def test_a_rigs_motion_is_that_of_its_sequence(tmp_path):
    with pytest.raises(InputError, match="expected --motion_seed with --layout monocular, found multiview"):
        run(options(tmp_path / "rig", layout="multiview", motion_seed=3))


def test_other_options_for_the_same_folder_are_refused(capture):
    with pytest.raises(InputError, match=r"same options.*landmark_noise_px=0.7"):
        run(options(capture, landmark_noise_px=0.0))


def test_a_folder_of_someone_else_is_refused_and_left_alone(tmp_path):
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="other files"):
        run(options(tmp_path / "clip"))
    assert [path.name for path in (tmp_path / "clip").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    "change",
    [
        {"frames": 0},
        {"size": 95},
        {"size": 8},
        {"fps": 0.0},
        {"seed": -1},
        {"motion_seed": -1},
        {"max_yaw": 120.0},
        {"focal": 0.0},
    ],
)
def test_options_out_of_range_are_named(change, tmp_path):
    with pytest.raises(InputError, match=next(iter(change))):
        run(options(tmp_path / "clip", **change))
    assert not (tmp_path / "clip").exists()


def test_hair_is_in_pictures_and_mattes_but_not_in_the_true_vertices(capture, tmp_path):
    folder = run(options(tmp_path / "clip", landmark_noise_px=0.7, hair="long"))
    for name in ("vertices.npy", "landmarks.npz", "cameras.json"):
        assert (folder / "ground_truth" / name).read_bytes() == (capture / "ground_truth" / name).read_bytes()
    for t in range(FRAMES):
        bald, long = (read_alpha(of / "alpha_maps" / f"{t:06d}.png").astype(int) for of in (capture, folder))
        assert (long >= bald).all()
        assert (long - bald).mean() > 5
        changed = np.abs(
            read_rgb(folder / "images" / f"{t:06d}.png").astype(int) - read_rgb(capture / "images" / f"{t:06d}.png")
        )
        assert changed[long == 0].max() == 0
        assert changed[(long == 255) & (bald == 0)].mean() > 10
    with pytest.raises(InputError, match="to have the same options, found hair="):
        run(options(tmp_path / "clip", landmark_noise_px=0.7))


def test_captures_of_before_there_was_hair_are_still_known(capture, tmp_path):
    shutil.copytree(capture.parent, tmp_path / "root")
    settings = tmp_path / "root" / capture.name / "ground_truth" / "settings.json"
    written = read_json(settings)
    assert written.pop("hair") == "none"
    assert written["fps"] == 25
    settings.write_text(json.dumps(written))
    before = hashes(tmp_path)
    run(options(tmp_path / "root" / capture.name, landmark_noise_px=0.7))
    assert hashes(tmp_path) == before
    with pytest.raises(InputError, match="found hair="):
        run(options(tmp_path / "root" / capture.name, landmark_noise_px=0.7, hair="long"))
