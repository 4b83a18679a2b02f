"""Frames that show nothing, from pictures and landmarks through tracking to the evaluation and the page."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rig_run import FRAMES as RIG_FRAMES
from rig_run import make_capture as make_rig
from rig_run import open_rig, run_of, track_config, write_true_run

from vhap.config.data import DataConfig
from vhap.config.evaluate import EvaluateConfig
from vhap.config.export import ExportConfig
from vhap.config.loading import save_config
from vhap.config.report import ReportConfig
from vhap.config.synthetic import SyntheticConfig
from vhap.config.track import ExperimentConfig, ModelConfig, TrackConfig
from vhap.data.landmark_files import load_landmarks, save_landmarks
from vhap.data.lost_frames import CONSTANT, NO_HEAD, NO_MATTE
from vhap.data.pictures import read_alpha, read_rgb, write_picture
from vhap.data.results import load_result, save_result
from vhap.pipeline import evaluate_tracking, export_as_nerf_dataset, report, track
from vhap.pipeline.make_synthetic_capture import run as make_capture
from vhap.util.errors import InputError
from vhap.util.files import read_json

FRAMES, SIZE, RUN = 6, 96, "2024-01-01_00-00-00"


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("whole") / "clip"
    return make_capture(
        SyntheticConfig(output, frames=FRAMES, size=SIZE, image_format="png", landmark_source="face-alignment")
    )


@pytest.fixture
def clip(tmp_path, whole) -> Path:
    shutil.copytree(whole, tmp_path / "clip")
    return tmp_path / "clip"


def forget_faces(clip: Path, rows: list[int]) -> None:
    path = clip / "landmark2d" / "face-alignment.npz"
    landmarks = load_landmarks(path)
    landmarks.points[rows] = [-1, -1, 0]
    save_landmarks(path, replace(landmarks, sources=None))


def change(clip: Path, kind: str, row: int, new: Callable[[np.ndarray], np.ndarray]) -> None:
    path = clip / kind / f"{row:06d}.png"
    write_picture(path, new(read_alpha(path) if kind == "alpha_maps" else read_rgb(path)))


def other_scene(rgb: np.ndarray) -> np.ndarray:
    """Blotches of any colours."""
    random = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    return np.kron(random, np.ones((SIZE // 8, SIZE // 8, 1), np.uint8))


def config_of(clip: Path, output: Path) -> TrackConfig:
    data = DataConfig(clip.parent, clip.name, landmark_source="face-alignment")
    exp = ExperimentConfig(output, photometric=False, report=False)
    return TrackConfig(data, exp, ModelConfig(head="builtin", tex_resolution=64), device="cpu")


def true_run(clip: Path) -> Path:
    """A run whose result is the truth, and says nothing of lost frames."""
    folder = clip.parent / "out" / RUN
    save_config(folder / "config.yml", config_of(clip, folder.parent))
    save_result(folder / "tracked_flame_params_0.npz", load_result(clip / "ground_truth/tracked_flame_params_0.npz"))
    return folder


def counted(folder: Path) -> tuple[int, dict[str, str]]:
    """frames_lost of the evaluation, and name -> why nothing is shown."""
    values = read_json(evaluate_tracking.run(EvaluateConfig(folder)))
    per_frame = values["per_frame"]
    reasons = dict(zip(per_frame["timestep_id"], per_frame["shows_nothing"]))
    lost = [name for name, is_lost in zip(per_frame["timestep_id"], per_frame["lost"]) if is_lost]
    assert lost == [name for name, reason in reasons.items() if reason]
    return values["frames_lost"], {name: reason for name, reason in reasons.items() if reason}


def exported(folder: Path) -> dict[str, str]:
    """Name -> why it is left out."""
    content = read_json(
        export_as_nerf_dataset.run(ExportConfig(folder, folder.parent.parent / "export")) / "transforms.json"
    )
    assert len(content["frames"]) + len(content.get("lost_frames", [])) == FRAMES
    return {frame["timestep_id"]: frame["reason"] for frame in content.get("lost_frames", [])}


@pytest.mark.parametrize("with_mattes", [True, False])
def test_a_visible_head_that_no_detector_finds_is_not_lost(clip, with_mattes):
    if not with_mattes:
        shutil.rmtree(clip / "alpha_maps")
    forget_faces(clip, [0, 2, 3, 5])
    folder = true_run(clip)
    assert counted(folder) == (0, {})
    assert exported(folder) == {}


@pytest.mark.parametrize("with_mattes", [True, False])
def test_frames_before_someone_enters_and_black_ones_are_lost(clip, with_mattes):
    for row in (0, 1):
        change(clip, "images", row, other_scene)
        change(clip, "alpha_maps", row, np.zeros_like)
    change(clip, "images", 5, np.zeros_like)
    forget_faces(clip, [0, 1, 3, 5])
    if not with_mattes:
        shutil.rmtree(clip / "alpha_maps")
    folder = true_run(clip)
    empty = NO_MATTE if with_mattes else NO_HEAD
    expected = {"000000": empty, "000001": empty, "000005": CONSTANT}
    assert counted(folder) == (3, expected)
    assert exported(folder) == expected


def test_another_scene_with_a_matte_is_lost_at_the_ends(clip):
    for row in (0, 3):
        change(clip, "images", row, other_scene)
        change(clip, "alpha_maps", row, lambda alpha: np.full_like(alpha, 255))
    forget_faces(clip, [0, 3])
    folder = true_run(clip)
    assert counted(folder)[1] == {"000000": NO_HEAD}


def test_the_page_names_frames_that_show_nothing(clip):
    change(clip, "images", 4, np.zeros_like)
    forget_faces(clip, [4])
    text = report.run(ReportConfig(true_run(clip), frames=FRAMES)).read_text(encoding="utf-8")
    assert f"1 frames show nothing of the head ({CONSTANT}): 000004." in text
    assert f"lost: {CONSTANT}" in text
    assert "landmarks off by more than" not in text


def test_tracking_records_what_it_finds(clip, tmp_path):
    change(clip, "images", 0, np.zeros_like)
    change(clip, "alpha_maps", 3, np.zeros_like)
    forget_faces(clip, [0, 2])
    folder = track.run(config_of(clip, tmp_path / "tracked"))
    result = load_result(max(folder.glob("tracked_flame_params_*.npz")))
    assert result.lost_reason is not None
    assert result.lost_reason.tolist() == [[CONSTANT], [""], [""], [NO_MATTE], [""], [""]]
    log = (folder / "log.txt").read_text()
    assert "the matte is empty where a face is in 1 of 4 pictures" in log
    assert f"pictures that export leaves out: {CONSTANT} in 1 (000000); {NO_MATTE} in 1 (000003)" in log
    assert counted(folder) == (2, {"000000": CONSTANT, "000003": NO_MATTE})


def in_the_corner(alpha: np.ndarray) -> np.ndarray:
    """A matte of something else."""
    other = np.zeros_like(alpha)
    other[:8, :8] = 255
    return other


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda clip, row: change(clip, "alpha_maps", row, np.zeros_like), "empty where a face is in 4 of 6 pictures"),
        (
            lambda clip, row: change(clip, "alpha_maps", row, in_the_corner),
            "the face lies outside the matte in 4 of 6 pictures",
        ),
    ],
)
def test_mattes_that_contradict_most_faces_stop_tracking_before_it_begins(clip, tmp_path, spoil, said):
    for row in range(4):
        spoil(clip, row)
    with pytest.raises(InputError, match=r"expected mattes around the faces .*; remove the alpha maps") as refused:
        track.run(config_of(clip, tmp_path / "tracked"))
    assert said in str(refused.value)
    assert not (tmp_path / "tracked").exists()


def test_pictures_that_are_all_black_stop_tracking_whatever_the_landmarks_say(clip, tmp_path):
    for row in range(FRAMES):
        change(clip, "images", row, np.zeros_like)
    with pytest.raises(InputError, match="found 6 that are black or of one colour each"):
        track.run(config_of(clip, tmp_path / "tracked"))
    assert not (tmp_path / "tracked").exists()


def test_single_pictures_of_a_rig_are_left_out(tmp_path):
    make_rig(tmp_path, "multiview")
    config = track_config(tmp_path, "multiview")
    capture = open_rig(config)
    write_true_run(config)
    for path in (capture.image_paths[1][0], *(paths[2] for paths in capture.image_paths)):
        write_picture(path, np.zeros_like(read_rgb(path)))
    folder = export_as_nerf_dataset.run(ExportConfig(run_of(tmp_path, "multiview"), tmp_path / "export"))
    content = read_json(folder / "transforms.json")
    cameras = len(capture.camera_ids)
    assert content["timestep_indices"] == list(range(RIG_FRAMES - 1))
    assert len(content["frames"]) == cameras * (RIG_FRAMES - 1) - 1
    lost = [(frame["timestep_id"], frame["camera_id"]) for frame in content["lost_frames"]]
    names, views = capture.timestep_ids, capture.camera_ids
    assert lost == [(names[0], views[1]), *((names[2], view) for view in views)]
    assert {frame["reason"] for frame in content["lost_frames"]} == {CONSTANT}
    assert len(list((folder / "images").iterdir())) == len(content["frames"])
