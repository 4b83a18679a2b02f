import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vhap.config.data import DataConfig
from vhap.config.evaluate import EvaluateConfig
from vhap.config.loading import save_config
from vhap.config.synthetic import SyntheticConfig
from vhap.config.track import ExperimentConfig, ModelConfig, TrackConfig
from vhap.data.results import TrackResult, load_result, newest_run, save_result
from vhap.evaluate.evaluation_file import read_evaluation
from vhap.evaluate.run_scene import result_head_params
from vhap.head.load import load_head
from vhap.head.model import pose
from vhap.pipeline.evaluate_tracking import clip_values, known_evaluation, run
from vhap.pipeline.make_synthetic_capture import run as make_capture
from vhap.util.errors import InputError
from vhap.util.files import read_json

FRAMES, SIZE = 5, 128
RESULT = "tracked_flame_params_0.npz"


@pytest.fixture(scope="module")
def capture(tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("root") / "clip"
    return make_capture(
        SyntheticConfig(output, frames=FRAMES, size=SIZE, image_format="png", landmark_source="face-alignment")
    )


def write_run(folder: Path, capture: Path, result: TrackResult) -> Path:
    data = DataConfig(capture.parent, capture.name, landmark_source="face-alignment", background_color=None)
    config = TrackConfig(data, ExperimentConfig(folder), ModelConfig(head="builtin"))
    save_config(folder / "2024-01-01_00-00-00" / "config.yml", config)
    save_result(folder / "2024-01-01_00-00-00" / RESULT, result)
    return folder


@pytest.fixture
def true_result(capture) -> TrackResult:
    return load_result(capture / "ground_truth" / RESULT)


def evaluate(folder: Path, truth: Path | None = None) -> dict:
    return read_json(run(EvaluateConfig(folder, truth)))


def test_the_truth_itself_has_no_error(capture, true_result, tmp_path):
    values = evaluate(write_run(tmp_path, capture, true_result))
    assert values["frames"] == FRAMES
    assert values["frames_lost"] == 0
    assert values["detected_fraction"] == 1
    assert values["landmark_nme_percent"] < 1e-3
    assert values["psnr_head_db"] > 32
    assert values["psnr_face_db"] > 32
    assert values["silhouette_iou"] > 0.97
    assert values["alignment"] == "similarity"
    assert values["head_vertex_error_mm_mean"] < 1e-3
    assert values["face_vertex_error_mm_p95"] < 0.01
    assert values["focal_error_percent"] == 0
    assert values["jitter_mm"] == values["jitter_mm_truth"] > 0
    assert values["lid_gap_error"] < 1e-4
    assert values["mouth_gap_error"] < 1e-4
    assert values["gaze_error_deg_mean"] < 0.01
    assert values["teeth_outside_mm"] is None


def test_errors_are_seen_by_the_measure_that_should_see_them(capture, true_result, tmp_path):
    plain = evaluate(write_run(tmp_path / "plain", capture, true_result))
    dark = replace(true_result, lights=true_result.lights * 0.7)
    darker = evaluate(write_run(tmp_path / "dark", capture, dark))
    assert darker["psnr_face_db"] < plain["psnr_face_db"] - 5
    assert darker["landmark_nme_percent"] == plain["landmark_nme_percent"]
    shape = true_result.shape.copy()
    shape[:6] += 2
    other = evaluate(write_run(tmp_path / "shape", capture, replace(true_result, shape=shape)))
    assert other["head_vertex_error_mm_mean"] > 0.5
    assert other["landmark_nme_percent"] > 0.5
    focal = evaluate(
        write_run(tmp_path / "focal", capture, replace(true_result, focal_length=true_result.focal_length * 1.05))
    )
    assert focal["focal_error_percent"] == pytest.approx(5, abs=0.01)
    assert focal["head_vertex_error_mm_mean"] < 1e-3
    shaken = true_result.translation.copy()
    shaken[::2, 0] += 0.002
    shaky = evaluate(write_run(tmp_path / "shaky", capture, replace(true_result, translation=shaken)))
    assert shaky["jitter_mm"] > 3
    assert shaky["jitter_mm_truth"] == plain["jitter_mm_truth"]


def test_eyes_and_mouth_are_compared_in_head_space(capture, true_result, tmp_path):
    rotation = true_result.rotation + np.float32([0.1, 0.2, 0])
    eyes = true_result.eyes_pose.copy()
    eyes[:, 4] += np.float32(np.radians(10))
    gaze = evaluate(write_run(tmp_path / "gaze", capture, replace(true_result, rotation=rotation, eyes_pose=eyes)))
    assert gaze["gaze_error_deg_mean"] == pytest.approx(5, abs=0.2)
    assert gaze["lid_gap_error"] < 1e-3
    jaw = true_result.jaw_pose + np.float32([0.1, 0, 0])
    mouth = evaluate(write_run(tmp_path / "mouth", capture, replace(true_result, jaw_pose=jaw)))
    assert mouth["mouth_gap_error"] > 0.1
    assert mouth["lid_gap_error"] < 1e-3


def test_lids_are_measured_where_the_truth_closes_them(capture, true_result, tmp_path):
    blinks = [index for index, name in enumerate(load_head("builtin").expr_names) if name.startswith("eyeBlink")]
    mine = tmp_path / "root" / "clip"
    shutil.copytree(capture, mine)
    truth_file, vertices_file = mine / "ground_truth" / RESULT, mine / "ground_truth" / "vertices.npy"
    expr = true_result.expr.copy()
    expr[:, blinks] = 0
    expr[1, blinks] = 1
    closed = replace(true_result, expr=expr)
    save_result(truth_file, closed)
    head = load_head("builtin")
    np.save(vertices_file, pose(head, result_head_params(closed, list(range(FRAMES)))).numpy())
    ajar = expr.copy()
    ajar[1, blinks] = 0.5
    exact = evaluate(write_run(tmp_path / "exact", mine, closed))
    short = evaluate(write_run(tmp_path / "short", mine, replace(closed, expr=ajar)))
    assert abs(exact["closed_lid_gap"]) < 0.02
    assert short["closed_lid_gap"] > 0.1
    assert short["lid_gap_error"] == pytest.approx(
        (short["closed_lid_gap"] - exact["closed_lid_gap"]) / FRAMES, abs=1e-3
    )
    wide = replace(closed, expr=np.where(np.isin(np.arange(expr.shape[1]), blinks), 0, expr).astype(np.float32))
    save_result(truth_file, wide)
    np.save(vertices_file, pose(head, result_head_params(wide, list(range(FRAMES)))).numpy())
    assert evaluate(write_run(tmp_path / "open", mine, wide))["closed_lid_gap"] is None


def test_one_similarity_of_the_whole_clip_is_taken_out(capture, true_result, tmp_path):
    moved = replace(true_result, translation=true_result.translation + np.float32([0.01, -0.02, 0.03]))
    values = evaluate(write_run(tmp_path, capture, moved))
    assert values["head_vertex_error_mm_mean"] < 0.01
    assert values["landmark_nme_percent"] > 5


def test_missing_and_lost_frames_are_counted(capture, true_result, tmp_path):
    partial = true_result.select([0, 1, 3])
    translation = partial.translation.copy()
    translation[1, 0] += 0.05
    values = evaluate(write_run(tmp_path, capture, replace(partial, translation=translation)))
    assert values["frames_lost"] == 3
    assert values["jitter_mm"] > 1
    assert values["per_frame"]["lost"] == [False, True, False]
    assert values["per_frame"]["timestep_id"] == partial.timestep_id.tolist()


def test_values_of_frames_belong_to_the_values_of_the_clip(capture, true_result, tmp_path):
    translation = true_result.translation.copy()
    translation[3, 0] += 0.004
    values = evaluate(write_run(tmp_path, capture, replace(true_result, translation=translation)))
    frames = values["per_frame"]
    assert {len(entries) for entries in frames.values()} == {FRAMES}
    errors = frames["landmark_nme_percent"]
    assert np.argmax(errors) == 3
    assert values["landmark_nme_percent"] == pytest.approx(np.mean(errors))
    for region in ("head", "face"):
        psnr = frames[f"psnr_{region}_db"]
        assert np.argmin(psnr) == 3
        assert min(psnr) < values[f"psnr_{region}_db"] < max(psnr)


def test_an_evaluation_is_known_where_it_fits(capture, true_result, tmp_path):
    folder, names = newest_run(write_run(tmp_path, capture, true_result)), true_result.timestep_id.tolist()
    path = folder / "evaluation.json"
    assert known_evaluation(folder, 0, names) is None
    made = evaluate(folder)
    assert known_evaluation(folder, 0, names) == made
    assert known_evaluation(folder, 10, names) is None
    assert known_evaluation(folder, 0, names[1:]) is None
    path.write_text(json.dumps(clip_values(made)))
    assert known_evaluation(folder, 0, names) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"epoch": 1},
        {"epoch": "0"},
        {"per_frame": {}},
        {"per_frame": {"lost": [False]}},
        {"per_frame": {"psnr_head_db": ["high"] * FRAMES}},
        {"per_frame": {"more": 3}},
        {"per_frame": {"timestep_id": ["a"] * FRAMES}},
        {"per_camera": {"silhouette_iou": [0.5, 0.5]}},
        {"per_camera": {"more": [[1]]}},
        {"worst_cameras": {"psnr_head_db": [3]}},
        {"jitter_mm": [1]},
    ],
)
def test_a_damaged_evaluation_is_refused(tmp_path, changes):
    frames = dict.fromkeys(("landmark_nme_percent", "psnr_head_db", "psnr_face_db"), [1.0] * FRAMES)
    frames |= {"timestep_id": [str(k) for k in range(FRAMES)], "lost": [False] * FRAMES, "shows_nothing": [""] * FRAMES}
    numbers = ("detected_fraction", "landmark_nme_percent", "psnr_head_db", "psnr_face_db", "silhouette_iou")
    cameras = {"camera_id": ["0"], **{name: [None] for name in numbers}}
    sound = {"epoch": 0, "jitter_mm": None, "per_frame": frames, "per_camera": cameras, "worst_cameras": {}}
    path = tmp_path / "evaluation.json"
    path.write_text(json.dumps(sound))
    assert read_evaluation(path, 0, frames["timestep_id"]) == sound
    merged = {
        name: {**sound[name], **value} if isinstance(value, dict) and value else value
        for name, value in changes.items()
    }
    path.write_text(json.dumps({**sound, **merged}))
    with pytest.raises(InputError, match=r"evaluation\.json"):
        read_evaluation(path, 0, frames["timestep_id"])


def test_nothing_to_measure_is_null(capture, true_result, tmp_path):
    values = evaluate(write_run(tmp_path, capture, true_result.select([2])))
    assert values["jitter_mm"] is None


def test_truth_can_be_named_and_must_exist(capture, true_result, tmp_path):
    folder = write_run(tmp_path / "run", capture, true_result)
    assert evaluate(folder, capture / "ground_truth") == evaluate(folder, capture) == evaluate(folder)
    with pytest.raises(InputError, match="ground truth"):
        run(EvaluateConfig(folder, tmp_path))


@pytest.mark.parametrize("damage", ["cut", "objects", "frames", "nothing"])
def test_a_damaged_truth_is_one_line(capture, true_result, tmp_path, damage):
    mine = tmp_path / "root" / "clip"
    shutil.copytree(capture, mine)
    vertices = mine / "ground_truth" / "vertices.npy"
    if damage == "cut":
        vertices.write_bytes(vertices.read_bytes()[:500])
    elif damage == "objects":
        np.save(vertices, np.array({"a": 1}, dtype=object), allow_pickle=True)
    elif damage == "frames":
        np.save(vertices, np.load(vertices)[:-1])
    else:
        vertices.write_bytes(b"")
    with pytest.raises(InputError, match=r"vertices\.npy|in .*npy, found"):
        run(EvaluateConfig(write_run(tmp_path / "run", mine, true_result)))


def test_a_result_of_another_head_is_refused(capture, true_result, tmp_path):
    other = replace(true_result, head_model=np.array("flame:0123456789abcdef"))
    with pytest.raises(InputError, match="expected a result of the head builtin"):
        run(EvaluateConfig(write_run(tmp_path, capture, other)))


def test_a_truth_of_another_head_is_refused_where_named_and_passed_over_where_found(capture, true_result, tmp_path):
    mine = tmp_path / "root" / "clip"
    shutil.copytree(capture, mine)
    truth = mine / "ground_truth" / RESULT
    save_result(truth, replace(true_result, head_model=np.array("flame:0123456789abcdef")))
    folder = write_run(tmp_path / "run", mine, true_result)
    assert "head_vertex_error_mm_mean" not in evaluate(folder)
    with pytest.raises(InputError, match="truth of the head"):
        run(EvaluateConfig(folder, mine))
