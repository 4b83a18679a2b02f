"""The page of a run, from the run folder to the browser; charts of what a run's files hold; the evaluation's grids."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import trimesh

from vhap import cli
from vhap.config.data import DataConfig
from vhap.config.loading import save_config
from vhap.config.report import ReportConfig
from vhap.config.synthetic import SyntheticConfig
from vhap.config.track import ExperimentConfig, LogConfig, ModelConfig, TrackConfig
from vhap.data.monocular import MonocularCapture
from vhap.data.results import load_result, save_result
from vhap.evaluate.frame_panels import frame_panels
from vhap.evaluate.frame_pass import rendered_frame
from vhap.evaluate.report_charts import euler_degrees, loss_charts, most_varied, parameter_charts
from vhap.fit.albedo import tex_extra_of
from vhap.fit.history import LossHistory
from vhap.head.load import load_head
from vhap.pipeline import report
from vhap.pipeline.evaluation_folder import write_evaluation_folder
from vhap.pipeline.make_synthetic_capture import run as make_capture
from vhap.pipeline.open_run import open_run, scene_of
from vhap.util.errors import InputError
from vhap.util.files import read_json

FRAMES, SIZE, OFF = 8, 96, 5
RESULT = "tracked_flame_params_0.npz"
SHOWN = [f"frame_{row:05d}" for row in (0, 4, 7)]
PANELS = ["input", "landmarks", "overlay", "render", "normals", "albedo", "shading", "error"]


@pytest.fixture(scope="module")
def capture(tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("root") / "clip"
    settings = SyntheticConfig(
        output, frames=FRAMES, size=SIZE, image_format="png", landmark_source="face-alignment", supersampling=1
    )
    return make_capture(settings)


@pytest.fixture(scope="module")
def folder(capture, tmp_path_factory) -> Path:
    """A run that found the truth but for one frame."""
    folder = tmp_path_factory.mktemp("output") / "2024-01-01_00-00-00"
    config = TrackConfig(
        DataConfig(capture.parent, capture.name, landmark_source="face-alignment"),
        ExperimentConfig(folder.parent),
        ModelConfig(head="builtin"),
        log=LogConfig(max_eval_frames=3),
    )
    save_config(folder / "config.yml", config)
    truth = load_result(capture / "ground_truth" / RESULT)
    translation = truth.translation.copy()
    translation[OFF, 0] += 0.03
    save_result(folder / RESULT, replace(truth, translation=translation))
    (folder / "seconds.json").write_text('{"rgb_init": 2.5}')
    write_losses(folder / "losses.json")
    return folder


def write_losses(path: Path) -> None:
    history = LossHistory(path)
    stage = SimpleNamespace(name="rgb_init")
    for step in range(5):
        history.on_step(SimpleNamespace(stage=stage, cost=30 / (step + 1)))
    history.on_stage_end(stage, None)


@pytest.fixture(scope="module")
def page(folder) -> Path:
    return report.run(ReportConfig(folder.parent, frames=6))


def test_the_page_stands_in_the_run_folder_with_its_video(folder, page):
    assert page == folder / "report.html"
    assert (folder / "overlay.mp4").stat().st_size > 0
    assert read_json(folder / "evaluation.json")["frames"] == FRAMES
    assert not list(folder.glob(".tmp_*"))


def test_the_page_shows_the_evaluation_that_is_there_and_does_not_make_another(folder, page, tmp_path):
    path = folder / "evaluation.json"
    saved = path.read_text(encoding="utf-8")
    values = json.loads(saved)
    try:
        path.write_text(json.dumps({**values, "jitter_mm": 123.456}))
        other = report.write_report(open_run(folder), tmp_path, {}, frames=1)
        assert "123.5" in other.read_text(encoding="utf-8")
    finally:
        path.write_text(saved)


def test_the_worst_frame_is_named_and_among_those_shown(folder, page):
    text = page.read_text(encoding="utf-8")
    frames = json.loads(re.findall(r'<script type="application/json">(.*?)</script>', text, re.DOTALL)[0])
    numbers = [frame["number"] for frame in frames]
    assert OFF in numbers
    assert len(numbers) <= 6
    assert numbers == sorted(set(numbers))
    assert "lost" in next(frame["caption"] for frame in frames if frame["number"] == OFF)
    assert f'worst: <a href="#frame={OFF}">{OFF:06d}</a>' in text
    assert f"1 frames are lost (landmarks off by more than 10 %): {OFF:06d}." in text
    assert all(len(frame["tiles"]) == len(PANELS) for frame in frames)


def test_a_browser_shows_the_page(in_browser, page):
    script = """
    const images = [...document.querySelectorAll('#frames img')];
    await Promise.all(images.map(image => image.decode()));
    const video = document.querySelector('video');
    if (video.readyState < 1) await new Promise(resolve => video.addEventListener('loadedmetadata', resolve));
    return [
      document.querySelector('output').textContent, images.map(image => image.alt),
      images.map(image => image.naturalWidth), [...document.querySelectorAll('h2')].map(h => h.textContent),
      video.videoWidth];
    """
    caption, names, widths, headings, video = in_browser(page, script, f"#frame={OFF}")
    assert caption.startswith(f"frame {OFF} ")
    assert names == PANELS
    assert widths == [SIZE] * len(PANELS)
    assert video == 2 * SIZE + 4
    assert headings == [
        "Metrics",
        "Frames",
        "Video",
        "Frame by frame",
        "Parameters over time",
        "Weighted losses by stage",
        "Seconds by stage",
        "Settings",
    ]


def test_a_small_page_shows_at_most_as_many_frames_as_asked(folder, tmp_path):
    for count in (1, 3, FRAMES):
        text = report.write_report(open_run(folder), tmp_path, {}, frames=count).read_text(encoding="utf-8")
        frames = json.loads(re.findall(r'<script type="application/json">(.*?)</script>', text, re.DOTALL)[0])
        assert len(frames) == count


def test_runs_without_losses_and_seconds_have_a_page_too(folder, tmp_path):
    for name in ("config.yml", RESULT):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    text = report.run(ReportConfig(tmp_path, frames=1)).read_text(encoding="utf-8")
    assert "Frame by frame" in text
    assert "Weighted losses" not in text
    assert "Seconds by stage" not in text


def test_options_out_of_range_and_missing_runs_are_refused_in_one_line(folder, tmp_path, capsys):
    for frames in (0, 1000):
        with pytest.raises(InputError, match="--frames of 1 to 120"):
            report.run(ReportConfig(folder, frames=frames))
    with pytest.raises(SystemExit) as stop:
        cli.main(["report", "--run", str(tmp_path / "gone")])
    assert stop.value.code == 2
    assert "gone" in capsys.readouterr().err


def test_panels_show_the_head_where_it_is(folder):
    scene = open_run(folder)
    panels = frame_panels(rendered_frame(scene, 0))
    assert list(panels) == PANELS
    assert all(panel.shape == (SIZE, SIZE, 3) and panel.dtype == np.uint8 for panel in panels.values())
    mask = scene.render(0)[0].raster.mask[0].numpy()
    for name in ("render", "normals", "albedo", "shading"):
        assert (panels[name][~mask] == 255).all()
        assert (panels[name][mask] != 255).any(axis=-1).mean() > 0.9
    red = panels["normals"][..., 0][SIZE // 2 - 5 : SIZE // 2 + 5]
    inside = [np.nonzero(row)[0] for row in mask[SIZE // 2 - 5 : SIZE // 2 + 5]]
    left, right = (np.mean([row[columns[side]] for row, columns in zip(red, inside)]) for side in (1, -2))
    assert left < 100 < 155 < right
    assert panels["normals"][..., 2][mask].mean() > 160


def test_textures_of_any_size_render_alike(folder):
    """Results hold the texture at the size of its estimate; earlier ones held tex_extra enlarged."""
    scene = open_run(folder)
    base = load_head("builtin").base_texture[None]

    def rendered(size: int | None) -> np.ndarray:
        result = scene.result
        if size is not None:
            extra = tex_extra_of(scene.texture, base, size, residual=True)[0].permute(2, 0, 1).numpy()
            result = replace(result, albedo=None, tex_extra=extra)
        opened = scene_of(folder / RESULT, 0, scene.config, scene.model, scene.capture, result)
        assert opened.texture.shape[1] == size or size is None
        return opened.render(0)[0].picture.numpy()

    side = scene.texture.shape[1]
    as_it_is = rendered(None)
    np.testing.assert_allclose(rendered(side), as_it_is, atol=1e-6)
    assert np.abs(rendered(2 * side) - as_it_is).mean() < 1e-3


@pytest.fixture(scope="module")
def shown(folder) -> Path:
    """The evaluation folder, made from what is in memory."""
    opened = open_run(folder)
    capture = MonocularCapture(opened.config.data)
    scene = scene_of(folder / RESULT, 0, opened.config, opened.model, capture, opened.result)
    return write_evaluation_folder(scene)


def test_an_even_choice_of_frames_is_shown_in_grids(folder, shown):
    assert shown == folder / "eval_0"
    assert sorted(path.name for path in (shown / "image_grid").iterdir()) == [f"{name}.jpg" for name in SHOWN]
    grid = cv2.imread(str(shown / "image_grid" / "frame_00004.jpg"))
    assert grid.shape == (2 * SIZE + 4, 4 * SIZE + 12, 3)


def test_the_same_frames_are_meshes_with_the_albedo(folder, shown):
    scene = open_run(folder)
    names = {path.name for path in (shown / "mesh").iterdir()}
    assert names == {f"{name}.{kind}" for name in SHOWN for kind in ("obj", "mtl", "jpg")}
    mesh = trimesh.load(shown / "mesh" / "frame_00004.obj", process=False, maintain_order=True)
    lines = (shown / "mesh" / "frame_00004.obj").read_text().splitlines()
    vertices = np.array([line.split()[1:] for line in lines if line.startswith("v ")], float)
    assert vertices == pytest.approx(scene.vertices(4).numpy(), abs=1e-6)
    assert len(mesh.faces) == len(scene.model.faces)
    painted = np.asarray(mesh.visual.material.image.convert("RGB"), float)
    assert np.abs(painted - scene.albedo_bytes()).mean() < 3


def test_angles_are_those_that_the_rotation_was_made_of():
    yaw, pitch, roll = np.radians([20, -10, 5])
    turn = cv2.Rodrigues(np.array([0, yaw, 0]))[0] @ cv2.Rodrigues(np.array([pitch, 0, 0]))[0]
    turn = turn @ cv2.Rodrigues(np.array([0, 0, roll]))[0]
    angles = euler_degrees(cv2.Rodrigues(turn)[0].T)
    assert [angles[name][0] for name in ("yaw", "pitch", "roll")] == pytest.approx([20, -10, 5])


def test_coefficients_are_ranked_by_how_much_they_move():
    expr = np.zeros((10, 9))
    expr[:, 7] = 5
    expr[::2, 3] = 1
    expr[::2, 1] = 2
    assert list(most_varied(expr))[:2] == ["1", "3"]
    assert most_varied(expr)["3"] == expr[:, 3].tolist()


def test_parameter_charts_hold_every_frame(folder):
    result = load_result(folder / RESULT)
    charts = {chart.title.split(",")[0]: chart for chart in parameter_charts(result)}
    assert set(charts) == {"Head rotation", "Head translation", "Neck", "Jaw", "Eyes", "Expression"}
    assert all(len(values) == FRAMES for chart in charts.values() for values in chart.curves.values())
    moved = charts["Head translation"].curves["x"]
    assert sum(moved) == pytest.approx(0, abs=1e-3)
    assert moved[OFF] - moved[OFF - 1] == pytest.approx(
        1000 * (result.translation[OFF, 0] - result.translation[OFF - 1, 0]), rel=1e-4
    )


def test_cost_charts_by_stage(folder, tmp_path):
    (chart,) = loss_charts(folder / "losses.json", {"rgb_init": 2.5})
    assert chart.title == "rgb_init"
    assert chart.curves == {"cost": pytest.approx([30 / step for step in range(1, 6)])}
    assert chart.note == "5 rounds, 2.5 s"
    assert loss_charts(tmp_path / "losses.json", {}) == []
    path = tmp_path / "losses.json"
    stage = {"name": "s", "count": 2, "stride": 1, "steps": [1, 2], "total": [1.0, None]}
    path.write_text(json.dumps({"stages": [stage]}))
    (chart,) = loss_charts(path, {})
    assert math.isnan(chart.curves["cost"][1])
