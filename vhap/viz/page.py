"""A report as one HTML file that needs nothing else: no server, no network, no other file."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from vhap.util.optional import import_or_explain
from vhap.viz.curves import curve_svg
from vhap.viz.page_style import SCRIPT, STYLE

MOST_VIDEO_BYTES = 24 << 20
MOST_FRAMES = 120
JPEG_QUALITY = 85

Value = str | int | float | None


@dataclass(frozen=True)
class Report:
    """What a page shows; what is empty is left out.

    metrics, settings: name -> value. stage_seconds: stage -> seconds. notes: plain sentences. frames: (name, (H, W, 3)
    uint8) for the slider; of more than MOST_FRAMES an even choice is shown. video: the bytes of an mp4; above
    MOST_VIDEO_BYTES it is left out and a note says so. curves: name -> one value a frame, NaN where there is none.
    """

    title: str
    metrics: Mapping[str, Value] = field(default_factory=dict)
    settings: Mapping[str, Value] = field(default_factory=dict)
    stage_seconds: Mapping[str, float] = field(default_factory=dict)
    notes: Sequence[str] = ()
    frames: Sequence[tuple[str, np.ndarray]] = ()
    video: bytes | None = None
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)


def render_page(report: Report) -> str:
    """The page's HTML."""
    notes = list(report.notes)
    video = report.video
    if video is not None and len(video) > MOST_VIDEO_BYTES:
        notes.append(f"The video of {len(video) / 2**20:.0f} MB is too large for this page and stands beside it.")
        video = None
    sections = [
        _notes(notes),
        _section("Video", _video(video) if video is not None else ""),
        _section("Frames", _slider(report.frames)),
        _section("Metrics", _table(report.metrics)),
        _section("Over time", "".join(curve_svg(name, values) for name, values in report.curves.items())),
        _section("Seconds by stage", _bars(report.stage_seconds)),
        _section("Settings", _table(report.settings)),
    ]
    title = html.escape(report.title)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
        f"{''.join(sections)}</main>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def format_value(value: Value) -> str:
    """Four significant digits for fractions, a dash for what is not there or not a number."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def even_choice(count: int, most: int) -> list[int]:
    """At most `most` of the indices below count, evenly, first and last among them."""
    if count <= most:
        return list(range(count))
    return [round(k * (count - 1) / (most - 1)) for k in range(most)]


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{title}</h2>\n{content}</section>\n" if content else ""


def _notes(notes: Sequence[str]) -> str:
    return "".join(f'<p class="note">{html.escape(note)}</p>\n' for note in notes)


def _table(values: Mapping[str, Value]) -> str:
    rows = (
        f"<tr><th>{html.escape(str(name))}</th><td>{html.escape(format_value(value))}</td></tr>\n"
        for name, value in values.items()
    )
    return f"<table>\n{''.join(rows)}</table>\n" if values else ""


def _bars(seconds: Mapping[str, float]) -> str:
    if not seconds:
        return ""
    longest = max(max(seconds.values()), 1e-9)
    rows = (
        f'<tr><th>{html.escape(name)}</th><td>{value:.1f}</td><td class="bar"><i style="width:'
        f'{100 * value / longest:.1f}%"></i></td></tr>\n'
        for name, value in {**seconds, "total": sum(seconds.values())}.items()
        if name != "total" or len(seconds) > 1
    )
    return f"<table>\n{''.join(rows)}</table>\n"


def _video(video: bytes) -> str:
    data = base64.b64encode(video).decode("ascii")
    return f'<video controls loop muted autoplay playsinline src="data:video/mp4;base64,{data}"></video>\n'


def _slider(frames: Sequence[tuple[str, np.ndarray]]) -> str:
    if not frames:
        return ""
    chosen = [frames[index] for index in even_choice(len(frames), MOST_FRAMES)]
    names = [name for name, _ in chosen]
    pictures = [_jpeg_uri(picture) for _, picture in chosen]
    # "<" cannot end the script element when it is written as an escape.
    data = json.dumps({"names": names, "pictures": pictures}).replace("<", "\\u003c")
    return (
        f'<figure id="frames">\n<img src="{pictures[0]}" alt="tracked frame">\n'
        f'<input type="range" min="0" max="{len(chosen) - 1}" value="0" aria-label="frame">\n'
        f"<figcaption>{html.escape(names[0])}</figcaption>\n"
        f'<script type="application/json">{data}</script>\n</figure>\n'
    )


def _jpeg_uri(picture: np.ndarray) -> str:
    cv2 = import_or_explain("cv2", "pip install opencv-contrib-python")
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    done, encoded = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
    assert done, f"JPEG of {picture.shape}"
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")
