"""optimize.py, from a subject's folder to files that a trainer's own reader places on the pictures."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from subject_run import COUNT, FOCAL, SIZE, fake_tracking, loaded_once, write_flame2020, write_subject
from trainer_reader import Flame, HravatarReader, imavatar_projected

from vhap import optimize
from vhap.config.loading import load_config
from vhap.config.track import LossWeightConfig, TrackConfig
from vhap.data.results import load_result, save_result
from vhap.evaluate.run_scene import RunScene
from vhap.head.load import load_head
from vhap.pipeline.open_run import open_run
from vhap.relightable.head_files import (
    CODE_SIZES,
    HeadCode,
    codes_text,
    read_flame_params,
    read_shape_params,
    read_tracked_params,
)


@pytest.fixture(scope="module")
def flame(tmp_path_factory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        return write_flame2020(tmp_path_factory.mktemp("flame"), patch)


@pytest.fixture
def subject(tmp_path, monkeypatch, flame) -> Path:
    monkeypatch.setenv("VHAP_FLAME_MODEL", str(flame))
    monkeypatch.setattr("vhap.pipeline.relightable_fit.track.run_once", fake_tracking)
    monkeypatch.setattr("vhap.pipeline.heads.load_head", loaded_once)
    return write_subject(tmp_path / "person")


def fit(subject: Path, *options: str) -> RunScene:
    optimize.main(["--path", str(subject), *options])
    return open_run(subject / "track", with_landmarks=False)


def projected(scene: RunScene, row: int) -> np.ndarray:
    return scene.camera().project(scene.vertices(row))[0].numpy()


def test_a_reader_places_the_mesh_where_it_was_tracked(subject, flame) -> None:
    scene = fit(subject, "--n_expr", "50", "--with_translation")
    reader = HravatarReader(subject, Flame(flame))
    count = len(reader.flame.template)
    assert [path.name for path in reader.paths] == [f"{k:05d}.png" for k in range(COUNT)]
    for row, path in enumerate(reader.paths):
        np.testing.assert_allclose(reader.projected(path), projected(scene, row)[:count], atol=1e-3)
    assert reader.content["intrinsics"] == pytest.approx([FOCAL * SIZE, FOCAL * SIZE, SIZE / 2, SIZE / 2])
    assert reader.content["00001.png"]["world_mat"] == reader.content["world_mat"]
    assert reader.content["world_mat"] == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, -4], [0, 0, 0, 1]]
    assert "eyelids" not in reader.content["00000.png"]
    assert [len(part) for part in reader.split(0.25)] == [COUNT - 1, 1]


def test_without_translation_the_movement_is_in_the_camera(subject, flame) -> None:
    scene = fit(subject)
    reader = HravatarReader(subject, Flame(flame))
    assert len(reader.paths) == COUNT
    for row, path in enumerate(reader.paths):
        assert "translation" not in reader.entry(path)
        found = reader.projected(path)
        np.testing.assert_allclose(found, projected(scene, row)[: len(found)], atol=1e-3)


def test_a_reader_finds_the_keypoints_on_its_own_head(subject, flame) -> None:
    scene = fit(subject, "--with_translation", "--save_name", "mine")
    params = read_flame_params(subject / "mine.json")
    reader = Flame(flame)
    count = len(reader.template)
    seen = list(imavatar_projected(subject, reader, "mine.json"))
    assert len(params.frames) == len(seen) == COUNT
    for row, (frame, (file_path, outside)) in enumerate(zip(params.frames, seen)):
        assert file_path == frame.file_path == f"./image/{row:05d}.png"
        np.testing.assert_allclose((outside[:count] + 1) * SIZE / 2, projected(scene, row)[:count], atol=1e-3)
        np.testing.assert_allclose(frame.flame_keypoints[17:], outside[count:], atol=2e-5)
        points = frame.flame_keypoints
        np.testing.assert_allclose(frame.bbox, [*points.min(0), *points.max(0)])


def test_a_given_camera_is_obeyed_and_written_as_the_trainer_takes_it(subject, flame, caplog) -> None:
    scene = fit(subject, "--fx", "231", "--fy", "226", "--cx", "49.1", "--cy", "47.2", "--with_translation")
    camera = scene.camera()
    assert [float(v) for v in (camera.fx, camera.fy, camera.cx, camera.cy)] == pytest.approx([231, 226, 49.1, 47.2])
    fx, fy, cx, cy = read_tracked_params(subject / "tracked_params.json").intrinsics
    assert fx == fy == pytest.approx(228.5, abs=0.5)
    assert (cx, cy) == (SIZE / 2, SIZE / 2)
    reader = HravatarReader(subject, Flame(flame))
    gaps = [
        np.linalg.norm(reader.projected(path) - projected(scene, row)[: len(reader.flame.template)], axis=1)
        for row, path in enumerate(reader.paths)
    ]
    # 2 % between the focal lengths are 1 % of the face's half on either side, which no camera of the trainer shows.
    assert np.concatenate(gaps).mean() < 0.25
    assert np.concatenate(gaps).max() < 0.8
    assert "ignore fy, cx and cy" in caplog.text


def test_a_principal_point_beside_the_centre_becomes_a_turn(subject, flame) -> None:
    scene = fit(subject, "--fx", "231", "--cx", "50", "--cy", "46", "--with_translation")
    reader = HravatarReader(subject, Flame(flame))
    assert len(reader.paths) == COUNT
    for row, path in enumerate(reader.paths):
        found = reader.projected(path)
        assert np.abs(found - projected(scene, row)[: len(found)]).max() < 0.1


def test_a_second_run_changes_nothing_and_a_lost_picture_comes_back(subject) -> None:
    fit(subject)
    files = [subject / name for name in ("flame_params.json", "tracked_params.json", "optimize_vis.jpg")]
    before = {path: path.stat().st_mtime_ns for path in subject.rglob("*") if path.is_file()}
    fit(subject)
    assert before == {path: path.stat().st_mtime_ns for path in subject.rglob("*") if path.is_file()}
    files[-1].unlink()
    fit(subject)
    assert Image.open(files[-1]).size[0] > SIZE


def test_what_trainers_do_not_take_is_told(subject, caplog) -> None:
    fit(subject, "--n_shape", "120", "--n_expr", "60", "--with_eyelid", "--with_translation_camera")
    for text in (
        "120 shape coefficients: trainers take 100",
        "--n_expr 60",
        "--with_eyelid has no",
        "--with_translation_cam",
    ):
        assert text in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--fy", "200"), "expected --fx with --fy"),
        (("--size", "128"), "expected pictures of 128x128"),
        (("--save_name", "a/b"), "expected a file's name"),
        (("--shape_from", "nowhere"), "or a finished run in nowhere"),
        (("--head", "builtin"), "expected FLAME for tracked_params.json"),
    ],
)
def test_bad_options_end_in_one_line(subject, capsys, options, message) -> None:
    with pytest.raises(SystemExit) as stop:
        optimize.main(["--path", str(subject), *options])
    assert stop.value.code == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert not (subject / "tracked_params.json").exists()


def test_a_code_that_is_no_code_is_refused(subject, capsys) -> None:
    (subject / "code.json").write_text(json.dumps({"00000.png": {"shape": [[1, 2]]}}))
    with pytest.raises(SystemExit):
        optimize.main(["--path", str(subject)])
    assert "expected 1 x 100 numbers as shape" in capsys.readouterr().err


@pytest.mark.parametrize("spread", [0, 5])
def test_codes_change_neither_the_run_nor_its_files(subject, spread) -> None:
    fit(subject)
    before = {path: path.stat().st_mtime_ns for path in subject.rglob("*") if path.is_file()}
    values = np.random.default_rng(0)
    codes = {
        f"{k:05d}.png": HeadCode(*(spread * values.standard_normal(size) for size in CODE_SIZES.values()))
        for k in range(COUNT)
    }
    (subject / "code.json").write_text(codes_text(codes))
    fit(subject)
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert len(list((subject / "track").iterdir())) == 1


def another(subject: Path, name: str) -> Path:
    return write_subject(subject.parent / name)


def test_a_shape_is_shared_by_run_or_by_file(subject) -> None:
    fit(subject, "--n_shape", "40")
    shape = read_shape_params(subject / "flame_params.json")
    for name in ("with_run", "with_file"):
        other = another(subject, name)
        if name == "with_file":
            shutil.rmtree(subject / "track")
        fit(other, "--shape_from", str(subject))
        config = load_config(next((other / "track").glob("2*/config.yml")), TrackConfig)
        assert config.model.fix_shape
        assert not config.model.fix_texture
        assert config.model.flame_params_path is not None
        shared = load_result(config.model.flame_params_path).shape
        np.testing.assert_allclose(shared, np.pad(shape, (0, 60)), rtol=1e-6)


def test_a_shape_of_another_head_is_refused(subject, capsys) -> None:
    fit(subject)
    file = next((subject / "track").glob("2*/tracked_flame_params_0.npz"))
    save_result(file, replace(load_result(file), head_model=np.array("flame2023:0123")))
    with pytest.raises(SystemExit):
        optimize.main(["--path", str(another(subject, "other")), "--shape_from", str(subject)])
    assert "found flame2023:0123" in capsys.readouterr().err


def test_the_newest_finished_run_of_this_head_shares_its_shape(subject) -> None:
    scene = fit(subject)
    runs = subject / "track"
    for number, change in enumerate(("another head", "unfinished"), 10):
        newer = shutil.copytree(scene.folder, runs / f"2026-01-02_03-04-{number}")
        file = newer / "tracked_flame_params_0.npz"
        result = load_result(file)
        head = "flame2023:0123" if change == "another head" else result.head_identity
        save_result(file, replace(result, shape=result.shape + 1, head_model=np.array(head)))
        if change == "unfinished":
            (newer / "checkpoint.pt").unlink()
    other = another(subject, "other")
    fit(other, "--shape_from", str(subject))
    config = load_config(next((other / "track").glob("2*/config.yml")), TrackConfig)
    assert config.model.flame_params_path is not None
    np.testing.assert_allclose(load_result(config.model.flame_params_path).shape, scene.result.shape)


def test_a_folder_of_other_meshes_is_refused_before_the_fit(subject, capsys, monkeypatch) -> None:
    head = load_head("builtin", n_shape=5, n_expr=6)
    monkeypatch.setattr("vhap.pipeline.heads.load_head", lambda *options, **more: head)
    (subject / "meshes").mkdir()
    (subject / "meshes" / "mine.obj").touch()
    with pytest.raises(SystemExit):
        optimize.main(["--path", str(subject), "--head", "builtin", "--allow_other_head"])
    assert "found a folder with other files" in capsys.readouterr().err
    assert not (subject / "track").exists()


def test_a_longer_shape_asks_for_its_length(subject, capsys) -> None:
    fit(subject, "--n_shape", "60")
    with pytest.raises(SystemExit):
        optimize.main(["--path", str(another(subject, "other")), "--shape_from", str(subject), "--n_shape", "50"])
    assert "give --n_shape 60" in capsys.readouterr().err


def test_weights_are_told_against_their_defaults(subject) -> None:
    fit(subject, "--lambda_translation_diff", "10", "--lambda_pose_diff", "5", "--no-photometric")
    config = load_config(next((subject / "track").glob("2*/config.yml")), TrackConfig)
    ours = LossWeightConfig()
    assert config.w.smooth_trans == 2 * ours.smooth_trans
    assert config.w.smooth_rot == ours.smooth_rot / 2
    assert not config.exp.photometric
    assert not config.model.use_static_offset


def test_given_points_masks_and_other_formats(subject, caplog) -> None:
    matte = np.array(Image.open(subject / "image" / "00000.png"))[..., 3]
    (subject / "mask").mkdir()
    points = np.random.default_rng(0).uniform(20, 70, (68, 2)).tolist()
    for index in range(COUNT):
        path = subject / "image" / f"{index:05d}.png"
        Image.open(path).convert("RGB").save(path.with_suffix(".bmp"))
        Image.fromarray(np.repeat(matte[..., None], 3, 2)).save(subject / "mask" / f"{index:05d}.bmp")
        path.unlink()
    (subject / "keypoint.json").write_text(json.dumps({f"{k:05d}.bmp": points for k in range(COUNT)}))
    scene = fit(subject, "--with_translation")
    assert scene.config.data.landmark_source == "face-alignment"
    assert "no irises of 4 of 4 pictures" in caplog.text
    frame = scene.load(0)
    np.testing.assert_array_equal((frame.alpha[0] > 0.5).numpy(), matte > 127)
    assert set(read_tracked_params(subject / "tracked_params.json").frames) == {f"{k:05d}.bmp" for k in range(COUNT)}


def test_changed_pictures_are_another_recording(subject) -> None:
    fit(subject)
    first = set((subject / ".capture").glob("*/*"))
    picture = subject / "image" / "00002.png"
    Image.fromarray(np.asarray(Image.open(picture))[::-1].copy()).save(picture)
    fit(subject)
    assert len(set((subject / ".capture").glob("*/*")) - first) == 1
    assert len(list((subject / "track").iterdir())) == 2


def test_other_points_are_another_run_of_the_same_recording(subject) -> None:
    fit(subject)
    points = np.random.default_rng(0).uniform(20, 70, (2, 68, 2)).tolist()
    for count, given in enumerate(points, 2):
        (subject / "keypoint.json").write_text(json.dumps({f"{k:05d}.png": given for k in range(COUNT)}))
        fit(subject)
        assert len(list((subject / "track").iterdir())) == count
    assert len({path.name for path in (subject / ".capture").glob("*/*")}) == 1


def test_the_picture_of_another_run_or_tool_is_made_again(subject, monkeypatch) -> None:
    fit(subject)
    picture = subject / "optimize_vis.jpg"
    before = picture.read_bytes()
    picture.write_bytes(b"another tool's")
    fit(subject)
    assert picture.read_bytes() == before
    # Colours change, and numbers do not: the files stay, and the picture is made anew.
    path, params = subject / "image" / "00002.png", (subject / "tracked_params.json").read_bytes()
    Image.fromarray(np.asarray(Image.open(path))[..., [1, 0, 2, 3]].copy()).save(path)
    fit(subject)
    assert (subject / "tracked_params.json").read_bytes() == params
    assert picture.read_bytes() != before


def test_another_head_writes_meshes_beside_its_coefficients(subject, caplog, monkeypatch) -> None:
    head = load_head("builtin", n_shape=5, n_expr=6)
    monkeypatch.setattr("vhap.pipeline.heads.load_head", lambda *options, **more: head)
    fit(subject, "--head", "builtin", "--allow_other_head")
    assert "readers that pose FLAME show another shape" in caplog.text
    assert len(read_tracked_params(subject / "tracked_params.json").frames) == COUNT
    assert len(list((subject / "meshes").glob("frame_*.obj"))) == COUNT


def test_flame_of_another_year_is_told(subject, caplog, flame, monkeypatch) -> None:
    shutil.copytree(flame.parent, subject.parent / "later")
    later = (subject.parent / "later" / flame.name).rename(subject.parent / "later" / "flame2023.pkl")
    fit(subject, "--flame_model_path", str(later))
    assert "the head is flame2023: trainers pose FLAME 2020" in caplog.text
