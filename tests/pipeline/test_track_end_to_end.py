"""A rendered person through capture, tracking and evaluation, as users call them."""

import math
import re
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from vhap.config.data import DataConfig
from vhap.config.evaluate import EvaluateConfig
from vhap.config.loading import load_config
from vhap.config.synthetic import SyntheticConfig
from vhap.config.track import ExperimentConfig, LogConfig, ModelConfig, PipelineConfig, TrackConfig
from vhap.data.results import load_result
from vhap.fit.texture import resize_texture
from vhap.head.load import load_head
from vhap.pipeline import evaluate_tracking, track
from vhap.pipeline.make_synthetic_capture import run as make_capture
from vhap.util.files import read_json, read_npz

FRAMES, SIZE, TEXTURE, ESTIMATED = 6, 128, 128, 256
RESULT = "tracked_flame_params_{}.npz"
METRICS = [
    "frames",
    "frames_lost",
    "detected_fraction",
    "landmark_nme_percent",
    "psnr_head_db",
    "psnr_face_db",
    "silhouette_iou",
    "jitter_mm",
    "face_vertex_error_mm_mean",
    "face_vertex_error_mm_p95",
    "head_vertex_error_mm_mean",
    "head_vertex_error_mm_p95",
    "alignment",
    "focal_error_percent",
]
STAGES = [
    "lmk_init_rigid",
    "lmk_init_all",
    "rgb_init_texture",
    "rgb_init_all",
    "rgb_init_offset",
    "rgb_sequential_tracking",
    "rgb_global_tracking",
]


@pytest.fixture(scope="module")
def capture(tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("root") / "clip"
    settings = SyntheticConfig(
        output, frames=FRAMES, size=SIZE, image_format="png", landmark_source="face-alignment", supersampling=1
    )
    return make_capture(settings)


def options(capture: Path, output: Path, photometric: bool = True, **data) -> TrackConfig:
    plan = PipelineConfig()
    counts = {f.name: {"num_epochs": 1} if "global" in f.name else {"num_steps": 6} for f in fields(plan)}
    return TrackConfig(
        data=DataConfig(capture.parent, capture.name, landmark_source="face-alignment", **data),
        exp=ExperimentConfig(output, photometric=photometric),
        model=ModelConfig(head="builtin", tex_resolution=TEXTURE),
        log=LogConfig(interval_scalar=1, interval_media=5),
        pipeline=replace(plan, **{name: replace(getattr(plan, name), **c) for name, c in counts.items()}),
        device="cpu",
    )


@pytest.fixture(scope="module")
def tracked(capture, tmp_path_factory) -> tuple[TrackConfig, Path]:
    config = options(capture, tmp_path_factory.mktemp("output"))
    config = replace(config, model=replace(config.model, tex_resolution=2 * ESTIMATED))
    return config, track.run(config)


@pytest.fixture(scope="module")
def metrics(tracked) -> dict:
    return read_json(evaluate_tracking.run(EvaluateConfig(tracked[1])))


def test_run_folder_holds_what_users_look_for(tracked):
    config, folder = tracked
    assert folder.parent == config.exp.output_folder
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d(_\d+)?", folder.name)
    assert load_config(folder / "config.yml", TrackConfig) == config
    found = read_json(folder / "versions.json")
    assert {"torch", "warp-lang", "numpy", "python"} <= found.keys()
    seconds = read_json(folder / "seconds.json")
    assert set(STAGES) <= seconds.keys()
    assert all(value >= 0 for value in seconds.values())
    assert list(folder.glob("events.out.tfevents.*"))
    assert list((folder / "train").glob("*.jpg"))
    said = (folder / "log.txt").read_text()
    assert "initialisation on frames" in said
    assert all(stage in said for stage in STAGES)
    assert not list(folder.rglob(".tmp_*"))


def test_results_have_the_arrays_that_downstream_readers_expect(tracked):
    folder, head = tracked[1], load_head("builtin")
    shapes = {
        "rotation": (FRAMES, 3),
        "translation": (FRAMES, 3),
        "neck_pose": (FRAMES, 3),
        "jaw_pose": (FRAMES, 3),
        "eyes_pose": (FRAMES, 6),
        "expr": (FRAMES, head.n_expr),
        "shape": (head.n_shape,),
        "timestep_id": (FRAMES,),
        "timestep_index": (FRAMES,),
        "n_processed_frames": (),
        "image_size": (2,),
        "focal_length": (1,),
        "lights": (9, 3),
        "albedo": (3, ESTIMATED, ESTIMATED),
        "tex_extra": (3, ESTIMATED, ESTIMATED),
    }
    for epoch in (0, 1):
        arrays = read_npz(folder / RESULT.format(epoch))
        assert {name: arrays[name].shape for name in shapes} == shapes
        assert str(arrays["head_model"]) == head.identity
        assert arrays["timestep_id"].tolist() == [f"{index:06d}" for index in range(FRAMES)]
        assert arrays["timestep_index"].tolist() == list(range(FRAMES))
        assert int(arrays["n_processed_frames"]) == FRAMES
        assert arrays["image_size"].tolist() == [SIZE, SIZE]
        assert all(np.isfinite(value).all() for value in arrays.values() if value.dtype.kind == "f")
        assert 0 <= arrays["albedo"].min() < arrays["albedo"].max() <= 1
        base = resize_texture(head.base_texture[None], ESTIMATED)[0].permute(2, 0, 1).numpy()
        np.testing.assert_allclose(base + arrays["tex_extra"], arrays["albedo"], atol=1e-6)
        assert arrays["lost_reason"].tolist() == [[""]] * FRAMES
        assert arrays["camera_id"].tolist() == ["0"]
        assert int(arrays["format_version"]) == 2
    assert not (folder / RESULT.format(2)).exists()


def test_tensorboard_has_the_losses(tracked):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tracked[1]))
    events.Reload()
    names = events.Tags()["scalars"]
    assert {"loss/total", "params/focal_length"} <= set(names)
    assert all(math.isfinite(point.value) for name in names for point in events.Scalars(name))


def test_evaluation_has_every_measure_and_the_head_is_found(metrics):
    assert metrics.keys() >= set(METRICS)
    assert metrics["frames"] == FRAMES
    assert metrics["frames_lost"] == 0
    assert metrics["detected_fraction"] == 1
    assert metrics["alignment"] == "similarity"
    assert metrics["landmark_nme_percent"] < 3
    assert metrics["psnr_face_db"] > 20
    assert metrics["silhouette_iou"] > 0.85
    assert metrics["face_vertex_error_mm_mean"] < 5
    assert metrics["face_vertex_error_mm_mean"] <= metrics["face_vertex_error_mm_p95"]
    assert metrics["focal_error_percent"] < 30


def test_known_intrinsics_need_no_focal_length_and_no_alignment(capture, tmp_path):
    truth = load_result(capture / "ground_truth" / RESULT.format(0))
    assert truth.focal_length is not None
    folder = track.run(options(capture, tmp_path, fx=float(truth.focal_length[0]) * SIZE))
    assert "focal_length" not in read_npz(folder / RESULT.format(1))
    values = read_json(evaluate_tracking.run(EvaluateConfig(folder)))
    assert values["alignment"] == "none"
    assert values["focal_error_percent"] is None
    assert values["landmark_nme_percent"] < 3
    assert values["head_vertex_error_mm_mean"] < 25


def test_landmarks_alone_need_no_pictures_and_write_no_texture(capture, tmp_path):
    folder = track.run(options(capture, tmp_path, photometric=False, subset="ti1tj4"))
    arrays = read_npz(folder / RESULT.format(1))
    assert not {"tex_extra", "albedo"} & arrays.keys()
    assert "lights" not in arrays
    assert arrays["timestep_index"].tolist() == [1, 2, 3, 4]
    assert arrays["timestep_id"].tolist() == [f"{index:06d}" for index in range(1, 5)]
    assert {"lmk_sequential_tracking", "lmk_global_tracking"} <= read_json(folder / "seconds.json").keys()
    values = read_json(evaluate_tracking.run(EvaluateConfig(folder)))
    assert values["frames"] == 4
    assert values["landmark_nme_percent"] < 3


def test_equal_options_and_seed_give_equal_results(capture, tmp_path):
    config = options(capture, tmp_path, subset="ti0tj2")
    first, second = (read_npz(track.run(config) / RESULT.format(1)) for _ in range(2))
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)


def test_dry_run_writes_nothing(capture, tmp_path, capsys):
    before = sorted(capture.rglob("*"))
    track.run(replace(options(capture, tmp_path / "out"), dry_run=True))
    assert sorted(capture.rglob("*")) == before
    assert not (tmp_path / "out").exists()
    said = capsys.readouterr().out
    assert f"{FRAMES} frames of {SIZE} x {SIZE}" in said
    assert all(stage in said for stage in STAGES)
