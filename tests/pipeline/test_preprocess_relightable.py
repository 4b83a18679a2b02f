"""The whole chain of a relightable avatar's subject, with a tracking that is chosen, from the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from subject_run import COUNT, fake_tracking, loaded_once, write_flame2020, write_subject
from trainer_reader import Flame, HravatarReader

from vhap import preprocess_relightable
from vhap.pipeline import preprocess_relightable as chain


@pytest.fixture
def source(tmp_path, monkeypatch) -> Path:
    flame = write_flame2020(tmp_path / "flame", monkeypatch)
    monkeypatch.setenv("VHAP_FLAME_MODEL", str(flame))
    monkeypatch.setattr("vhap.pipeline.relightable_fit.track.run_once", fake_tracking)
    monkeypatch.setattr("vhap.pipeline.heads.load_head", loaded_once)
    # The discs of these pictures are no faces.
    monkeypatch.setattr(chain.relightable_points, "run_keypoints", lambda config: config.path)
    monkeypatch.setattr(chain.relightable_points, "run_irises", lambda config: config.path)
    monkeypatch.setattr(chain.report, "run", lambda config: config.run / "report.html")
    write_subject(tmp_path / "person")
    return tmp_path


def test_chain_ends_in_what_trainers_read_and_goes_on_where_it_was(source, capsys):
    words = ["--source", str(source), "--name", "person"]
    preprocess_relightable.main(words)
    subject = source / "person"
    assert capsys.readouterr().out.strip().endswith("report.html")
    made = {path: path.stat().st_mtime_ns for path in subject.iterdir() if path.is_file()}
    names = {path.name for path in made}
    assert {"crop.json", "flame_params.json", "tracked_params.json", "code.json"} <= names
    assert sorted(path.name for path in (subject / "albedo").iterdir()) == ["00000.png", "00003.png"]
    reader = HravatarReader(subject, Flame(source / "flame" / "generic_model.pkl"))
    assert len(reader.paths) == COUNT
    preprocess_relightable.main(words)
    assert {path: path.stat().st_mtime_ns for path in made} == made


def test_kept_masks_are_made_again_after_the_fit(source, monkeypatch):
    steps = []
    monkeypatch.setattr(chain.relightable_crop, "run", lambda config: steps.append((config.keep_masks, config.parsing)))
    fit = chain.relightable_fit.run
    monkeypatch.setattr(chain.relightable_fit, "run", lambda config: (steps.append("fit"), fit(config)))
    words = ["--source", str(source), "--name", "person", "--keep_masks", "--parsing"]
    preprocess_relightable.main([*words, "mesh"])
    assert steps == [(True, "auto"), "fit", (True, "mesh")]


def test_a_tracked_head_parses_nothing_without_masks(source, capsys):
    before = sorted(source.rglob("*"))
    with pytest.raises(SystemExit):
        preprocess_relightable.main(["--source", str(source), "--name", "person", "--parsing", "mesh"])
    assert "expected --keep_masks with --parsing mesh" in capsys.readouterr().err
    assert sorted(source.rglob("*")) == before


def test_other_heads_are_refused_before_anything_is_written(source, capsys):
    before = sorted(source.rglob("*"))
    with pytest.raises(SystemExit) as stop:
        preprocess_relightable.main(["--source", str(source), "--name", "person", "--head", "builtin"])
    assert stop.value.code == 2
    assert "expected FLAME for tracked_params.json" in capsys.readouterr().err
    assert sorted(source.rglob("*")) == before
