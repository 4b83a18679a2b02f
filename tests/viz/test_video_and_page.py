from __future__ import annotations

import base64
import json
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from vhap.util.errors import InputError
from vhap.viz import page
from vhap.viz.curves import curve_svg
from vhap.viz.page import Report, even_choice, render_page
from vhap.viz.video import write_video


def colour_frames(count: int = 6, height: int = 51, width: int = 33):
    for number in range(count):
        frame = np.full((height, width, 3), (200, 60, 40), np.uint8)
        frame[:, : 4 * number] = (30, 90, 220)
        yield frame


class Tags(HTMLParser):
    VOID = frozenset(("meta", "img", "input", "path"))

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
    frames = [(f"frame {k}", np.full((6, 8, 3), 40 * k, np.uint8)) for k in range(3)]
    values = {
        "title": "Run <one> & only",
        "metrics": {"PSNR dB": 31.23456, "frames": 60, "NME %": float("nan"), "truth": None},
        "settings": {"head": "<script>alert(1)</script>"},
        "stage_seconds": {"init": 1.5, "tracking": 6.0},
        "notes": ["lost < 2 frames"],
        "frames": frames,
        "video": b"\0mp4",
        "curves": {"NME": [1.0, 2.0, float("nan"), 4.0]},
    }
    return Report(**{**values, **changes})


def test_page_is_well_formed_and_needs_nothing_else() -> None:
    text = render_page(full_report())
    tags = parse(text)
    sources = [attributes["src"] for _, attributes in tags.seen if "src" in attributes]
    assert len(sources) == 2
    assert all(source.startswith("data:") for source in sources)
    assert "http" not in text.replace("http-equiv", "")
    assert not [tag for tag, _ in tags.seen if tag in ("link", "iframe")]
    video = next(attributes for tag, attributes in tags.seen if tag == "video")
    assert base64.b64decode(video["src"].split(",")[1]) == b"\0mp4"


def test_page_shows_the_values_and_escapes_them() -> None:
    tags = parse(render_page(full_report()))
    assert tags.text["h1"] == ["Run <one> & only"]
    assert tags.text["td"][:5] == ["31.23", "60", "–", "–", "1.5"]
    assert {"PSNR dB", "tracking", "total"} <= set(tags.text["th"])
    assert "7.5" in tags.text["td"]
    assert "<script>alert(1)</script>" in tags.text["td"]
    assert tags.text["p"] == ["lost < 2 frames"]


def test_slider_holds_every_frame_and_cannot_be_ended_by_a_name() -> None:
    picture = np.zeros((4, 4, 3), np.uint8)
    text = render_page(Report("t", frames=[("</script><b>", picture), ("second", picture + np.uint8(200))]))
    tags = parse(text)
    data = next(json.loads(part) for part in tags.text["script"] if part.startswith("{"))
    assert data["names"] == ["</script><b>", "second"]
    assert len(set(data["pictures"])) == 2
    assert next(attributes for tag, attributes in tags.seen if tag == "input")["max"] == "1"


def test_page_is_bounded(monkeypatch) -> None:
    monkeypatch.setattr(page, "MOST_FRAMES", 5)
    monkeypatch.setattr(page, "MOST_VIDEO_BYTES", 3)
    frames = [(str(k), np.zeros((2, 2, 3), np.uint8)) for k in range(50)]
    text = render_page(full_report(frames=frames))
    tags = parse(text)
    data = next(json.loads(part) for part in tags.text["script"] if part.startswith("{"))
    assert [data["names"][0], data["names"][-1], len(data["names"])] == ["0", "49", 5]
    assert "<video" not in text
    assert "too large" in text


def test_an_empty_report_has_no_empty_sections() -> None:
    assert "<h2>" not in render_page(Report("nothing"))


@pytest.mark.parametrize(("count", "most"), [(0, 3), (3, 3), (100, 7)])
def test_even_choice_is_bounded_sorted_and_spread(count: int, most: int) -> None:
    chosen = even_choice(count, most)
    assert len(chosen) == min(count, most)
    assert sorted(set(chosen)) == chosen
    if count > most:
        assert (chosen[0], chosen[-1]) == (0, count - 1)


def test_curves_break_at_gaps_and_stay_inside() -> None:
    svg = curve_svg("a<b", [0.0, 1.0, float("nan"), 3.0, 2.0])
    path = svg.split(' d="')[1].split('"')[0]
    assert path.count("M") == 2
    assert path.count("L") == 2
    heights = [float(token) for token in path.split()[1::2]]
    assert heights == [114, 78, 6, 42]
    assert "a&lt;b" in svg
    assert curve_svg("none", [float("nan")]) == ""


def test_page_opens_in_a_browser(tmp_path: Path) -> None:
    import shutil

    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no Chromium on this machine")
    (tmp_path / "page.html").write_text(render_page(full_report(video=None)), encoding="utf-8")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", (tmp_path / "page.html").as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "31.23" in done.stdout
