"""Runs of rigs measured, and shown on their page: the truth has no errors."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from rig_run import CAMERAS, FRAMES, make_capture, run_of, track_config, write_true_run

from vhap import cli
from vhap.config.evaluate import EvaluateConfig
from vhap.config.report import ReportConfig
from vhap.data.results import load_result, newest_run, save_result
from vhap.pipeline import evaluate_tracking, report
from vhap.pipeline.evaluation_folder import write_evaluation_folder
from vhap.pipeline.open_run import open_run
from vhap.util.files import read_json

LAYOUTS = ("nersemble_v1", "multiview")
RECORDED = (*LAYOUTS, "nersemble_v2")


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("root")
    for layout in RECORDED:
        make_capture(folder, layout)
        write_true_run(track_config(folder, layout))
    return folder


def measured(run: Path) -> dict:
    return read_json(evaluate_tracking.run(EvaluateConfig(run)))


@pytest.mark.parametrize("layout", RECORDED)
def test_the_truth_has_no_errors(root, layout):
    values = measured(run_of(root, layout))
    assert values["alignment"] == "none"
    assert values["head_vertex_error_mm_mean"] < 0.001
    assert values["face_vertex_error_mm_p95"] < 0.01
    assert values["landmark_nme_percent"] < 0.01
    assert values["psnr_head_db"] > 30
    assert values["silhouette_iou"] > 0.99
    assert values["frames"] == FRAMES
    assert values["frames_lost"] == 0
    assert values["detected_fraction"] == 1
    assert values["jitter_mm"] == pytest.approx(values["jitter_mm_truth"], abs=0.02)
    assert values["gaze_error_deg_mean"] < 0.05
    assert values["focal_error_percent"] is None


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_shifted_head_is_off_by_the_shift_in_millimetres_of_the_head(root, layout, tmp_path):
    """Whatever the unit of the calibration, and without any alignment."""
    run = newest_run(run_of(root, layout))
    moved = tmp_path / "run"
    moved.mkdir()
    (moved / "config.yml").write_text((run / "config.yml").read_text())
    result = load_result(run / "tracked_flame_params_0.npz")
    save_result(
        moved / "tracked_flame_params_0.npz",
        replace(result, translation=result.translation + np.float32([0, 0.003, 0])),
    )
    values = measured(moved)
    assert values["head_vertex_error_mm_mean"] == pytest.approx(3, abs=0.01)
    assert values["face_vertex_error_mm_p95"] == pytest.approx(3, abs=0.01)
    assert values["landmark_nme_percent"] > 1


def test_pictures_in_no_order_do_not_jitter(root):
    config = track_config(root, "multiview", unordered=True)
    run = write_true_run(replace(config, exp=replace(config.exp, output_folder=root / "out" / "unordered")))
    assert measured(run)["jitter_mm"] is None


@pytest.mark.parametrize("layout", LAYOUTS)
def test_all_cameras_count(root, layout):
    """A picture of one camera that is spoilt lowers the figures of the whole."""
    run = newest_run(run_of(root, layout))
    scene = open_run(run)
    path = scene.capture.image_paths[CAMERAS - 1][1]
    kept, before = path.read_bytes(), measured(run)
    try:
        cv2.imwrite(str(path), 255 - cv2.imread(str(path)))
        after = measured(run)
    finally:
        path.write_bytes(kept)
    assert after["psnr_head_db"] < before["psnr_head_db"] - 3
    drops = np.subtract(before["per_frame"]["psnr_head_db"], after["per_frame"]["psnr_head_db"])
    assert drops[1] > 3
    assert drops[[0, 2]] == pytest.approx(0, abs=1e-6)
    names = list(scene.capture.camera_ids)
    assert after["per_camera"]["camera_id"] == names
    by_camera = np.subtract(before["per_camera"]["psnr_head_db"], after["per_camera"]["psnr_head_db"])
    assert by_camera[-1] > 3
    assert by_camera[:-1] == pytest.approx(0, abs=1e-6)
    assert after["worst_cameras"]["psnr_head_db"][0] == names[-1]
    assert after["worst_cameras"]["psnr_face_db"][0] == names[-1]


def test_the_command_prints_a_line_for_each_camera(root, capsys):
    cli.main(["evaluate-tracking", "--run", str(run_of(root, "multiview"))])
    said = capsys.readouterr().out
    scene = open_run(run_of(root, "multiview"))
    first = [line.split()[0] for line in said.splitlines() if line]
    assert [word for word in first if word in scene.capture.camera_ids] == list(scene.capture.camera_ids)
    assert "Worst cameras: " in said
    assert '"per_camera"' not in said


@pytest.mark.parametrize(("front", "expected"), [(0, [0, 2]), (2, [1, 2, 3]), (3, [1, 3])])
def test_the_front_and_one_camera_of_either_side_are_shown(root, front, expected):
    """Front is where the head looks, from the left to the right of who faces it."""
    scene = open_run(run_of(root, "nersemble_v1"))
    azimuths = [float(np.arctan2(*scene.camera(view).centre()[[0, 2]])) for view in range(CAMERAS)]
    assert azimuths == sorted(azimuths)
    still = np.zeros_like(scene.result.rotation)
    rotation = still + np.float32([0, azimuths[front], 0])
    turned = replace(scene, result=replace(scene.result, rotation=rotation, neck_pose=still))
    assert turned.shown_views() == expected


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_page_shows_several_cameras(root, layout):
    page = report.run(ReportConfig(run_of(root, layout)))
    text = page.read_text()
    values = read_json(page.parent / "evaluation.json")
    cells = [f"<td>{name}</td><td>1</td>" for name in values["per_camera"]["camera_id"]]
    assert all(cell in text for cell in cells)
    assert "<h2>Cameras</h2>" in text
    assert f"Worst cameras: landmark_nme_percent {values['worst_cameras']['landmark_nme_percent'][0]}" in text
    video = cv2.VideoCapture(str(page.parent / "overlay.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == FRAMES
    assert abs(video.get(cv2.CAP_PROP_FRAME_WIDTH) - 3 * 110) < 12
    assert abs(video.get(cv2.CAP_PROP_FRAME_HEIGHT) - 2 * 160) < 8


def test_grids_of_pictures_hold_three_cameras(root):
    folder = write_evaluation_folder(open_run(run_of(root, "multiview"))) / "image_grid"
    grid = cv2.imread(str(folder / "frame_00000.jpg"))
    assert grid.shape[1] == pytest.approx(6 * 110, abs=24)
    assert grid.shape[0] == pytest.approx(4 * 160, abs=16)
    assert len(list(folder.iterdir())) == FRAMES
