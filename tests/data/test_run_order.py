"""The newest run is the one that was started last, whatever the clock and the folders' names say."""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

import pytest

from vhap.data import run_order
from vhap.data.results import newest_run
from vhap.data.run_order import new_run_folder, run_number, runs_in


class Clock(datetime):
    present = datetime(2026, 5, 4, 3, 2, 1)

    @classmethod
    def now(cls, tz=None) -> datetime:
        return cls.present


@pytest.fixture
def clock(monkeypatch) -> type[Clock]:
    monkeypatch.setattr(run_order, "datetime", Clock)
    monkeypatch.setattr(Clock, "present", datetime(2026, 5, 4, 3, 2, 1))
    return Clock


def with_result(folder: Path) -> Path:
    (folder / "tracked_flame_params_0.npz").write_bytes(b"")
    return folder


def test_a_clock_that_is_set_back_changes_no_order(tmp_path, clock):
    made = [with_result(new_run_folder(tmp_path))]
    for time in (datetime(2020, 1, 1), datetime(2030, 1, 1), datetime(1999, 12, 31), datetime(2030, 1, 1)):
        clock.present = time
        made.append(with_result(new_run_folder(tmp_path)))
        assert newest_run(tmp_path) == made[-1]
        # Scripts of others sort names, or times of change.
        assert sorted(tmp_path.iterdir())[-1] == made[-1]
        os.utime(made[-1], (0, 0))
    assert runs_in(tmp_path) == made
    assert [run_number(folder) for folder in made] == [1, 2, 3, 4, 5]
    assert [folder.name for folder in made[:3]] == ["2026-05-04_03-02-01", "2026-05-04_03-02-02", "2030-01-01_00-00-00"]


def test_twelve_runs_of_one_second_keep_their_order(tmp_path, clock):
    made = [new_run_folder(tmp_path) for _ in range(12)]
    assert runs_in(tmp_path) == made == sorted(made)


def test_a_run_that_was_renamed_keeps_its_place(tmp_path, clock):
    first, second = (with_result(new_run_folder(tmp_path)) for _ in range(2))
    first.rename(tmp_path / "the good one")
    assert newest_run(tmp_path) == second
    (tmp_path / "notes").mkdir()
    assert newest_run(tmp_path) == second


def test_runs_of_earlier_releases_stand_before_numbered_ones(tmp_path, clock):
    for name in ("2031-01-01_00-00-00", "2030-01-01_00-00-00", "2030-01-01_00-00-00_1"):
        (tmp_path / name).mkdir()
        with_result(tmp_path / name)
    assert newest_run(tmp_path).name == "2031-01-01_00-00-00"
    made = with_result(new_run_folder(tmp_path))
    assert newest_run(tmp_path) == made
    assert made.name == "2031-01-01_00-00-01"


@pytest.mark.parametrize("content", ["", "[]", '{"number": "3"}', '{"number": true}', '{"number": -1}', "{"])
def test_a_damaged_number_counts_as_none(tmp_path, clock, content):
    broken = new_run_folder(tmp_path)
    (broken / "run.json").write_text(content)
    assert run_number(broken) == 0
    assert run_number(new_run_folder(tmp_path)) == 1


def test_names_at_the_end_of_time(tmp_path, clock):
    (tmp_path / "9999-12-31_23-59-59").mkdir()
    made = new_run_folder(tmp_path)
    assert made.name == "2026-05-04_03-02-01"
    assert runs_in(tmp_path)[-1] == made


def test_no_runs_in_a_folder_that_is_not_there(tmp_path):
    assert runs_in(tmp_path / "none") == []
