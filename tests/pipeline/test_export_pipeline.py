"""From a run folder and its pictures on disk to a dataset on disk, through the entry script."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from small_run import COUNT, OFFSETS, SIZE, make_result, make_run, write_run

from vhap import export_as_nerf_dataset
from vhap.export.head_files import pose_arrays
from vhap.head.load import load_head


@pytest.fixture(scope="module")
def head():
    torch.set_num_threads(1)
    return load_head("builtin", n_shape=5, n_expr=6)


@pytest.fixture(autouse=True)
def one_head(monkeypatch, head) -> None:
    """Building the head takes longer than an export of these pictures: build it once."""
    monkeypatch.setattr("vhap.pipeline.heads.load_head", lambda *options, **more: head)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory, head) -> Path:
    """A finished run of 5 frames; the head's shade of red tells which frame a picture is."""
    return make_run(tmp_path_factory.mktemp("data"), head, make_result(head))


def export(monkeypatch, source: Path, target: Path, *options: str) -> list[dict]:
    arguments = ["export", "--src_folder", str(source), "--tgt_folder", str(target), *options]
    monkeypatch.setattr(sys, "argv", arguments)
    export_as_nerf_dataset.main()
    return frames_of(target) if target.exists() else []


def frames_of(target: Path) -> list[dict]:
    return json.loads((target / "transforms.json").read_text())["frames"]


def read_rgb(target: Path, frame: dict) -> np.ndarray:
    return cv2.imread(str(target / frame["file_path"]))[..., ::-1]


def frame_shown(target: Path, frame: dict) -> int:
    """Which recorded frame a picture is, by its shade of red in the middle of the head."""
    mask = cv2.imread(str(target / frame["fg_mask_path"]), cv2.IMREAD_UNCHANGED) == 255
    return round((float(np.median(read_rgb(target, frame)[mask][:, 0])) - 100) / 20)


def head_drawn(head, target: Path, frame: dict) -> np.ndarray:
    """(H, W) bool: where a pinhole camera of the frame's keys puts the vertices, closed to a surface."""
    with np.load(target / frame["flame_param_path"]) as file:
        vertices = pose_arrays(head, dict(file)).numpy()
    camera_to_world = np.array(frame["transform_matrix"])
    local = (vertices - camera_to_world[:3, 3]) @ camera_to_world[:3, :3]
    x = frame["fl_x"] * local[:, 0] / -local[:, 2] + frame["cx"]
    y = -frame["fl_y"] * local[:, 1] / -local[:, 2] + frame["cy"]
    points = np.round((np.stack([x, y], -1) - 0.5) * 16).astype(np.int32)
    drawn = np.zeros((frame["h"], frame["w"]), np.uint8)
    for triangle in points[head.faces.numpy()]:
        cv2.fillConvexPoly(drawn, triangle, 1, shift=4)
    return drawn > 0


def test_posed_heads_land_on_their_masks_down_to_the_neck(monkeypatch, tmp_path, run_folder, head) -> None:
    frames = export(monkeypatch, run_folder, tmp_path / "E")
    assert [frame_shown(tmp_path / "E", frame) for frame in frames] == list(range(COUNT))
    for frame in frames:
        mask = cv2.imread(str(tmp_path / "E" / frame["fg_mask_path"]), cv2.IMREAD_UNCHANGED) / 255
        drawn = head_drawn(head, tmp_path / "E", frame)
        upper = np.arange(SIZE[0]) < np.flatnonzero(drawn.any(1)).mean()
        assert (drawn & (mask > 0.5))[upper].sum() / (drawn | (mask > 0.5))[upper].sum() > 0.95
        assert mask[drawn].mean() > 0.8
        assert mask.sum() < drawn.sum()
        assert (read_rgb(tmp_path / "E", frame)[mask == 0] == 255).all()


def test_subset_chooses_the_right_frames(monkeypatch, tmp_path, run_folder) -> None:
    frames = export(monkeypatch, run_folder, tmp_path / "E", "--subset", "ti1tj3")
    assert [frame["timestep_index"] for frame in frames] == [0, 1, 2]
    assert [frame["timestep_index_original"] for frame in frames] == [1, 2, 3]
    assert [frame_shown(tmp_path / "E", frame) for frame in frames] == [1, 2, 3]
    offsets = [np.load(tmp_path / "E" / frame["flame_param_path"])["translation"][0, 0] for frame in frames]
    np.testing.assert_allclose(offsets, np.array(OFFSETS[1:4]) - np.mean(OFFSETS[1:4]), atol=1e-6)


def test_a_run_on_a_subset_exports_the_frames_it_tracked(monkeypatch, tmp_path, run_folder, head) -> None:
    root = run_folder.parent
    source = write_run(tmp_path / "out", root, make_result(head).select([0, 2, 4]), subset="ts2")
    frames = export(monkeypatch, source, tmp_path / "E")
    assert [frame_shown(tmp_path / "E", frame) for frame in frames] == [0, 2, 4]
    assert [frame["timestep_index_original"] for frame in frames] == [0, 2, 4]
    frames = export(monkeypatch, source, tmp_path / "F", "--subset", "ti1")
    assert [frame_shown(tmp_path / "F", frame) for frame in frames] == [2]


def test_scale_factor_scales_pictures_and_intrinsics(monkeypatch, tmp_path, run_folder, head) -> None:
    (full, *_) = export(monkeypatch, run_folder, tmp_path / "A", "--subset", "ti0")
    (half, *_) = export(monkeypatch, run_folder, tmp_path / "B", "--subset", "ti0", "--scale_factor", "0.5")
    for key in ("w", "h", "fl_x", "fl_y", "cx", "cy"):
        assert half[key] == pytest.approx(full[key] / 2)
    assert half["camera_angle_x"] == pytest.approx(full["camera_angle_x"])
    assert read_rgb(tmp_path / "B", half).shape == (60, 80, 3)
    mask = cv2.imread(str(tmp_path / "B" / half["fg_mask_path"]), cv2.IMREAD_UNCHANGED) > 127
    drawn = head_drawn(head, tmp_path / "B", half)
    assert (drawn & mask)[:30].sum() / (drawn | mask)[:30].sum() > 0.93


def test_black_background_has_no_white_fringe(monkeypatch, tmp_path, run_folder) -> None:
    (frame, *_) = export(monkeypatch, run_folder, tmp_path / "E", "--subset", "ti0", "--background-color", "black")
    picture = read_rgb(tmp_path / "E", frame)
    assert picture[0, 0].tolist() == [0, 0, 0]
    assert picture[..., 2].max() <= 80


def test_epoch_is_appended_to_the_name(monkeypatch, tmp_path, run_folder) -> None:
    export(monkeypatch, run_folder, tmp_path / "E", "--epoch", "0", "--no_create_mask_from_mesh")
    assert not (tmp_path / "E").exists()
    assert len(frames_of(tmp_path / "E_epoch0")) == COUNT


def test_the_last_epoch_stands_for_one_that_was_not_needed(monkeypatch, tmp_path, run_folder, capsys) -> None:
    """Under the name that scripts go on with."""
    export(monkeypatch, run_folder, tmp_path / "E", "--epoch", "30", "--no_create_mask_from_mesh", "--subset", "ti0")
    assert len(frames_of(tmp_path / "E_epoch30")) == 1


def test_without_alpha_maps_the_mask_is_the_silhouette(monkeypatch, tmp_path, run_folder, head) -> None:
    folder = tmp_path / "person"
    folder.mkdir()
    (folder / "images").symlink_to(run_folder.parent / "person/images")
    source = write_run(tmp_path / "out", tmp_path, make_result(head))
    (frame, *_) = export(monkeypatch, source, tmp_path / "E", "--subset", "ti1")
    picture = read_rgb(tmp_path / "E", frame)
    assert picture[0, 0].tolist() == [255, 255, 255]
    assert frame_shown(tmp_path / "E", frame) == 1
    (frame, *_) = export(monkeypatch, source, tmp_path / "F", "--subset", "ti1", "--no-create_mask_from_mesh")
    np.testing.assert_array_equal(
        read_rgb(tmp_path / "F", frame), cv2.imread(str(folder / "images/000001.png"))[..., ::-1]
    )
    assert cv2.imread(str(tmp_path / "F" / frame["fg_mask_path"]), cv2.IMREAD_UNCHANGED).min() == 255


def test_bad_input_is_one_line_and_exit_status_2(monkeypatch, tmp_path, run_folder, head, capsys) -> None:
    other = write_run(tmp_path / "other", run_folder.parent, replace(make_result(head), head_model=np.array("flame:1")))
    (tmp_path / "file").write_text("mine")
    cases = [
        (tmp_path / "none", tmp_path / "E", [], "expected a tracking output folder"),
        (tmp_path, tmp_path / "E", [], "track first"),
        (run_folder, tmp_path / "E", ["--epoch", "7"], "found epochs [0]"),
        (run_folder, tmp_path / "file", [], "choose another folder"),
        (run_folder, tmp_path / "E", ["--subset", "x3"], "expected a subset of the forms"),
        (run_folder, tmp_path / "E", ["--subset", "ti9"], "expected indices from 0 to 4"),
        (run_folder, tmp_path / "E", ["--scale_factor", "2"], "for --scale_factor"),
        (run_folder, run_folder.parent / "person", [], "folder with other files"),
        (other, tmp_path / "E", [], "expected a result of the head builtin"),
    ]
    for source, target, options, message in cases:
        with pytest.raises(SystemExit) as stopped:
            export(monkeypatch, source, target, *options)
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
        assert stopped.value.code == 2
        assert len(lines) == 1
        assert message in lines[0]
    assert not (tmp_path / "E").exists()
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("script", ["export_as_nerf_dataset", "combine_nerf_datasets"])
def test_help_imports_no_torch(script: str) -> None:
    path = Path(export_as_nerf_dataset.__file__).with_name(f"{script}.py")
    watch = (
        f"import runpy, sys\nsys.argv = ['x', '--help']\ntry:\n    runpy.run_path({str(path)!r}, run_name='__main__')\n"
    )
    watch += "finally:\n    assert 'torch' not in sys.modules and 'numpy' not in sys.modules\n"
    done = subprocess.run([sys.executable, "-c", watch], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "-folder" in done.stdout
