"""demo_reconstruct.py: DECA's codes where its reader looks for them, from whichever fit is there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from subject_run import COUNT, SIZE, fake_tracking, loaded_once, write_flame2020, write_subject
from trainer_reader import Flame

from vhap import demo_reconstruct, optimize
from vhap.data.run_order import runs_in
from vhap.pipeline import relightable_codes
from vhap.pipeline.open_run import open_run
from vhap.pipeline.relightable_capture import subject_capture
from vhap.pipeline.relightable_runs import finished_subject_run
from vhap.relightable.head_files import read_codes
from vhap.relightable.subject_folder import SubjectFolder


@pytest.fixture(scope="module")
def flame(tmp_path_factory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        return write_flame2020(tmp_path_factory.mktemp("flame"), patch)


@pytest.fixture
def subject(tmp_path, monkeypatch, flame) -> Path:
    monkeypatch.setenv("VHAP_FLAME_MODEL", str(flame))
    monkeypatch.setattr("vhap.pipeline.track.run_once", fake_tracking)
    monkeypatch.setattr("vhap.pipeline.heads.load_head", loaded_once)
    return write_subject(tmp_path / "decathlon" / "person")


def reconstruct(subject: Path, *options: str) -> None:
    demo_reconstruct.main(["-i", str(subject / "image"), "--savefolder", str(subject / "deca"), *options])


def change_picture(subject: Path) -> None:
    picture = subject / "image" / "00001.png"
    Image.fromarray(np.asarray(Image.open(picture))[..., [1, 0, 2, 3]].copy()).save(picture)


def test_codes_of_a_quick_fit_place_deca_s_head_in_the_face_s_square(subject, flame) -> None:
    reconstruct(subject, "--saveCode", "True", "--saveVis", "False", "--sample_step", "1", "--render_orig", "False")
    codes = read_codes(subject / "code.json")
    assert list(codes) == [f"{k:05d}.png" for k in range(COUNT)]
    scene, reader = open_run(subject / "deca", with_landmarks=False), Flame(flame)
    assert not scene.config.exp.photometric
    assert scene.config.data.unordered
    for row, code in enumerate(codes.values()):
        full = np.concatenate([code.pose[:3], np.zeros(3), code.pose[3:], np.zeros(6)])
        posed = reader.vertices(code.shape, code.exp, full)
        ids = scene.model.regions["face"].numpy()
        ids = ids[ids < len(posed)]
        flat = code.cam[0] * (posed[ids, :2] + code.cam[1:]) * (1, -1)
        assert np.abs(flat).max() < 1.5
        wanted = scene.camera().project(scene.vertices(row))[0].numpy()[ids]
        # Where the square lies is not in the code: the places agree up to its scale and shift.
        scale = np.linalg.norm(wanted - wanted.mean(0)) / np.linalg.norm(flat - flat.mean(0))
        gaps = wanted - wanted.mean(0) - scale * (flat - flat.mean(0))
        # The face is 0.1 m deep and 1 m away.
        assert np.linalg.norm(gaps, axis=1).mean() < 0.04 * np.ptp(wanted[:, 1])


def test_a_finished_run_of_the_same_pictures_is_used(subject) -> None:
    optimize.main(["--path", str(subject)])
    reconstruct(subject)
    assert not (subject / "deca").exists()
    assert len(read_codes(subject / "code.json")) == COUNT
    # Other points are no other pictures.
    points = np.random.default_rng(0).uniform(20, 70, (68, 2)).tolist()
    (subject / "keypoint.json").write_text(json.dumps({f"{k:05d}.png": points for k in range(COUNT)}))
    reconstruct(subject)
    assert not (subject / "deca").exists()
    change_picture(subject)
    reconstruct(subject)
    assert list((subject / "deca").glob("*/config.yml"))


def test_the_run_that_the_files_are_of_comes_before_newer_ones(subject) -> None:
    def found() -> str:
        folder = SubjectFolder(subject)
        run = finished_subject_run(folder, subject_capture(folder))
        assert run is not None
        return run.name

    for n_shape in (20, 10):
        optimize.main(["--path", str(subject), "--n_shape", str(n_shape)])
    first, second = (run.name for run in runs_in(subject / "track"))
    assert found() == second
    # Its options find the older run again, and the files are those of that one.
    optimize.main(["--path", str(subject), "--n_shape", "20"])
    assert [run.name for run in runs_in(subject / "track")] == [first, second]
    assert found() == first
    reconstruct(subject, "--head", "flame")
    codes, params = read_codes(subject / "code.json"), json.loads((subject / "flame_params.json").read_text())
    shape = next(iter(codes.values())).shape
    assert np.count_nonzero(shape) == 20
    assert np.allclose(shape[:20], params["shape_params"])
    # Without a record, the newest.
    (subject / "optimize_vis.jpg").unlink()
    assert found() == second


def test_pictures_and_steps(subject) -> None:
    reconstruct(subject, "--saveVis", "True", "--render_orig", "True", "--sample_step", "3", "--saveCode", "False")
    assert not (subject / "code.json").exists()
    names = sorted(path.name for path in (subject / "deca").glob("*.jpg"))
    assert names == ["00000_vis.jpg", "00003_vis.jpg"]
    assert Image.open(subject / "deca" / names[0]).size == (SIZE, SIZE)
    before = (subject / "deca" / names[0]).stat().st_mtime_ns
    reconstruct(subject, "--saveVis", "True", "--render_orig", "True", "--sample_step", "1", "--saveCode", "False")
    assert len(list((subject / "deca").glob("*.jpg"))) == COUNT
    assert (subject / "deca" / names[0]).stat().st_mtime_ns == before
    reconstruct(subject, "--saveVis", "True", "--render_orig", "False", "--sample_step", "3")
    assert Image.open(subject / "deca" / names[0]).size == (224, 224)
    assert list(read_codes(subject / "code.json")) == ["00000.png", "00003.png"]


def test_codes_are_kept_where_they_are_of_these_pictures(subject, caplog) -> None:
    folder = SubjectFolder(subject)
    assert not relightable_codes.has_codes(folder)
    reconstruct(subject, "--sample_step", "2")
    before = (subject / "code.json").stat().st_mtime_ns
    assert relightable_codes.has_codes(folder)
    reconstruct(subject, "--sample_step", "2")
    assert (subject / "code.json").stat().st_mtime_ns == before
    ours = json.loads((subject / "code.json").read_text())
    assert len(ours) == 2
    # Another tool's are told by the pictures' names.
    others = dict.fromkeys([f"{k:05d}" for k in range(COUNT)], ours["00000.png"])
    (subject / "code.json").write_text(json.dumps(others))
    assert relightable_codes.has_codes(folder)
    del others["00003"]
    (subject / "code.json").write_text(json.dumps(others))
    assert not relightable_codes.has_codes(folder)
    assert "another tool's without 1 of the pictures (00003.png)" in caplog.text
    reconstruct(subject)
    assert relightable_codes.has_codes(folder)
    change_picture(subject)
    assert not relightable_codes.has_codes(folder)
    assert "those of other pictures" in caplog.text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-i", "film.mp4", "--savefolder", "deca"], "expected a subject's folder of pictures for -i"),
        (["-i", "{subject}/image", "--savefolder", "deca", "--head", "builtin"], "expected FLAME for code.json"),
        (["-i", "{subject}/image", "--savefolder", "deca", "--sample_step", "0"], "--sample_step"),
    ],
)
def test_bad_input_ends_in_one_line(subject, capsys, words, message) -> None:
    with pytest.raises(SystemExit) as stop:
        demo_reconstruct.main([word.format(subject=subject) for word in words])
    assert stop.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert message in lines[0]
