"""Exporting a run of track.py for trainers of relightable avatars, read by their own rules."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from subject_run import loaded_once, moved_result, write_flame2020
from trainer_reader import Flame, HravatarReader, imavatar_projected

from vhap import export_as_nerf_dataset
from vhap.config.data import DataConfig
from vhap.config.loading import save_config
from vhap.config.track import ExperimentConfig, ModelConfig, TrackConfig
from vhap.data.results import load_result, save_result
from vhap.pipeline.heads import configured_head
from vhap.pipeline.open_run import open_run
from vhap.relightable.head_files import read_flame_params

SIZE, COUNT = (120, 200), 3


@pytest.fixture(scope="module")
def flame(tmp_path_factory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        return write_flame2020(tmp_path_factory.mktemp("flame"), patch)


@pytest.fixture(autouse=True)
def one_head(monkeypatch) -> None:
    monkeypatch.setattr("vhap.pipeline.heads.load_head", loaded_once)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory, flame) -> Path:
    """A run of pictures with alpha maps whose every pixel tells its place."""
    root = tmp_path_factory.mktemp("data")
    columns, rows = np.meshgrid(np.arange(SIZE[1]), np.arange(SIZE[0]))
    for index in range(COUNT):
        picture = np.stack([columns, rows, np.full(SIZE, 50 * index)], -1).astype(np.uint8)
        for name, content in (("images", picture), ("alpha_maps", np.where(rows < 90, 255, 100).astype(np.uint8))):
            (root / "person" / name).mkdir(parents=True, exist_ok=True)
            Image.fromarray(content).save(root / "person" / name / f"{index:06d}.png")
    model = ModelConfig(head="flame", flame_model_path=flame, n_shape=100, n_expr=50)
    data = DataConfig(root, "person", use_landmark=False, landmark_source="face-alignment")
    config = TrackConfig(data, ExperimentConfig(root / "out"), model)
    run = root / "out" / "2026-01-02_03-04-05"
    run.mkdir(parents=True)
    save_config(run / "config.yml", config)
    names = [f"{k:06d}" for k in range(COUNT)]
    save_result(run / "tracked_flame_params_0.npz", moved_result(configured_head(model), names, SIZE, 1.5))
    return root / "out"


def export(run_folder: Path, target: Path, layout: str, *options: str) -> Path:
    export_as_nerf_dataset.main(
        ["--src_folder", str(run_folder), "--tgt_folder", str(target), "--layout", layout, *options]
    )
    return target


def corner_of(target: Path, name: str = "00001.png", folder: str = "image") -> np.ndarray:
    """(2,) px: where the tracked picture's corner lies in the exported ones, told by a pixel."""
    stored = np.array(Image.open(target / folder / name))
    row, column = np.argwhere((stored[..., 3] == 255) & (stored[..., 2] == 50))[0]
    return np.array([column, row]) - stored[row, column, :2]


def test_the_trainer_places_the_mesh_on_the_square_pictures(tmp_path, run_folder, flame) -> None:
    target = export(run_folder, tmp_path / "out", "hravatar", "--no-create_mask_from_mesh")
    assert not (target / "mask").exists()
    reader, scene = HravatarReader(target, Flame(flame)), open_run(run_folder, with_landmarks=False)
    assert reader.width == reader.height
    assert reader.content["intrinsics"] == pytest.approx([300, 300, reader.width / 2, reader.width / 2])
    corner = corner_of(target)
    for row, path in enumerate(reader.paths):
        found = reader.projected(path)
        wanted = scene.camera().project(scene.vertices(row))[0].numpy()[: len(found)] + corner
        np.testing.assert_allclose(found, wanted, atol=1e-3)
        # All of the head is in the square, as far as the picture shows it.
        assert (found > -1e-3).all()
        assert (found < reader.width).all()


def test_pictures_are_straight_and_empty_outside(tmp_path, run_folder, flame) -> None:
    target = export(run_folder, tmp_path / "out", "hravatar", "--no-create_mask_from_mesh")
    stored = np.array(Image.open(target / "image" / "00002.png"))
    assert stored.shape[2] == 4
    assert set(np.unique(stored[..., 3])) <= {0, 100, 255}
    soft = stored[stored[..., 3] == 100]
    assert (soft[:, 2] == 100).all()
    # Premultiplied, rows 90 to 119 would have at most 47.
    assert (soft[:, 1] > 80).all()
    assert not stored[stored[..., 3] == 0].any()


def test_imavatar_reads_the_movement_from_the_camera(tmp_path, run_folder, flame) -> None:
    """And its checklist: names from 1 without zeros, RGB over white, masks and classes of each, one camera rotation."""
    target = export(run_folder, tmp_path / "out", "imavatar")
    assert not (target / "tracked_params.json").exists()
    params, scene = read_flame_params(target / "flame_params.json"), open_run(run_folder, with_landmarks=False)
    size, corner = Image.open(target / "image" / "1.png").size[0], corner_of(target, "2.png", "matted")
    reader = Flame(flame)
    count = len(reader.template)
    outside = imavatar_projected(target, reader)
    assert len(outside) == len(params.frames) == COUNT
    assert params.intrinsics[0] < 0
    assert ((np.abs(params.intrinsics) > 0.4) & (np.abs(params.intrinsics) < 4)).all()
    assert (len(params.shape_params), len(params.frames[0].expression), len(params.frames[0].pose)) == (100, 50, 15)
    for row, (frame, (file_path, places)) in enumerate(zip(params.frames, outside)):
        assert file_path == f"./image/{row + 1}"
        assert frame.translation is None
        np.testing.assert_array_equal(frame.world_mat[:, :3], params.frames[0].world_mat[:, :3])
        low, high = frame.bbox[:2], frame.bbox[2:]
        assert (low < high).all()
        assert (np.abs(frame.bbox) <= 1).all()
        wanted = scene.camera().project(scene.vertices(row))[0].numpy()[:count] + corner
        np.testing.assert_allclose((places[:count] + 1) * size / 2, wanted, atol=1e-3)
        np.testing.assert_allclose(frame.flame_keypoints[17:], places[count:], atol=2e-5)
        picture, mask, semantic, matted, images = (
            np.array(Image.open(target / folder / f"{row + 1}.png"))
            for folder in ("image", "mask", "semantic", "matted", "images")
        )
        assert picture.shape == (size, size, 3)
        assert mask.shape == semantic.shape == (size, size)
        assert semantic.max() <= 18
        assert set(np.unique(np.array(Image.open(target / "parsing" / f"{row + 1}_mouth.png")))) <= {0, 255}
        np.testing.assert_array_equal(mask, matted[..., 3])
        np.testing.assert_array_equal(images, matted)
        assert (picture[mask == 0] == 255).all()
        assert not semantic[mask == 0].any()
        # Skin lies where the reader's own head does.
        inside = fill((places[:count] + 1) * size / 2, reader.faces, size) & (mask > 127)
        assert (semantic[inside] > 0).mean() > 0.95


def fill(points: np.ndarray, faces: np.ndarray, size: int) -> np.ndarray:
    drawn = np.zeros((size, size), np.uint8)
    for triangle in np.round((points - 0.5) * 16).astype(np.int32)[faces]:
        cv2.fillConvexPoly(drawn, triangle, 1, shift=4)
    return drawn > 0


def test_imavatar_refuses_coefficients_and_offsets_that_it_would_cut(tmp_path, run_folder, capsys) -> None:
    target = tmp_path / "out"
    for field, value, said in (
        ("expr", np.ones((COUNT, 60), np.float32), "at most 50 expr coefficients"),
        ("static_offset", np.full((1, 10, 3), 1e-3, np.float32), "without offsets"),
    ):
        copy = changed_run(tmp_path / field, run_folder, field, value)
        with pytest.raises(SystemExit):
            export(copy, target, "imavatar")
        assert said in capsys.readouterr().err
        assert not target.exists()


def changed_run(folder: Path, run_folder: Path, field: str, value: np.ndarray) -> Path:
    """A copy of the run whose result has another array."""
    file = next(run_folder.glob("*/tracked_flame_params_0.npz"))
    copy = folder / file.parent.name
    copy.mkdir(parents=True)
    text = (file.parent / "config.yml").read_text()
    (copy / "config.yml").write_text(text.replace("n_expr: 50", "n_expr: 60") if field == "expr" else text)
    result = load_result(file)
    if field == "static_offset":
        value = np.repeat(value[:, :1], open_run(run_folder, with_landmarks=False).model.n_vertices, 1)
    object.__setattr__(result, field, value)
    save_result(copy / file.name, result)
    return folder


def test_again_changes_nothing_and_another_layout_replaces(tmp_path, run_folder) -> None:
    target = export(run_folder, tmp_path / "out", "imavatar")
    (target / "image" / "2.png").unlink()
    before = {path: path.stat().st_mtime_ns for path in target.rglob("*.png") if path.stem not in ("2", "2_mouth")}
    json_time = (target / "flame_params.json").stat().st_mtime_ns
    export(run_folder, target, "imavatar")
    assert (target / "image" / "2.png").is_file()
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert (target / "flame_params.json").stat().st_mtime_ns == json_time
    export(run_folder, target, "hravatar")
    assert not (target / "flame_params.json").exists()
    assert not list((target / "mask").glob("*.png"))


def test_what_the_files_have_no_place_for_is_told(tmp_path, run_folder, caplog) -> None:
    file = next(run_folder.glob("*/tracked_flame_params_0.npz"))
    result = load_result(file)
    vertices = open_run(run_folder, with_landmarks=False).model.n_vertices
    object.__setattr__(result, "static_offset", np.full((1, vertices, 3), 0.001, np.float32))
    copy = tmp_path / "copy" / file.parent.name
    copy.mkdir(parents=True)
    (copy / "config.yml").write_bytes((file.parent / "config.yml").read_bytes())
    save_result(copy / file.name, result)
    export(copy.parent, tmp_path / "out", "hravatar", "--background_color", "black")
    assert "offsets, 1.73 mm on average" in caplog.text
    assert "--background_color black has no effect" in caplog.text


def test_other_heads_and_other_folders_are_refused(tmp_path, run_folder, capsys) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(SystemExit):
        export(run_folder, tmp_path / "mine", "hravatar")
    assert "expected a new folder or an earlier export" in capsys.readouterr().err
    config = next(run_folder.glob("*/config.yml"))
    copy = tmp_path / "copy" / "2026-01-02_03-04-05"
    copy.mkdir(parents=True)
    (copy / "config.yml").write_text(config.read_text().replace("head: flame", "head: builtin"))
    result = load_result(next(run_folder.glob("*/tracked_flame_params_0.npz")))
    object.__setattr__(result, "head_model", np.array("unknown"))
    save_result(copy / "tracked_flame_params_0.npz", result)
    with pytest.raises(SystemExit):
        export(copy.parent, tmp_path / "other", "hravatar")
    assert "expected a run of FLAME for --layout hravatar" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def test_without_mattes_the_head_s_silhouette_is_the_alpha(tmp_path, run_folder) -> None:
    root = run_folder.parent
    shutil.copytree(root, tmp_path / "data", ignore=shutil.ignore_patterns("alpha_maps"))
    config = next((tmp_path / "data" / "out").glob("*/config.yml"))
    config.write_text(config.read_text().replace(str(root), str(tmp_path / "data")))
    target = export(tmp_path / "data" / "out", tmp_path / "out", "hravatar")
    alpha = np.array(Image.open(target / "image" / "00000.png"))[..., 3]
    assert 0.02 < (alpha > 127).mean() < 0.9
