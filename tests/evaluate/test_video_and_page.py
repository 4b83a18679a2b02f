from __future__ import annotations

import base64
import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
import pytest

from vhap.evaluate import page
from vhap.evaluate.chart import Chart
from vhap.evaluate.jpeg import encode_jpeg
from vhap.evaluate.page import PageFrame, Report, render_page
from vhap.evaluate.video import write_video
from vhap.util.choice import even_choice, worst
from vhap.util.errors import InputError


def colour_frames(count: int = 6, height: int = 51, width: int = 33):
    for number in range(count):
        frame = np.full((height, width, 3), (200, 60, 40), np.uint8)
        frame[:, : 4 * number] = (30, 90, 220)
        yield frame


class Tags(HTMLParser):
    VOID = frozenset(("meta", "img", "input", "path", "wbr"))

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict]] = []
        self.text: dict[str, list[str]] = {}

    def handle_starttag(self, tag, attributes) -> None:
        self.seen.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        self.text.setdefault(self.open[-1] if self.open else "", []).append(data)


def parse(text: str) -> Tags:
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    return tags


def test_video_is_h264_yuv420p_of_even_size_and_right_colours(tmp_path: Path) -> None:
    path = tmp_path / "a/clip.mp4"
    assert write_video(path, colour_frames(), fps=12.5) == 6
    count, seconds = imageio_ffmpeg.count_frames_and_secs(str(path))
    assert count == 6
    assert seconds == pytest.approx(6 / 12.5, abs=0.05)
    reader = imageio_ffmpeg.read_frames(str(path))
    info = next(reader)
    assert info["codec"].startswith("h264")
    assert "yuv420p" in info["pix_fmt"]
    assert "bt709" in info["pix_fmt"]
    assert info["size"] == (34, 52)
    last = [np.frombuffer(frame, np.uint8).reshape(52, 34, 3) for frame in reader][-1].astype(int)
    assert np.abs(last[25, 5] - (30, 90, 220)).max() < 12
    assert np.abs(last[25, 30] - (200, 60, 40)).max() < 12
    assert [file.name for file in path.parent.iterdir()] == ["clip.mp4"]


def test_index_stands_before_the_pictures(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", colour_frames(), fps=25)
    content = (tmp_path / "clip.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


def test_failing_frames_leave_no_video(tmp_path: Path) -> None:
    def frames():
        yield np.zeros((4, 4, 3), np.uint8)
        yield np.zeros((4, 6, 3), np.uint8)

    with pytest.raises(ValueError, match="shape"):
        write_video(tmp_path / "clip.mp4", frames(), fps=25)
    with pytest.raises(InputError, match="at least one frame"):
        write_video(tmp_path / "clip.mp4", iter(()), fps=25)
    assert list(tmp_path.iterdir()) == []


def test_a_broken_ffmpeg_is_explained(tmp_path: Path, monkeypatch) -> None:
    broken = tmp_path / "ffmpeg"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(imageio_ffmpeg._utils, "get_ffmpeg_exe", lambda: str(broken))
    monkeypatch.setattr(imageio_ffmpeg._io, "get_ffmpeg_exe", lambda: str(broken))
    with pytest.raises(InputError, match="IMAGEIO_FFMPEG_EXE"):
        write_video(tmp_path / "clip.mp4", colour_frames(200, 300, 300), fps=25)


def full_report(**changes) -> Report:
    values = {
        "title": "Run <one> & only",
        "metrics": {"PSNR dB": 31.23456, "frames": 60, "NME %": float("nan"), "truth": None},
        "settings": {"head": "<script>alert(1)</script>"},
        "stage_seconds": {"init": 1.5, "tracking": 6.0},
        "notes": ["lost < 2 frames"],
        "frames": page_frames(3),
        "video": b"\0mp4",
        "tables": {"Views": {"name": ["a<b", "c"], "error": [1.23456, None]}},
        "charts": {"Errors": [Chart("NME", {"NME": [1.0, 2.0, float("nan"), 4.0]})]},
    }
    return Report(**{**values, **changes})


def page_frames(count: int, labels: tuple[str, ...] = ("input", "error")) -> list[PageFrame]:
    return [
        PageFrame(
            number=4 * number,
            caption=f"frame {4 * number}",
            tiles={
                label: encode_jpeg(np.full((8, 10 + column, 3), 20 * number, np.uint8))
                for column, label in enumerate(labels)
            },
        )
        for number in range(count)
    ]


def slider_data(tags: Tags) -> list[dict]:
    return next(json.loads(part) for part in tags.text["script"] if part.startswith("[{"))


def test_page_is_well_formed_and_needs_nothing_else() -> None:
    text = render_page(full_report())
    tags = parse(text)
    sources = [attributes["src"] for _, attributes in tags.seen if "src" in attributes]
    assert len(sources) == 1
    assert sources[0].startswith("data:video/mp4;base64,")
    assert "http" not in text
    assert not [tag for tag, _ in tags.seen if tag in ("link", "iframe")]
    assert base64.b64decode(sources[0].split(",")[1]) == b"\0mp4"


def test_page_shows_the_values_and_escapes_them() -> None:
    tags = parse(render_page(full_report()))
    assert tags.text["h1"] == ["Run <one> & only"]
    assert tags.text["dd"] == ["31.23", "60", "–", "–"]
    assert {"init", "tracking", "head"} <= set(tags.text["th"])
    assert {"1.5", "6.0"} <= set(tags.text["td"])
    assert "<script>alert(1)</script>" in tags.text["td"]
    assert tags.text["p"][0] == "lost < 2 frames"


def test_tables_have_columns_with_names() -> None:
    text = render_page(full_report())
    assert "<h2>Views</h2>" in text
    assert "<tr><th>name</th><th>error</th></tr>" in text
    assert "<tr><td>a&lt;b</td><td>1.235</td></tr>" in text
    assert "<tr><td>c</td><td>–</td></tr>" in text


def test_slider_holds_every_picture_once_and_cannot_be_ended_by_a_caption() -> None:
    first, second = page_frames(2)
    text = render_page(Report("t", frames=[replace(first, caption="</script><b>"), second]))
    tags = parse(text)
    data = slider_data(tags)
    assert [entry["caption"] for entry in data] == ["</script><b>", "frame 4"]
    assert [base64.b64decode(tile) for tile in data[1]["tiles"]] == list(second.tiles.values())
    assert all(text.count(tile) == 1 for entry in data for tile in entry["tiles"])
    assert next(attributes for tag, attributes in tags.seen if tag == "input")["max"] == "1"


def test_page_is_bounded(monkeypatch) -> None:
    monkeypatch.setattr(page, "MOST_FRAMES", 5)
    monkeypatch.setattr(page, "MOST_VIDEO_BYTES", 3)
    text = render_page(full_report())
    assert "<video" not in text
    assert "too large" in text
    with pytest.raises(ValueError, match="at most 5"):
        render_page(full_report(frames=page_frames(6)))


def test_an_empty_report_has_no_empty_sections() -> None:
    assert "<h2>" not in render_page(Report("nothing"))
    nothing = Chart("none", {"a": [float("nan")]})
    assert "<h2>" not in render_page(Report("nothing", charts={"Losses": [], "Errors": [nothing]}))


@pytest.mark.parametrize(("count", "most"), [(0, 3), (3, 3), (100, 7), (100, 1), (5, 0)])
def test_even_choice_is_bounded_sorted_and_spread(count: int, most: int) -> None:
    chosen = even_choice(count, most)
    assert len(chosen) == min(count, most)
    assert sorted(set(chosen)) == chosen
    if count > most > 1:
        assert (chosen[0], chosen[-1]) == (0, count - 1)


def test_worst_are_ranked_and_gaps_passed_over() -> None:
    values = [3.0, float("nan"), 1.0, 7.0, float("inf")]
    assert worst(values, 2, larger_is_worse=True) == [3, 0]
    assert worst(values, 9, larger_is_worse=False) == [2, 0, 3]


def test_jpeg_keeps_colours_and_shrinks_only() -> None:
    picture = np.full((60, 90, 3), (200, 60, 40), np.uint8)
    for side, size in ((None, (60, 90)), (500, (60, 90)), (45, (30, 45))):
        decoded = cv2.imdecode(np.frombuffer(encode_jpeg(picture, side), np.uint8), cv2.IMREAD_COLOR)
        assert decoded.shape[:2] == size
        assert np.abs(decoded[..., ::-1].astype(int) - (200, 60, 40)).max() < 6
