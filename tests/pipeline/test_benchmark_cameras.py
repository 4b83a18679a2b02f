"""`vhap benchmark cameras`: a picture of a participant's cameras, and what it says where files are missing."""

import importlib.util
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from vhap.config.benchmark import CamerasConfig
from vhap.data.pictures import read_rgb
from vhap.evaluate.rig_scene import HELD_OUT_RGB
from vhap.nersemble.benchmark import constants
from vhap.nersemble_benchmark import main
from vhap.pipeline.benchmark_cameras import read_scene, run
from vhap.util.errors import InputError
from vhap.util.files import read_json, write_json

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "nersemble"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "head"))
import flame_files
import small_benchmark

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("benchmark")
    small_benchmark.make_nvs(root)
    small_benchmark.make_mono(root, 461, ("EXP-1-head",), ("FREE",))
    return root


@pytest.fixture
def folder(whole, tmp_path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


@pytest.fixture
def log(caplog):
    logger = logging.getLogger("vhap")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def cloud(folder: Path) -> Path:
    return folder / "nvs/388/sequences/GLASSES/pointclouds/frame_00000.pcd"


def near(drawn: np.ndarray, rgb: tuple[int, int, int]) -> int:
    return int((np.abs(drawn.astype(int) - rgb).max(-1) <= 8).sum())


def test_the_picture_has_all_that_is_there_and_needs_no_display(whole, tmp_path):
    words = [sys.executable, str(ROOT / "vhap/nersemble_benchmark.py"), "cameras", str(whole), "388"]
    environment = {name: value for name, value in os.environ.items() if "DISPLAY" not in name}
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.stderr == ""
    assert done.stdout.strip() == "cameras_388_GLASSES_00000.png"
    drawn = read_rgb(tmp_path / "cameras_388_GLASSES_00000.png")
    assert near(drawn, HELD_OUT_RGB) > 300
    assert near(drawn, (250, 0, 250)) > 300, "the cloud"
    scene = read_scene(CamerasConfig(whole, 388))[1]
    for camera in scene.cameras:
        if camera.picture is not None:
            assert near(drawn, tuple(camera.picture[30, 20].tolist())) > 50, camera.name


def test_the_scene_is_that_of_the_files(whole):
    sequence, scene = read_scene(CamerasConfig(whole, 388, timestep=0))
    assert sequence == "GLASSES"
    assert [camera.name for camera in scene.cameras] == constants.SERIALS
    held_out = [camera.name for camera in scene.cameras if camera.is_held_out]
    assert sorted(held_out) == sorted(constants.BENCHMARK_NVS_HOLD_OUT_SERIALS)
    assert [camera.name for camera in scene.cameras if camera.picture is None] == held_out
    assert {camera.size for camera in scene.cameras} == {(64, 48)}
    for index, serial in enumerate(constants.BENCHMARK_NVS_TRAIN_SERIALS):
        picture = next(camera.picture for camera in scene.cameras if camera.name == serial)
        assert picture is not None
        assert np.abs(picture.reshape(-1, 3).mean(0) - small_benchmark.camera_rgb(index)).max() < 6
    assert len(scene.points) == small_benchmark.N_POINTS
    assert (scene.colors == (250, 0, 250)).all()
    np.testing.assert_allclose(np.linalg.norm(scene.points, axis=1), 0.1, rtol=1e-5)


def test_what_is_missing_is_said_and_the_rest_is_drawn(folder, tmp_path, log):
    cloud(folder).unlink()
    main(["cameras", str(folder), "388", "--output", str(tmp_path / "a.jpg"), "--timestep", "1"])
    assert "no point cloud at" in log.text
    assert "--pointcloud_frames 1" in log.text
    assert near(read_rgb(tmp_path / "a.jpg"), HELD_OUT_RGB) > 50
    for path in (folder / "nvs/388/sequences/GLASSES/images").iterdir():
        path.unlink()
    _, scene = read_scene(CamerasConfig(folder, 388, sequence="GLASSES"))
    assert "no videos of GLASSES" in log.text
    assert {camera.size for camera in scene.cameras} == {(1604, 1100)}


def test_the_cloud_is_the_one_that_the_metadata_name(folder):
    entry = {"sequence_name": "GLASSES", "timesteps": [0, 3, 6]}
    write_json(folder / "nvs/metadata.json", {"sequences": {"388": entry}})
    cloud(folder).rename(cloud(folder).with_name("frame_00003.pcd"))
    assert len(read_scene(CamerasConfig(folder, 388, timestep=1))[1].points) == small_benchmark.N_POINTS
    assert len(read_scene(CamerasConfig(folder, 388, timestep=2))[1].points) == 0
    (folder / "nvs/metadata.json").unlink()
    assert len(read_scene(CamerasConfig(folder, 388, timestep=1))[1].points) == 0


def test_points_that_were_not_measured_are_left_out(folder):
    lines = cloud(folder).read_bytes()
    end = lines.index(b"DATA binary\n") + len(b"DATA binary\n")
    cloud(folder).write_bytes(lines[:end] + np.float32(np.nan).tobytes() + lines[end + 4 :])
    scene = read_scene(CamerasConfig(folder, 388))[1]
    assert len(scene.points) == len(scene.colors) == small_benchmark.N_POINTS - 1


def test_monocular_avatars_have_four_cameras_and_the_head_of_the_tracking(whole, tmp_path, monkeypatch, log):
    config = CamerasConfig(whole, 461, "mono_flame_avatar", output=tmp_path / "a.png")
    monkeypatch.delenv("VHAP_FLAME_MODEL", raising=False)
    monkeypatch.setattr("vhap.head.load.asset_folders", lambda: [tmp_path])
    assert len(read_scene(config)[1].points) == 0
    assert "no FLAME file" in log.text
    monkeypatch.setenv("VHAP_FLAME_MODEL", str(flame_files.write_flame(tmp_path / "flame", monkeypatch)))
    sequence, scene = read_scene(config)
    assert sequence == "EXP-1-head"
    assert [camera.is_held_out for camera in scene.cameras] == [False, True, True, True]
    assert scene.cameras[0].picture is not None
    assert len(scene.points) > 100
    assert run(config) == tmp_path / "a.png"
    older = flame_files.write_flame(tmp_path / "older", monkeypatch, name="flame2020.pkl")
    monkeypatch.setenv("VHAP_FLAME_MODEL", str(older))
    assert len(read_scene(config)[1].points) == 0
    assert "without the head's vertices: expected flame2023" in log.text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["389"], "389"),
        (["388", "--timestep", "3"], "timestep of 0 to 2"),
        (["388", "--sequence", "FREE", "--timestep", "9000000", "--benchmark", "mono_flame_avatar"], "camera_params"),
        (["388", "--output", "a.gif"], ".png"),
        (["461", "--benchmark", "mono_flame_avatar", "--timestep", "3"], "timestep of 0 to 2"),
    ],
)
def test_wrong_wishes_are_one_line(whole, tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["cameras", str(whole), *words])
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error")]
    assert message in line
    assert stop.value.code == 2
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("row", [[1e-300, 0, 24], [1e39, 0, 24], [150, 0, 1e9]])
def test_intrinsics_that_nobody_could_draw_are_one_line(folder, row):
    path = folder / "nvs/388/calibration/camera_params.json"
    content = read_json(path)
    content["intrinsics"]["222200037"][0] = row
    write_json(path, content)
    with pytest.raises(InputError, match="camera 222200037"):
        read_scene(CamerasConfig(folder, 388))


def test_without_videos_a_sequence_has_to_be_named(folder):
    shutil.rmtree(folder / "nvs/388/sequences/GLASSES/images")
    with pytest.raises(InputError, match="--sequence"):
        read_scene(CamerasConfig(folder, 388))


@pytest.mark.skipif(importlib.util.find_spec("viser") is None, reason="viser is not installed")
def test_the_page_is_served_until_ctrl_c(whole):
    words = [sys.executable, str(ROOT / "vhap/nersemble_benchmark.py"), "cameras", str(whole), "388", "--view"]
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        server = subprocess.Popen(
            [*words, "--port", str(port)], env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=whole, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            # A shell's background job ignores Ctrl-C, and so would what it starts.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
        try:
            assert server.stdout is not None
            address = server.stdout.readline().split()[0]
            assert not address.endswith(f":{port}"), "a port that was taken"
            with urllib.request.urlopen(address, timeout=30) as reply:
                assert reply.status == 200
                assert b"<html" in reply.read()
            server.send_signal(signal.SIGINT)
            _, said = server.communicate(timeout=60)
        finally:
            server.kill()
            server.wait()
    assert server.returncode == 130
    assert said.splitlines() == ["interrupted; give the same command again"]
    assert not list(whole.glob("*.png"))


def test_without_viser_nothing_is_read_and_one_line_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "viser", None)
    for more in ([], ["--output", str(tmp_path / "a.png")]):
        with pytest.raises(SystemExit) as stop:
            main(["cameras", str(tmp_path / "none"), "388", "--view", *more])
        assert stop.value.code == 2
        assert 'pip install "vhap[viewer]"' in capsys.readouterr().err
