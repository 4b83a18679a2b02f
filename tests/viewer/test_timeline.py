"""Time on a page: what is shown when the slider moves, while it plays, and where frames are lost."""

import threading

import pytest

from vhap.viewer.server import start_server
from vhap.viewer.timeline import Timeline

pytest.importorskip("viser")
NAMES = ["000000", "000001", "000002", "000003"]
SECONDS = 30


@pytest.fixture
def server():
    found = start_server("a title", 18_300, 100)
    yield found
    found.stop()


@pytest.fixture
def timeline(server):
    shown: list[int] = []
    made = Timeline(server, NAMES, shown.append, {2: "the picture is black"})
    made.refresh()
    yield made, shown
    made.stop()


def test_each_row_is_shown_once(timeline):
    made, shown = timeline
    made.slider.value = 1
    made.slider.value = 1
    made.slider.value = 3
    made.refresh()
    assert shown == [0, 1, 3, 3]
    assert made.text.content == "`000003`"


def test_lost_frames_are_marked_named_and_found(timeline):
    made, shown = timeline
    assert [mark.value for mark in made.slider._impl.props._marks] == [2]
    made._to_next_lost()
    assert shown == [0, 2]
    assert made.text.content == "`000002` **lost: the picture is black**"


def test_playing_goes_round(server):
    shown: list[int] = []
    round_done = threading.Event()

    def show(row: int) -> None:
        shown.append(row)
        if len(shown) == 2 * len(NAMES):
            round_done.set()

    made = Timeline(server, NAMES, show, {})
    made.rate.value = 60
    made.refresh()
    made.play()
    assert round_done.wait(SECONDS)
    made.pause()
    made.stop()
    assert made.button.label == "Play"
    assert shown[: 2 * len(NAMES)] == [0, 1, 2, 3, 0, 1, 2, 3]


def test_a_frame_that_cannot_be_shown_ends_playing_and_not_the_page(server, caplog):
    failed = threading.Event()

    def show(row: int) -> None:
        if row == 2:
            failed.set()
            raise OSError("a picture has gone")

    made = Timeline(server, NAMES, show, {})
    made.rate.value = 60
    made.play()
    assert failed.wait(SECONDS)
    made.stop()
    assert made.button.label == "Play"


def test_a_single_row_has_no_controls(server):
    made = Timeline(server, ["000000"], lambda row: None, {})
    assert not made.button.visible
    made.stop()
