"""One person in several sequences: one identity, sequences that follow it, failures held apart, resuming."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vhap import api, cli
from vhap.api import InputError
from vhap.config.data import DataConfig
from vhap.config.loading import load_config
from vhap.config.person import MonocularPersonConfig
from vhap.config.synthetic import SyntheticConfig
from vhap.config.track import ExperimentConfig, ModelConfig, MonocularTrackConfig
from vhap.data.results import TrackResult, load_result, result_path, save_result
from vhap.pipeline import person_run, track_person
from vhap.pipeline.make_synthetic_capture import run as make_capture
from vhap.pipeline.start_values import with_solved_focal
from vhap.util.files import read_json

QUICK: dict[str, Any] = {"head": "builtin", "photometric": False, "report": False, "max_eval_frames": 0}
NAMES = ("anna_a", "anna_b", "anna_c")


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of three films of one person, the second twice as large."""
    root = tmp_path_factory.mktemp("films")
    for number, name in enumerate(NAMES):
        make_capture(
            SyntheticConfig(root / name, frames=5, size=192 if number == 1 else 96, seed=3, motion_seed=number)
        )
    return root


@pytest.fixture(scope="module")
def done(films: Path) -> track_person.PersonRuns:
    return api.track_person(films, NAMES, output_folder=films.parent / "done", **QUICK)


def result_of(folder: Path) -> TrackResult:
    return load_result(result_path(folder))


def test_all_sequences_have_the_persons_identity_and_camera(done: track_person.PersonRuns, films: Path) -> None:
    person = result_of(done.person)
    assert done.person.parent.name == "anna_person"
    assert [done.runs[name].parent.name for name in NAMES] == [*NAMES]
    assert not done.failed
    assert person.focal_length is not None
    focal = float(person.focal_length[0])
    assert focal != pytest.approx(1.5)
    for name in NAMES:
        result = result_of(done.runs[name])
        np.testing.assert_array_equal(result.shape, person.shape)
        camera = api.open_run(done.runs[name]).camera()
        assert float(camera.fx) / camera.width == pytest.approx(focal, rel=1e-5)
        config = load_config(done.runs[name] / "config.yml", MonocularTrackConfig)
        assert config.model.focal_path is None
        assert config.data.fx == pytest.approx(focal * (192 if name == "anna_b" else 96))
    assert len(done.table().splitlines()) == 5


def test_keyframes_are_of_all_sequences(done: track_person.PersonRuns) -> None:
    names = read_json(done.person / person_run.KEYFRAMES, list)
    assert len(names) == 15
    assert {name.split("/")[0] for name in names} == {*NAMES}


def test_a_finished_person_is_kept_and_nothing_is_done_again(done: track_person.PersonRuns, films: Path) -> None:
    again = api.track_person(films, NAMES, output_folder=films.parent / "done", **QUICK)
    assert (again.person, again.runs) == (done.person, done.runs)


def test_the_persons_own_run_is_no_sequence(done: track_person.PersonRuns, tmp_path: Path) -> None:
    said = r"expected the run of one sequence in .*anna_person.*, found that of a person"
    with pytest.raises(InputError, match=said):
        api.open_run(done.person.parent)
    with pytest.raises(InputError, match=said):
        api.export(done.person, tmp_path / "export")


def test_another_number_of_keyframes_is_another_person(done: track_person.PersonRuns, films: Path) -> None:
    place = films.parent / "done"
    other = api.track_person(films, NAMES, output_folder=place, keyframes=6, person_only=True, **QUICK)
    assert other.person != done.person
    assert other.runs == {}
    names = read_json(other.person / person_run.KEYFRAMES, list)
    assert [sum(name.startswith(sequence) for name in names) for sequence in NAMES] == [2, 2, 2]


def test_a_sequence_that_fails_is_reported_and_stops_no_other(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    shutil.copytree(films, data)
    picture = data / "anna_b" / "images" / "000003.jpg"
    whole = picture.read_bytes()
    picture.write_bytes(b"")
    words = ["track-person", str(data), "--sequences", *NAMES, "--model.head", "builtin", "--exp.no_photometric"]
    words += ["--exp.no_report", "--log.max_eval_frames", "0", "--exp.output_folder", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as stop:
        cli.main(words)
    assert stop.value.code == 1
    said = capsys.readouterr()
    assert re.search("^anna_b +- +- +- +FAILED$", said.out, re.MULTILINE)
    assert "anna_b: expected " in said.out
    assert "give the same command again" in said.err
    (person,) = (tmp_path / "out" / "anna_person").glob("2*")
    assert {name.split("/")[0] for name in read_json(person / person_run.KEYFRAMES, list)} == {"anna_a", "anna_c"}
    picture.write_bytes(whole)
    cli.main(words)
    assert len(list((tmp_path / "out" / "anna_person").glob("2*"))) == 1
    (run,) = (tmp_path / "out" / "anna_b").glob("2*")
    np.testing.assert_array_equal(result_of(run).shape, result_of(person).shape)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sequences": ["anna_a"]}, "expected two or more sequences"),
        ({"sequences": ["anna_a", "anna_a"]}, "expected each sequence once"),
        ({"sequences": ["anna_a", "nobody"]}, "whose name begins with 'nobody'"),
        ({"flame_params_path": "a.npz", "fix_shape": True}, "expected a person to be solved"),
        ({"focal_path": "a.npz"}, "expected a person to be solved"),
        ({"begin_timestep": 2}, "expected all stages of all frames"),
        ({"resume": "runs/1"}, "expected auto or never for --exp.resume"),
        ({"sequences": "anna_a"}, "expected several sequences, found one name"),
    ],
)
def test_wrong_options_end_it_with_a_line(films: Path, tmp_path: Path, options: dict[str, Any], said: str) -> None:
    given = {"sequences": NAMES, **options}
    with pytest.raises(InputError, match=said):
        api.track_person(films, output_folder=tmp_path / "out", **given, **QUICK)
    assert not (tmp_path / "out").exists()


def test_a_sequence_of_the_persons_own_name_is_refused(films: Path, tmp_path: Path) -> None:
    shutil.copytree(films / "anna_a", tmp_path / "anna_person")
    shutil.copytree(films / "anna_c", tmp_path / "anna_c")
    with pytest.raises(InputError, match="found anna_person twice"):
        api.track_person(tmp_path, ["anna_person", "anna_c"], output_folder=tmp_path / "out", **QUICK)


@pytest.mark.parametrize(
    ("sequences", "subject", "folders"),
    [
        (("anna_a", "anna_b"), "", ("anna", "anna_a", "anna_b")),
        (("talk", "sing"), "", ("person", "person_talk", "person_sing")),
        (("anna_a", "bert_b"), "", ("person", "person_anna_a", "person_bert_b")),
        (("talk", "day 2/sing"), "Anna B.", ("Anna-B", "Anna-B_talk", "Anna-B_sing")),
    ],
)
def test_names_of_results(sequences: tuple[str, ...], subject: str, folders: tuple[str, ...]) -> None:
    config = MonocularPersonConfig(DataConfig(), sequences=sequences, subject=subject)
    name = track_person.subject_of(config)
    assert (name, *(track_person.run_name(name, one) for one in sequences)) == folders


@pytest.mark.parametrize(
    ("change", "data", "said"),
    [
        ({}, {"fx": 800.0}, "expected one camera of unknown focal length"),
        ({"focal_length": None}, {}, "expected a solved focal length"),
        ({"image_size": np.array([96, 200])}, {}, "expected pictures of the shape 200x96"),
    ],
)
def test_a_focal_length_that_cannot_be_taken_over(
    done: track_person.PersonRuns, films: Path, tmp_path: Path, change: dict, data: dict, said: str
) -> None:
    path = tmp_path / "tracked_flame_params_30.npz"
    save_result(path, replace(result_of(done.person), **change))
    model = ModelConfig(head="builtin", focal_path=path)
    config = MonocularTrackConfig(DataConfig(films, "anna_a", **data), ExperimentConfig(tmp_path), model)
    with pytest.raises(InputError, match=said):
        with_solved_focal(config)


def test_a_dry_run_writes_nothing(films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    api.track_person(films, NAMES, output_folder=tmp_path / "out", dry_run=True, **QUICK)
    assert "15 frames of 96 x 96" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_killed_person_goes_on_with_the_same_bits(films: Path, tmp_path: Path, monkeypatch) -> None:
    options = {**QUICK, "photometric": True, "keyframes": 6, "person_only": True}
    whole = api.track_person(films, NAMES, output_folder=tmp_path / "whole", **options)
    advance, count = person_run.Tracker._advance, 0

    def ends_after_three(self: person_run.Tracker, stage: Any) -> bool:
        nonlocal count
        count += 1
        if count > 3:
            raise KeyboardInterrupt
        return advance(self, stage)

    monkeypatch.setattr(person_run.Tracker, "_advance", ends_after_three)
    with pytest.raises(KeyboardInterrupt):
        api.track_person(films, NAMES, output_folder=tmp_path / "killed", **options)
    monkeypatch.undo()
    again = api.track_person(films, NAMES, output_folder=tmp_path / "killed", **options)
    assert len(list((tmp_path / "killed" / "anna_person").glob("2*"))) == 1
    first, second = result_of(whole.person), result_of(again.person)
    assert first.albedo is not None
    assert second.albedo is not None
    for name in ("shape", "focal_length", "static_offset", "albedo", "rotation"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["nersemble_v2", "multiview"])
def test_sequences_of_a_rig(layout: str, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    for sequence in ("EXP-1", "EXP-2"):
        make_capture(
            SyntheticConfig(
                tmp_path / "data", layout=layout, sequence=sequence, frames=3, cameras=4, width=110, height=160
            )
        )  # fmt: skip
    subject = {"subject": "1"} if layout == "nersemble_v2" else {}
    done = api.track_person(tmp_path / "data", ["EXP-1", "EXP-2"], output_folder=tmp_path / "out", **subject, **QUICK)
    assert not done.failed
    before = "001" if layout == "nersemble_v2" else "person"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"{before}_EXP-1", f"{before}_EXP-2", f"{before}_person",
    ]  # fmt: skip
    shapes = [result_of(folder).shape for folder in (done.person, *done.runs.values())]
    assert len(shapes) == 3
    assert all(np.array_equal(shapes[0], shape) for shape in shapes)
