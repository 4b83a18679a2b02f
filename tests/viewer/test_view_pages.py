"""`vhap view` without a browser: what is sent for each kind of thing, what controls change, and what is refused."""

import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from vhap import api
from vhap.data.results import load_result
from vhap.evaluate.rig_scene import HELD_OUT_RGB
from vhap.head.model import zero_params
from vhap.util.errors import InputError
from vhap.viewer import colours
from vhap.viewer.camera_nodes import LOST_RGB
from vhap.viewer.run_nodes import PICTURES

pytest.importorskip("viser")
ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    """One that nothing else has: the system chooses."""
    with socket.socket() as attempt:
        attempt.bind(("0.0.0.0", 0))
        return attempt.getsockname()[1]


@pytest.fixture
def opened():
    """Pages that are closed after the test; nothing waits for a browser."""
    pages = []

    def open_page(*paths, **options) -> api.view:
        page = api.view(*paths, port=free_port(), **options)
        pages.append(page)
        for mesh in [run.mesh for run in getattr(page.view, "runs", [])]:
            mesh.settle_s = 0.0
        return page

    yield open_page
    for page in pages:
        page.close()


def node(page, name: str):
    return page.server.scene.get_handle_by_name(name)


def shown_mesh(page, name: str) -> trimesh.Trimesh:
    slots = [found for number in (0, 1) if (found := node(page, f"{name}/{number}")) and found.visible]
    (slot,) = slots
    (mesh,) = trimesh.load(io.BytesIO(slot.glb_data), file_type="glb", process=False).geometry.values()
    return mesh


def decoded(image) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(image._data)))


def test_a_run_has_its_camera_its_picture_and_its_head(opened, viewed_run):
    page = opened(viewed_run)
    run = api.open_run(viewed_run)
    for row in (0, 2):
        page.view.timeline.slider.value = row
        mesh = shown_mesh(page, "/run/head")
        wanted = run.vertices(row).numpy()
        np.testing.assert_allclose(mesh.vertices[mesh.faces], wanted[run.faces.numpy()], atol=1e-6)
        picture = decoded(node(page, "/run/cameras/0/picture")).astype(int)
        truth = (run.picture(row).rgb[0].numpy() * 255).astype(int)
        assert picture.shape == truth.shape
        assert np.abs(picture - truth).mean() < 6
    assert node(page, "/run/cameras/0/name").text == "0"
    with urllib.request.urlopen(page.url, timeout=30) as answer:
        assert b"<html" in answer.read()


@pytest.mark.parametrize("mode", colours.MODES)
def test_every_mode_is_sent(opened, viewed_run, mode):
    view = opened(viewed_run).view
    view.mode.value = "shape" if mode != "shape" else "normals"
    before = view.first.mesh.shown.glb_data
    view.mode.value = mode
    assert view.first.mesh.shown.glb_data != before


def test_what_is_not_to_be_seen_is_not_sent(opened, viewed_run):
    page = opened(viewed_run)
    view = page.view
    view.visible.value = False
    assert not node(page, "/run/head").visible
    content = view.first.mesh.shown.glb_data
    view.timeline.slider.value = 1
    assert view.first.mesh.shown.glb_data == content
    view.panel.kind.value = "none"
    assert node(page, "/run/cameras/0/picture") is None
    view.panel.frusta.value = False
    assert not node(page, "/run/cameras/0/frustum").visible
    view.visible.value = True
    assert view.first.mesh.shown.glb_data != content


def test_lost_frames_are_marked(opened, viewed_run):
    page = opened(viewed_run)
    page.view.timeline._to_next_lost()
    assert page.view.timeline.row == 3
    assert node(page, "/run/cameras/0/name").text == "0: the picture is black"
    assert np.asarray(node(page, "/run/cameras/0/frustum").colors).reshape(-1, 3)[0].tolist() == list(LOST_RGB)
    page.view.timeline.slider.value = 4
    assert node(page, "/run/cameras/0/name").text == "0"


def test_pictures_are_at_most_as_large_as_asked_for(opened, viewed_run):
    page = opened(viewed_run, picture_px=64)
    sizes = {}
    for kind in PICTURES:
        page.view.panel.kind.value = kind
        sizes[kind] = decoded(node(page, "/run/cameras/0/picture")).shape
    assert set(sizes.values()) == {(48, 64, 3)}


def test_the_picture_lies_where_the_distance_says(opened, viewed_run):
    page = opened(viewed_run)
    camera = page.view.first.cameras.cameras[0]
    page.view.panel.share.value = 1.0
    image = node(page, "/run/cameras/0/picture")
    depth = camera.T_camera_world[:3, :3] @ image.position + camera.T_camera_world[:3, 3]
    assert depth[2] == pytest.approx(page.view.panel.reach, rel=1e-6)
    assert image.render_width / image.render_height == pytest.approx(160 / 120)


def test_held_out_cameras_of_a_rig_are_red_and_have_no_picture(opened, viewed_rig):
    page = opened(viewed_rig / "out" / "multiview" / "EXP-1-head")
    cameras = page.view.first.cameras.cameras
    assert [camera.is_held_out for camera in cameras] == [False, False, False, True]
    held_out = f"/run/cameras/{cameras[3].name}"
    assert node(page, f"{held_out}/picture") is None
    assert np.asarray(node(page, f"{held_out}/frustum").colors).reshape(-1, 3)[0].tolist() == list(HELD_OUT_RGB)
    assert node(page, f"/run/cameras/{cameras[0].name}/picture") is not None


def test_a_head_stands_in_every_picture_where_its_camera_sees_it(opened, viewed_rig):
    """Of all cameras, the one held out too: its calibration is brought into the run's world."""
    page = opened(viewed_rig / "out" / "multiview" / "EXP-1-head")
    middle = page.view.first.vertices(0).numpy().mean(0)
    shares = []
    for camera in page.view.first.cameras.cameras:
        seen = camera.K @ (camera.T_camera_world[:3, :3] @ middle + camera.T_camera_world[:3, 3])
        assert seen[2] > 0
        shares.append(seen[:2] / seen[2] / np.array(camera.size[::-1]))
    assert len(shares) == 4
    assert np.abs(np.array(shares) - 0.5).max() < 0.25


def test_landmarks_are_drawn_and_shown(opened, viewed_rig):
    page = opened(viewed_rig / "out" / "multiview" / "EXP-1-head")
    name = f"/run/cameras/{page.view.first.cameras.cameras[0].name}/picture"
    plain = decoded(node(page, name))
    page.view.panel.landmarks.value = True
    assert (decoded(node(page, name)) != plain).any()
    page.view.points.value = True
    assert node(page, "/run/landmarks").points.shape == (70, 3)
    page.view.points.value = False
    assert node(page, "/run/landmarks") is None


def test_two_runs_stand_side_by_side_with_their_distance(opened, viewed_run):
    page = opened(viewed_run, next(viewed_run.iterdir()))
    view = page.view
    assert np.linalg.norm(node(page, "/second").position) == pytest.approx(0.35)
    view.beside.value = 0.0
    assert np.abs(node(page, "/second").position).max() == 0
    view.mode.value = "distance"
    assert view.said.content == "mean 0.00 mm, 95 % below 0.00, most 0.00"
    view.aligned.value = True
    view.timeline.slider.value = 2
    first, second = shown_mesh(page, "/run/head"), shown_mesh(page, "/second/head")
    np.testing.assert_allclose(first.vertices, second.vertices, atol=1e-7)


def test_an_export_is_shown_with_its_splits(opened, viewed_run, tmp_path):
    exported = api.export(viewed_run, tmp_path / "anna")
    page = opened(exported)
    view = page.view
    assert view.timeline.text.content == "`00000 (train)`"
    assert len(view.files.moments) == 5
    view.timeline.slider.value = 4
    assert view.timeline.text.content == "`00004 (test)`"
    vertices, faces = trimesh_of(exported / "meshes" / "00004.obj")
    mesh = shown_mesh(page, "/head")
    np.testing.assert_allclose(mesh.vertices, vertices, atol=1e-6)
    np.testing.assert_array_equal(mesh.faces, faces)
    assert decoded(node(page, "/cameras/0/picture")).shape == (120, 160, 3)
    view.panel.kind.value = "mask"
    mask = decoded(node(page, "/cameras/0/picture"))
    assert mask.min() < 10 < 245 < mask.max()
    # Its camera looks at its head.
    camera, middle = view.cameras.cameras[0], vertices.mean(0)
    seen = camera.K @ (camera.T_camera_world[:3, :3] @ middle + camera.T_camera_world[:3, 3])
    assert np.abs(seen[:2] / seen[2] - [80, 60]).max() < 40


def trimesh_of(path: Path) -> tuple[np.ndarray, np.ndarray]:
    lines = path.read_text().splitlines()
    vertices = np.array([line.split()[1:] for line in lines if line.startswith("v ")], float)
    corners = [[word.split("/")[0] for word in line.split()[1:]] for line in lines if line.startswith("f ")]
    return vertices, np.array(corners, int) - 1


def test_a_recording_by_a_rig(opened, viewed_rig):
    page = opened(viewed_rig / "multiview" / "EXP-1-head")
    names = [camera.name for camera in page.view.cameras.cameras]
    assert len(names) == 4
    pictures = [decoded(node(page, f"/cameras/{name}/picture")) for name in names]
    assert [picture.shape for picture in pictures] == [(96, 72, 3)] * 4
    page.view.panel.landmarks.value = True
    assert (decoded(node(page, f"/cameras/{names[0]}/picture")) != pictures[0]).any()
    page.view.panel.landmarks.value = False
    page.view.panel.kind.value = "matte"
    assert decoded(node(page, f"/cameras/{names[0]}/picture")).std(-1).max() < 8
    page.view.panel.kind.value = "none"
    assert node(page, f"/cameras/{names[0]}/picture") is None


def test_a_recording_by_a_camera_that_nobody_knows(opened, viewed_run, caplog):
    page = opened(viewed_run.parent / "person")
    page.view.timeline.slider.value = 4
    assert node(page, "/cameras/0/picture") is not None
    assert not page.view.panel.landmarks.visible


def test_points_beside_a_run(opened, viewed_run, tmp_path):
    points = np.random.default_rng(0).uniform(-0.1, 0.1, (30, 3))
    (tmp_path / "cloud.ply").write_bytes(trimesh.exchange.ply.export_ply(trimesh.PointCloud(points)))
    page = opened(viewed_run, points=tmp_path / "cloud.ply")
    np.testing.assert_allclose(node(page, "/points").points, points, atol=1e-6)


def test_a_head_follows_its_sliders(opened):
    page = opened("builtin")
    view = page.view
    view.mesh.settle_s = 0.0
    neutral = shown_mesh(page, "/head").vertices
    view.sliders["jaw_pose", 0].value = 20.0
    assert view.state.jaw_pose[0, 0] == pytest.approx(np.radians(20))
    view.sliders["translation", 1].value = 0.1
    view.sliders["expr", 0].value = 0.5
    view.sliders["shape", 3].value = -1.5
    assert view.state.shape[3] == pytest.approx(-1.5)
    assert np.abs(shown_mesh(page, "/head").vertices - neutral).max() > 0.09
    view.reset()
    np.testing.assert_allclose(shown_mesh(page, "/head").vertices, neutral, atol=1e-7)
    assert view.sliders["jaw_pose", 0].value == 0
    view.landmarks.value = "ibug"
    assert len(node(page, "/landmarks").points) == 70
    assert node(page, "/landmarks/30").text == "30"
    view.landmarks.value = "none"
    assert node(page, "/landmarks/30") is None


def test_of_a_dragged_slider_s_values_the_last_is_drawn_and_few_before(opened, monkeypatch):
    page = opened("builtin")
    view = page.view
    view.mesh.settle_s = 0.0
    view.sliders["translation", 0].value = 0.2
    wanted = shown_mesh(page, "/head").vertices
    view.reset()
    drawn, busy, go_on = [], threading.Event(), threading.Event()
    draw = view._draw

    def slow_draw() -> None:
        drawn.append(float(view.state.translation[0, 0]))
        busy.set()
        go_on.wait(60)
        draw()

    monkeypatch.setattr(view, "_draw", slow_draw)
    values = [0.01, 0.05, 0.1, 0.15, 0.2]
    threads = [threading.Thread(target=view._moved, args=("translation", 0, value)) for value in values]
    threads[0].start()
    assert busy.wait(60)
    for thread in threads[1:]:
        thread.start()
        while view.state.translation[0, 0] != np.float32(values[threads.index(thread)]):
            time.sleep(0.01)
    go_on.set()
    for thread in threads:
        thread.join()
    np.testing.assert_allclose(drawn, [0.01, 0.2], atol=1e-6)
    np.testing.assert_allclose(shown_mesh(page, "/head").vertices, wanted, atol=1e-6)


def test_a_head_is_saved_as_a_result_and_loaded_again(opened, tmp_path):
    view = opened("builtin").view
    view.mesh.settle_s = 0.0
    view.sliders["neck_pose", 1].value = -12.5
    view.sliders["eyes_pose", 3].value = 8.0
    view.sliders["expr", 2].value = 0.25
    view.path.value = str(tmp_path / "mine.npz")
    view._say("saved", lambda: view.save(Path(view.path.value)))
    assert view.said.content == f"saved `{tmp_path / 'mine.npz'}`"
    saved = load_result(tmp_path / "mine.npz", view.model.identity)
    assert saved.neck_pose[0, 1] == pytest.approx(np.radians(-12.5))
    assert saved.eyes_pose[0, 3] == pytest.approx(np.radians(8))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.npz"]
    view.reset()
    view.load(tmp_path / "mine.npz", 0)
    assert view.sliders["neck_pose", 1].value == pytest.approx(-12.5, abs=1e-4)
    assert view.sliders["expr", 2].value == pytest.approx(0.25)


def test_a_frame_of_a_run_is_loaded_with_what_no_slider_has(opened, viewed_run):
    view = opened("builtin", n_sliders=2).view
    view.mesh.settle_s = 0.0
    path = next(viewed_run.iterdir()) / "tracked_flame_params_0.npz"
    view.load(path, 3)
    result = load_result(path)
    np.testing.assert_allclose(view.state.translation, result.translation[3:4])
    np.testing.assert_allclose(view.state.shape[: len(result.shape)], result.shape)
    assert ("shape", 2) not in view.sliders
    run = api.open_run(viewed_run)
    np.testing.assert_allclose(view.state.expr, run.parameters(3).expr[None], atol=1e-7)
    view.sliders["shape", 0].value = 1.0
    np.testing.assert_allclose(view.state.shape[1:], result.shape[1:])


@pytest.mark.parametrize(("frame", "said"), [(5, "frame of 0 to 4"), (-1, "frame of 0 to 4")])
def test_frames_that_are_not_there_are_said_on_the_page(opened, viewed_run, frame, said):
    view = opened("builtin").view
    path = next(viewed_run.iterdir()) / "tracked_flame_params_0.npz"
    view._say("loaded", lambda: view.load(path, frame))
    assert said in view.said.content
    assert np.abs(view.state.translation).max() == 0


def test_results_of_another_head_and_other_names_are_refused(opened, viewed_run, tmp_path):
    view = opened("builtin").view
    path = next(viewed_run.iterdir()) / "tracked_flame_params_0.npz"
    with np.load(path) as arrays:
        np.savez(tmp_path / "other.npz", **{**arrays, "head_model": np.array("flame:0")})
    view._say("loaded", lambda: view.load(tmp_path / "other.npz", 0))
    assert "flame:0" in view.said.content
    with pytest.raises(InputError, match=r"ends in \.npz"):
        view.save(tmp_path / "head.txt")


def test_saving_replaces_nothing_but_what_was_saved(opened, viewed_run, tmp_path):
    """Who has loaded a frame of a run has its path in the box."""
    view = opened("builtin").view
    view.mesh.settle_s = 0.0
    result = next(viewed_run.iterdir()) / "tracked_flame_params_0.npz"
    before = result.read_bytes()
    with pytest.raises(InputError, match="not that of a run's result"):
        view.save(result)
    (tmp_path / "renamed.npz").write_bytes(before)
    with pytest.raises(InputError, match="found a longer result"):
        view.save(tmp_path / "renamed.npz")
    np.savez(tmp_path / "other.npz", a=np.zeros(1))
    with pytest.raises(InputError, match=r"other\.npz"):
        view.save(tmp_path / "other.npz")
    assert (result.read_bytes(), (tmp_path / "renamed.npz").read_bytes()) == (before, before)
    view.save(tmp_path / "mine.npz")
    view.sliders["expr", 0].value = 0.5
    view.save(tmp_path / "mine.npz")
    assert load_result(tmp_path / "mine.npz").expr[0, 0] == pytest.approx(0.5)


def test_the_neutral_head_is_that_of_the_model(opened):
    from vhap.head.model import pose

    page = opened("builtin")
    model = page.view.model
    wanted = pose(model, zero_params(model)).numpy()
    mesh = shown_mesh(page, "/head")
    np.testing.assert_allclose(mesh.vertices[mesh.faces], wanted[model.faces.numpy()], atol=1e-6)


def test_what_does_not_go_together_is_one_line(viewed_run):
    with pytest.raises(InputError, match=r"or two runs, found 2 \(run, head\)"):
        api.view(viewed_run, "builtin")
    with pytest.raises(InputError, match=r"found 3 \(run, run, run\)"):
        api.view(viewed_run, viewed_run, viewed_run)
    with pytest.raises(InputError, match="found 0"):
        api.view()
    with pytest.raises(InputError, match="picture_px"):
        api.view("builtin", picture_px=0)


@pytest.mark.parametrize("version", ["0.2.7", "1.1.0"])
def test_an_old_viser_is_one_line(monkeypatch, version):
    import viser

    monkeypatch.setattr(viser, "__version__", version)
    with pytest.raises(InputError, match=rf"viser 1\.1\.1 or later, found {version}; pip install \"vhap\[viewer\]\""):
        api.view("builtin")


def test_a_missing_viser_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "viser", None)
    with pytest.raises(InputError, match=r"expected the package viser, .*pip install \"vhap\[viewer\]\""):
        api.view("builtin")


def test_a_taken_port_is_one_line():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"--port {port}, found it taken"):
            api.view("builtin", port=port)


def test_the_command_says_where_the_page_is_and_ends_cleanly_on_ctrl_c(tmp_path):
    port = free_port()
    command = [sys.executable, "-m", "vhap", "view", "builtin", "--port", str(port)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=tmp_path,
        # A shell that runs the tests in the background makes all their processes deaf to it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        url = running.stdout.readline().strip()
        assert url == f"http://127.0.0.1:{port}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            assert answer.status == 200
        running.send_signal(signal.SIGINT)
        try:
            assert running.wait(timeout=120) == 0
        finally:
            running.kill()
        assert running.stdout.read() == ""
        said = running.stderr.read()
    assert f"ssh -L {port}:localhost:{port} HOST" in said
    assert "Traceback" not in said
