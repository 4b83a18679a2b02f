"""What a pass says of itself where stderr is no terminal."""

from __future__ import annotations

import logging

import pytest

from vhap.util import progress as shown
from vhap.util.log import get_logger


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Log lines; a clock that goes on by twenty seconds at each look."""
    found: list[str] = []
    clock = iter(range(0, 100_000, 20))
    monkeypatch.setattr(shown.time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(shown, "IS_TERMINAL", False)
    handler = logging.Handler()
    handler.emit = lambda record: found.append(record.getMessage())
    get_logger().addHandler(handler)
    yield found
    get_logger().removeHandler(handler)


def test_items_come_through_and_a_line_every_half_minute(lines: list[str]) -> None:
    assert list(shown.progress("abcdefg", "matting")) == list("abcdefg")
    assert lines == [
        "matting: 1 of 7, about 240 s left",
        "matting: 3 of 7, about 107 s left",
        "matting: 5 of 7, about 48 s left",
        "matting: 7 of 7, about 0 s left",
    ]


def test_a_pass_of_unknown_length(lines: list[str]) -> None:
    assert list(shown.progress(iter("abc"), "extracting")) == list("abc")
    assert lines == ["extracting: 1", "extracting: 3"]


def test_a_stage_tells_its_rounds(lines: list[str]) -> None:
    stage = shown.Progress("rgb_init_all")
    stage.total = 21
    for done in range(1, 4):
        stage.reach(done, f"loss {done}")
    stage.close()
    assert lines == ["rgb_init_all: 2 of 21, about 380 s left, loss 2"]


def test_a_callback_hears_of_every_unit_and_the_log_of_none(lines: list[str]) -> None:
    events: list[shown.ProgressEvent] = []
    with shown.progress_to(events.append):
        assert list(shown.progress("ab", "matting")) == ["a", "b"]
    assert events == [shown.ProgressEvent("matting", done, 2) for done in (0, 1, 2)]
    assert lines == []
    assert list(shown.progress("abcdefg", "matting")) == list("abcdefg")
    assert lines
