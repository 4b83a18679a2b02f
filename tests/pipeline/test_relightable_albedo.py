"""Albedo pictures of a subject filmed under a directed light, whose run is the truth."""

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from subject_run import finish

from vhap.config.loading import save_config
from vhap.config.relightable import AlbedoConfig, OptimizeConfig
from vhap.config.synthetic import SyntheticConfig
from vhap.data.pictures import read_alpha, read_rgb
from vhap.data.results import load_result, save_result
from vhap.pipeline import albedo_record, relightable_albedo
from vhap.pipeline.albedo_record import is_made_otherwise
from vhap.pipeline.captures import read_capture
from vhap.pipeline.heads import configured_head, resolved
from vhap.pipeline.make_synthetic_capture import run as make_capture
from vhap.pipeline.open_run import open_run
from vhap.pipeline.relightable_capture import subject_capture
from vhap.pipeline.relightable_fit import model_options, track_config
from vhap.relightable.subject_folder import SubjectFolder
from vhap.render.shading import uniform_lights
from vhap.synthetic import person
from vhap.synthetic.person import directional_light
from vhap.util.errors import InputError

FRAMES, SIZE = 8, 128


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("albedo")
    with pytest.MonkeyPatch.context() as patch:
        lights = 0.4 * uniform_lights() + 0.6 * directional_light(1.1, 0.3)[:, None].expand(9, 3)
        patch.setattr(person, "random_lights", lambda random: lights)
        film = make_capture(
            SyntheticConfig(
                root / "film", frames=FRAMES, size=SIZE, landmark_source="face-alignment", image_format="png"
            )
        )
    subject = SubjectFolder(root / "S")
    for index, path in enumerate(sorted((film / "images").iterdir())):
        alpha = read_alpha(film / "alpha_maps" / f"{path.stem}.png")
        subject.image(index).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.dstack([read_rgb(path), alpha])).save(subject.image(index))
    capture = subject_capture(subject)
    options = OptimizeConfig(subject.path, head="builtin", allow_other_head=True)
    config = track_config(options, subject, capture, resolved(model_options(options)), None)
    folder = config.exp.output_folder / "2026-01-02_03-04-05"
    folder.mkdir(parents=True)
    save_config(folder / "config.yml", config)
    truth = load_result(film / "ground_truth" / "tracked_flame_params_0.npz")
    camera = next(iter(json.loads((film / "ground_truth" / "cameras.json").read_text())["cameras"].values()))
    names = np.array(list(capture.names))
    truth = replace(truth, focal_length=np.float32([camera["fx"] / SIZE]), timestep_id=names)
    save_result(folder / "tracked_flame_params_0.npz", truth)
    finish(folder, configured_head(config.model), FRAMES)
    return subject.path


@pytest.fixture
def config(made, tmp_path) -> AlbedoConfig:
    shutil.copytree(made, tmp_path / "S", symlinks=True)
    run = next((tmp_path / "S" / "track").iterdir()) / "config.yml"
    run.write_text(run.read_text().replace(str(made.parent), str(tmp_path)))
    return AlbedoConfig(tmp_path / "S" / "image", tmp_path / "S" / "albedo", head="builtin")


def error(picture: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    """Mean absolute, each channel scaled to the truth."""
    a, b = picture[mask].astype(float), truth[mask].astype(float)
    return float(np.abs(a * (a * b).sum(0) / (a * a).sum(0) - b).mean())


@pytest.mark.parametrize("method", ["picture", "texture"])
def test_albedo_has_at_most_half_of_the_pictures_error(config, method):
    relightable_albedo.run(replace(config, method=method))
    scene = open_run(config.input_dir.parent / "track", with_landmarks=False)
    for row in range(0, FRAMES, 3):
        rendering, frame = scene.render(row)
        truth = np.ones((SIZE, SIZE, 3), np.float32)
        truth.reshape(-1, 3)[rendering.raster.pixels.numpy()] = rendering.albedo.numpy()
        found = read_rgb(config.output_dir / f"{row:05d}.png")
        assert found.shape == (SIZE, SIZE, 3)
        mask = rendering.raster.mask[0].numpy()
        if frame.alpha is not None:
            mask &= frame.alpha[0].numpy() == 1
            assert found[frame.alpha[0].numpy() == 0].min() >= 250
        picture = (255 * frame.rgb[0].numpy()).round()
        assert error(found, 255 * truth, mask) < 0.5 * error(picture, 255 * truth, mask)


def test_a_second_run_changes_nothing_and_the_interval_chooses(config):
    relightable_albedo.run(replace(config, image_interval=3))
    names = sorted(path.name for path in config.output_dir.iterdir())
    assert names == ["00000.png", "00003.png", "00006.png"]
    before = {path.name: path.stat().st_mtime_ns for path in config.output_dir.iterdir()}
    relightable_albedo.run(config)
    assert len(list(config.output_dir.iterdir())) == FRAMES
    assert all((config.output_dir / name).stat().st_mtime_ns == time for name, time in before.items())


def test_albedo_of_another_way_or_picture_is_made_again_and_that_of_others_is_kept(config, caplog):
    config.output_dir.mkdir()
    own = config.output_dir / "00000.png"
    Image.new("RGB", (SIZE, SIZE)).save(own)
    relightable_albedo.run(replace(config, image_interval=4))
    assert "1 pictures in" in caplog.text
    assert not np.asarray(Image.open(own)).any()
    before = (config.output_dir / "00004.png").read_bytes()
    relightable_albedo.run(replace(config, image_interval=4, method="texture"))
    assert (config.output_dir / "00004.png").read_bytes() != before
    assert not np.asarray(Image.open(own)).any()


def test_a_picture_that_another_tool_wrote_over_ours_is_kept(config, caplog, monkeypatch):
    monkeypatch.setattr(albedo_record, "get_logger", lambda: logging.getLogger("albedo"))
    relightable_albedo.run(replace(config, image_interval=2))
    record = config.output_dir.with_name("albedo.json")
    first = json.loads(record.read_text())
    assert sorted(first["pictures"]) == ["00000.png", "00002.png", "00004.png", "00006.png"]
    theirs = config.output_dir / "00002.png"
    Image.new("RGB", (SIZE, SIZE), (1, 2, 3)).save(theirs)
    # Its own way, then another, of fewer pictures.
    for options in ({}, {"method": "texture", "image_interval": 4}, {"image_interval": 2}):
        caplog.clear()
        relightable_albedo.run(replace(config, **options))
        assert np.asarray(Image.open(theirs)).max() == 3
        assert "00002.png" not in json.loads(record.read_text())["pictures"]
        said = f"1 pictures in {config.output_dir} are of another tool and kept (00002.png)" in caplog.text
        assert said == (options.get("image_interval") != 4)
        assert not is_made_otherwise(replace(config, **options))
    assert sorted(path.name for path in config.output_dir.iterdir()) == sorted(first["pictures"])
    theirs.unlink()
    relightable_albedo.run(replace(config, image_interval=2))
    assert json.loads(record.read_text()) == first


def test_pictures_over_black_get_the_same_albedo(config):
    """Premultiplied colours are tracked over black."""
    relightable_albedo.run(config)
    scene = open_run(config.input_dir.parent / "track", with_landmarks=False)
    lights = uniform_lights()
    white = relightable_albedo.albedo_of_picture(scene, 0, lights)
    data = replace(scene.config.data, background_color=None)
    capture = read_capture(replace(data, background_color="black", use_landmark=False))
    black = replace(scene, config=replace(scene.config, data=data), capture=capture)
    found = relightable_albedo.albedo_of_picture(black, 0, lights)
    assert np.abs(found.astype(int) - white.astype(int)).max() <= 2


def test_other_folders_are_one_line(config, tmp_path):
    with pytest.raises(InputError, match="expected a subject's folder of pictures for --input_dir"):
        relightable_albedo.run(replace(config, input_dir=tmp_path / "nothing"))
    with pytest.raises(InputError, match="found another folder"):
        relightable_albedo.run(replace(config, input_dir=tmp_path))
    (config.input_dir / "00001.png").rename(config.input_dir / "one.png")
    with pytest.raises(InputError, match="expected pictures named by numbers for --image_interval 3"):
        relightable_albedo.run(replace(config, image_interval=3))


def test_options_of_a_network_without_one_are_a_line_each(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(relightable_albedo, "get_logger", lambda: logging.getLogger("albedo"))
    given = AlbedoConfig(tmp_path, tmp_path, allow_unknown_weights=True, model_size=64, batch_size=10)
    relightable_albedo.check_options(given)
    names = ("allow_unknown_weights", "model_size", "batch_size")
    assert caplog.messages == [f"--{name} has no effect without --model_dir" for name in names]
    caplog.clear()
    relightable_albedo.check_options(replace(given, model_dir=tmp_path))
    relightable_albedo.check_options(AlbedoConfig(tmp_path, tmp_path))
    assert not caplog.messages


def test_shading_goes_on_beside_the_head():
    mask = np.zeros((20, 20), bool)
    mask[8:12, 8:12] = True
    shading = np.where(mask[..., None], np.float32(0.5), np.float32(9)) * np.ones(3, np.float32)
    assert np.abs(relightable_albedo.carried_on(shading, mask) - 0.5).max() < 1e-5
    assert np.array_equal(relightable_albedo.carried_on(shading, mask & False), np.ones((20, 20, 3), np.float32))


def test_a_subject_without_a_run_is_tracked_first(config, monkeypatch):
    """Into a folder of its own, which readers of optimize.py's runs do not take for theirs."""
    subject = config.input_dir.parent
    run = next((subject / "track").iterdir())
    kept = run.rename(subject / "kept")

    def tracked(options):
        assert torch.is_grad_enabled()
        assert options.model.head == "builtin"
        assert options.exp.output_folder == subject / "albedo_track"
        return shutil.copytree(kept, options.exp.output_folder / run.name)

    monkeypatch.setattr(relightable_albedo.track, "run_once", tracked)
    relightable_albedo.run(replace(config, image_interval=4))
    assert len(list(config.output_dir.iterdir())) == 2
    assert not any((subject / "track").iterdir())
    monkeypatch.setattr(relightable_albedo.track, "run_once", None)
    relightable_albedo.run(config)


def test_a_run_by_other_points_and_through_a_link_is_found(config, tmp_path, monkeypatch):
    monkeypatch.setattr(relightable_albedo.track, "run_once", None)
    subject = config.input_dir.parent
    points = np.random.default_rng(0).uniform(20, 70, (68, 2)).tolist()
    (subject / "keypoint.json").write_text(json.dumps({f"{k:05d}.png": points for k in range(FRAMES)}))
    (tmp_path / "link").symlink_to(subject)
    linked = replace(config, input_dir=tmp_path / "S" / ".." / "link" / "image")
    relightable_albedo.run(replace(linked, image_interval=4))
    assert len(list(config.output_dir.iterdir())) == 2
    # A copy of the subject has pictures of its own, which may change.
    shutil.copytree(subject, tmp_path / "copy", symlinks=True)
    with pytest.raises(TypeError):
        relightable_albedo.run(replace(config, input_dir=tmp_path / "copy" / "image"))
