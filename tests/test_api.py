"""The library: the chain in a few calls, and a finished run opened again."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from vhap import api
from vhap.api import InputError, ProgressEvent
from vhap.config.export import ExportConfig
from vhap.config.track import ModelConfig
from vhap.util.log import get_logger

FRAMES, SIZE = 3, 96
OPTIONS = {"head": "builtin", "photometric": False, "report": False, "max_eval_frames": 0}


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return api.make_synthetic_capture(tmp_path_factory.mktemp("api") / "film", frames=FRAMES, size=SIZE)


@pytest.fixture(scope="module")
def run(film: Path) -> Path:
    return api.track(film, output_folder=film.parent / "runs", **OPTIONS)


@pytest.fixture(autouse=True)
def no_command_has_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log as a program finds it: commands that other tests ran in this process have sent it to stderr."""
    monkeypatch.setattr(get_logger(), "handlers", [])
    monkeypatch.setattr(get_logger(), "propagate", True)


def test_importing_loads_no_large_library() -> None:
    program = (
        "import sys, os; before = dict(os.environ)\nimport vhap, vhap.api\n"
        "large = {'torch', 'cv2', 'mediapipe', 'scipy', 'warp', 'trimesh', 'tyro', 'matplotlib'} & set(sys.modules)\n"
        "assert not large, large\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-500:]


@pytest.mark.parametrize("name", api.__all__)
def test_all_that_is_public_is_there_and_documented(name: str) -> None:
    assert getattr(api, name).__doc__


def test_a_run_has_the_truth_of_its_film(film: Path, run: Path) -> None:
    opened = api.open_run(run)
    assert (len(opened), opened.cameras, opened.timesteps[0]) == (FRAMES, ("0",), "000000")
    values = api.evaluate(run)
    assert values["face_vertex_error_mm_mean"] < 3
    assert json.loads((run / "evaluation.json").read_text())["frames"] == FRAMES
    vertices = opened.vertices(1)
    assert vertices.shape == (opened.head.n_vertices, 3)
    assert torch.equal(vertices, opened.vertices("000001"))
    assert torch.equal(opened.vertices(-1), opened.vertices(FRAMES - 1))
    assert not torch.equal(vertices, opened.vertices(0))


def test_keywords_that_were_removed_are_named_once_in_the_log_of_the_run(
    film: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = api.track(film, output_folder=tmp_path, n_tex=100, w={"blur_iter": 2}, **OPTIONS)
    for said in (caplog.text, (run / "log.txt").read_text(encoding="utf-8")):
        assert said.count("n_tex=100 has no effect: ") == said.count("blur_iter=2 has no effect: ") == 1
    caplog.clear()
    api.open_capture(film, camera_convention_conversion="opencv->opengl")
    api.load_head("builtin", tex_extra=False)
    assert [line.partition(" has no")[0] for line in caplog.messages] == [
        "camera_convention_conversion='opencv->opengl'",
        "tex_extra=False",
    ]


def test_a_rendering_covers_the_head_of_the_picture(run: Path) -> None:
    opened = api.open_run(run)
    made, picture = opened.render(0), opened.picture(0)
    assert made.shape == (SIZE, SIZE, 4)
    assert bool(((made >= 0) & (made <= 1)).all())
    assert picture.alpha is not None
    head, matte = made[..., 3] > 0.5, picture.alpha[0] > 0.5
    assert float((head & matte).sum() / (head | matte).sum()) > 0.9
    over = opened.render(0, background=torch.full((SIZE, SIZE, 3), 0.25))
    assert torch.allclose(over[0, 0, :3], torch.tensor(0.25))
    assert torch.allclose(over[head & (made[..., 3] == 1)], made[head & (made[..., 3] == 1)], atol=1e-5)


def test_a_rendering_is_differentiable_in_parameters(run: Path) -> None:
    opened = api.open_run(run)
    start = opened.parameters(0)
    translation = start.translation.clone().requires_grad_()
    made = opened.render(0, parameters=dataclasses.replace(start, translation=translation))
    # Coverage lies further right in the picture when the head moves towards +x.
    columns = torch.arange(SIZE, dtype=torch.float32)
    ((made[..., 3] * columns).sum() / made[..., 3].sum()).backward()
    assert translation.grad is not None
    assert float(translation.grad[0]) > 0


@pytest.mark.parametrize("t", [FRAMES, -FRAMES - 1, "frame"])
def test_a_timestep_that_is_not_there(run: Path, t: int | str) -> None:
    with pytest.raises(InputError, match="expected a timestep"):
        api.open_run(run).vertices(t)


@pytest.mark.parametrize("camera", [1, -2, "left", 0.5])
def test_a_camera_that_is_not_there(run: Path, camera: object) -> None:
    opened = api.open_run(run)
    for look in (opened.picture, opened.render, opened.camera):
        with pytest.raises(InputError, match="expected a camera"):
            look(0, camera)  # pyright: ignore[reportArgumentType, reportCallIssue]
    assert opened.picture(0, "0").rgb.shape == (1, SIZE, SIZE, 3)


def test_a_background_of_another_size_and_a_device_that_is_none(run: Path) -> None:
    with pytest.raises(InputError, match="expected a background of 96 x 96 x 3"):
        api.open_run(run).render(0, background=torch.zeros(2, 2, 3))
    with pytest.raises(InputError, match="expected a device"):
        api.open_run(run, device="tpu")  # pyright: ignore[reportArgumentType]


def test_what_is_given_twice_or_of_another_kind_is_refused(film: Path, run: Path, tmp_path: Path) -> None:
    target = tmp_path / "one"
    for words, call in (
        ("sequence once", lambda: api.track(film, sequence="other")),
        ("tgt_folder once", lambda: api.export(run, target, tgt_folder=tmp_path)),
        ("list of them", lambda: api.combine("anna", target)),
        ("found both", lambda: api.export(ExportConfig(run, target), tmp_path)),
        ("expected a video or the folder of a recording", lambda: api.track(film.with_name("fi"), kind="video")),
        ("n_expr", lambda: api.load_head("builtin", n_expr=-1)),
        ("expected known options at w", lambda: api.track(film, w=ModelConfig())),
    ):
        with pytest.raises(InputError, match=words):
            call()
    assert not target.exists()


def test_a_recording_that_has_gone_is_not_replaced_by_another(film: Path, tmp_path: Path) -> None:
    """Of which its name is the beginning."""
    folder = tmp_path / "anna"
    shutil.copytree(film, folder)
    done = api.track(folder, output_folder=tmp_path / "out", **OPTIONS)
    folder.rename(tmp_path / "anna_second_take")
    with pytest.raises(InputError, match="expected the recording of"):
        api.open_run(done)


def test_a_stopped_run_is_opened_with_a_warning(film: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Enough(Exception):
        pass

    def stop(event: ProgressEvent) -> None:
        if event.description == "lmk_global_tracking":
            raise Enough

    with pytest.raises(Enough):
        api.track(film, output_folder=tmp_path, progress=stop, **OPTIONS)
    with caplog.at_level("WARNING", "vhap"):
        assert len(api.open_run(tmp_path)) == FRAMES
    assert "unfinished: its result of epoch 0 counts" in caplog.text


def test_export_by_keywords_and_by_a_config_are_the_same(run: Path, tmp_path: Path) -> None:
    one = api.export(run, tmp_path / "one", subset="ti0")
    other = api.export(ExportConfig(run, tmp_path / "other", subset="ti0"))
    assert (one, other) == (tmp_path / "one", tmp_path / "other")
    for path in one.rglob("*.json"):
        assert path.read_bytes() == (other / path.relative_to(one)).read_bytes()
    halves = [api.export(run, tmp_path / f"anna_{name}", subset=name) for name in ("ti0", "ti1")]
    union = api.combine(halves, tmp_path / "anna_union", division_mode="none")
    assert len(json.loads((union / "transforms_train.json").read_text())["frames"]) == 2


def test_a_config_and_single_options_are_not_mixed(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found both"):
        api.export(ExportConfig(tmp_path, tmp_path), subset="ti0")


def test_captures_are_read_by_what_lies_there(film: Path, tmp_path: Path) -> None:
    capture = api.open_capture(film)
    assert (len(capture.timestep_ids), capture.size) == (FRAMES, (SIZE, SIZE))
    assert capture.load([0]).rgb.shape == (1, SIZE, SIZE, 3)
    assert api.open_capture(film, use_landmark=True).load_landmarks()[0].shape[:2] == (FRAMES, 1)
    rig = api.make_synthetic_capture(tmp_path / "rig", layout="multiview", frames=1, cameras=3, width=64, height=64)
    opened = api.open_capture(rig)
    assert len(opened.camera_ids) == 3
    assert opened.given_camera() is not None
    with pytest.raises(InputError, match="preprocess the video first"):
        api.open_capture(tmp_path)
    with pytest.raises(InputError, match="kind of recording"):
        api.open_capture(film, kind="film")  # pyright: ignore[reportArgumentType]


def test_progress_reaches_the_callback_alone_and_may_end_the_work(
    film: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events: list[ProgressEvent] = []
    folder = api.track(film, output_folder=tmp_path, progress=events.append, **OPTIONS)
    assert {event.description for event in events} >= {"lmk_global_tracking"}
    assert all(event.total is None or 0 <= event.done <= event.total for event in events)
    assert capsys.readouterr().err == ""

    class Enough(Exception):
        pass

    def stop(event: ProgressEvent) -> None:
        raise Enough

    with pytest.raises(Enough):
        api.track(film, output_folder=tmp_path / "stopped", progress=stop, **OPTIONS)
    again = api.track(film, output_folder=tmp_path / "stopped", **OPTIONS)
    with (
        np.load(folder / "tracked_flame_params_30.npz") as one,
        np.load(again / "tracked_flame_params_30.npz") as other,
    ):
        assert all(np.array_equal(one[name], other[name]) for name in one.files)


def test_tracking_leaves_the_process_as_it_was(film: Path, tmp_path: Path) -> None:
    def state() -> tuple:
        threads = (torch.get_num_threads(), threading.active_count())
        return random.getstate(), torch.get_rng_state().tolist(), threads, dict(os.environ), os.getcwd()

    before = state()
    api.track(film, output_folder=tmp_path, **OPTIONS)
    assert state() == before


def test_a_head_by_name() -> None:
    assert api.load_head("builtin", n_expr=7).n_expr == 7
    with pytest.raises(InputError, match="at head, found 'smpl'"):
        api.load_head("smpl")
