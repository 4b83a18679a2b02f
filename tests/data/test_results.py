"""Which result of a run an epoch means."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from vhap.data.results import result_path
from vhap.util.errors import InputError
from vhap.util.log import get_logger


def make_run(folder: Path, *epochs: int) -> Path:
    for epoch in epochs:
        (folder / f"tracked_flame_params_{epoch}.npz").write_bytes(b"")
    return folder


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture, monkeypatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(get_logger(), "propagate", True)
    caplog.set_level(logging.WARNING)
    return caplog


@pytest.mark.parametrize(
    ("there", "asked", "taken"),
    [((0, 10, 17), -1, 17), ((0, 10, 17), 10, 10), ((0, 10, 20, 30), 30, 30), ((0,), 0, 0), ((0, 10, 40), 40, 40)],
)
def test_what_is_there_is_taken(tmp_path: Path, lines, there, asked, taken) -> None:
    assert result_path(make_run(tmp_path, *there), asked).name == f"tracked_flame_params_{taken}.npz"
    assert not lines.messages


@pytest.mark.parametrize(("there", "asked", "taken"), [((0, 10, 17), 30, 17), ((0, 4), 10, 4), ((0,), 30, 0)])
def test_the_last_stands_for_one_that_was_not_needed(tmp_path: Path, lines, there, asked, taken) -> None:
    assert result_path(make_run(tmp_path, *there), asked).name == f"tracked_flame_params_{taken}.npz"
    (line,) = lines.messages
    assert f"no result of epoch {asked}" in line
    assert f"ends with {taken}" in line


@pytest.mark.parametrize(("there", "asked"), [((0, 10, 17), 7), ((0, 20), 10), ((0,), 77), ((0, 4), 5), ((0,), -2)])
def test_others_are_refused(tmp_path: Path, there, asked) -> None:
    with pytest.raises(InputError, match=f"expected the result of epoch {asked} "):
        result_path(make_run(tmp_path, *there), asked)
