"""Calibrated rigs, tracked as a user would: the head is found in the cameras' own world, whatever that is."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from rig_run import make_capture, track_config

from vhap.config.evaluate import EvaluateConfig
from vhap.config.track import PipelineConfig, TrackConfig
from vhap.data.results import load_result, newest_run, result_path
from vhap.pipeline import evaluate_tracking, track
from vhap.util.errors import InputError
from vhap.util.files import read_json, write_json

FACE_MM = 1.5


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("root")
    for layout in ("nersemble_v1", "multiview"):
        make_capture(folder, layout, landmark_noise_px=0.3)
    return folder


def few_steps(config: TrackConfig, steps: int = 1, **exp) -> TrackConfig:
    plan = PipelineConfig()
    counts = {f.name: {"num_epochs": steps} if "global" in f.name else {"num_steps": steps} for f in fields(plan)}
    counts["lmk_init_rigid"] = counts["lmk_init_all"] = {"num_steps": 20}
    stages = {name: replace(getattr(config.pipeline, name), **count) for name, count in counts.items()}
    return replace(config, pipeline=replace(config.pipeline, **stages), exp=replace(config.exp, **exp))


def errors_of(config: TrackConfig) -> dict:
    return read_json(evaluate_tracking.run(EvaluateConfig(config.exp.output_folder)))


def test_a_rig_of_the_dataset_is_tracked_in_its_own_world(root, tmp_path):
    config = few_steps(track_config(root, "nersemble_v1"), output_folder=tmp_path)
    track.run(config)
    values = errors_of(config)
    assert values["alignment"] == "none"
    assert values["face_vertex_error_mm_mean"] < FACE_MM
    assert values["psnr_face_db"] > 25
    result = load_result(result_path(newest_run(tmp_path)))
    assert result.focal_length is None
    assert result.T_tracked_given is not None


def test_a_rig_in_a_world_of_any_scale_is_tracked_in_metres_and_told_where_it_lies(root, tmp_path):
    config = few_steps(track_config(root, "multiview"), output_folder=tmp_path, photometric=False)
    track.run(config)
    values = errors_of(config)
    assert values["face_vertex_error_mm_mean"] < FACE_MM
    result = load_result(result_path(newest_run(tmp_path)))
    told = read_json(root / "multiview" / "EXP-1-head" / "ground_truth" / "cameras.json")["similarity"]["scale"]
    assert result.T_tracked_given is not None
    found = np.cbrt(np.linalg.det(result.T_tracked_given[:3, :3]))
    assert found * told == pytest.approx(1, abs=0.1), "a larger head or a larger unit: landmarks cannot tell"
    assert np.abs(result.rotation).max() < 1.2, "the mean head is upright in the tracked world"


def test_pictures_in_no_order_hold_each_other_by_the_person_only(root, tmp_path):
    config = few_steps(track_config(root, "multiview", unordered=True), output_folder=tmp_path, photometric=False)
    track.run(config)
    assert errors_of(config)["face_vertex_error_mm_mean"] < FACE_MM
    capture = track.open_capture(config)
    assert np.diff(track.times_of(config, capture).numpy()).min() > 1


def test_rotations_that_are_transposed_are_named_before_anything_is_tracked(root, tmp_path):
    config = few_steps(track_config(root, "multiview"), output_folder=tmp_path)
    path = next((root / "multiview").rglob("transforms.json"))
    right = read_json(path)
    wrong = {**right, "frames": [dict(frame) for frame in right["frames"]]}
    for frame in wrong["frames"]:
        matrix = np.array(frame["transform_matrix"])
        matrix[:3, :3] = matrix[:3, :3].T
        frame["transform_matrix"] = matrix.tolist()
    try:
        write_json(path, wrong)
        with pytest.raises(InputError, match="transposed"):
            track.run(config)
    finally:
        write_json(path, right)
    assert not list(tmp_path.glob("*/tracked_flame_params_*.npz"))
