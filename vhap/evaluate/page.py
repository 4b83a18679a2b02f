"""A report as one HTML file that needs nothing else: no server, no network, no other file."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from vhap.evaluate.chart import Chart, chart_html
from vhap.evaluate.page_style import SCRIPT, STYLE

MOST_VIDEO_BYTES = 8 << 20
MOST_FRAMES = 120

Value = str | int | float | None


@dataclass(frozen=True)
class PageFrame:
    """One place of the slider. number: of the frame, as in `#frame=12`; caption: one line; tiles: label -> JPEG. All
    frames have the same labels in the same order."""

    number: int
    caption: str
    tiles: Mapping[str, bytes]


@dataclass(frozen=True)
class Report:
    """What a page shows; what is empty is left out.

    metrics, settings: name -> value. stage_seconds: stage -> seconds. notes: plain sentences. frames: for the slider,
    ascending, at most MOST_FRAMES. video: the bytes of an mp4; above MOST_VIDEO_BYTES it is left out and a note says
    so. tables: heading -> column -> values. charts: heading -> charts.
    """

    title: str
    metrics: Mapping[str, Value] = field(default_factory=dict)
    settings: Mapping[str, Value] = field(default_factory=dict)
    stage_seconds: Mapping[str, float] = field(default_factory=dict)
    notes: Sequence[str] = ()
    frames: Sequence[PageFrame] = ()
    video: bytes | None = None
    tables: Mapping[str, Mapping[str, Sequence[Value]]] = field(default_factory=dict)
    charts: Mapping[str, Sequence[Chart]] = field(default_factory=dict)


def render_page(report: Report) -> str:
    """The page's HTML. Raises ValueError where there are more than MOST_FRAMES frames."""
    if len(report.frames) > MOST_FRAMES:
        raise ValueError(f"expected at most {MOST_FRAMES} frames on a page, found {len(report.frames)}")
    notes = list(report.notes)
    video = report.video
    if video is not None and len(video) > MOST_VIDEO_BYTES:
        notes.append(f"The video of {len(video) / 2**20:.0f} MB is too large for this page and stands beside it.")
        video = None
    sections = [
        _notes(notes),
        _section("Metrics", _cards(report.metrics)),
        _section("Frames", _slider(report.frames)),
        _section("Video", _video(video) if video is not None else ""),
        *(_section(title, _columns(columns)) for title, columns in report.tables.items()),
        *(_section(title, _charts(charts)) for title, charts in report.charts.items()),
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


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{html.escape(title)}</h2>\n{content}</section>\n" if content else ""


def _notes(notes: Sequence[str]) -> str:
    return "".join(f'<p class="note">{html.escape(note)}</p>\n' for note in notes)


def _cards(values: Mapping[str, Value]) -> str:
    cards = (
        f"<div><dt>{_breakable(name)}</dt><dd>{html.escape(format_value(value))}</dd></div>\n"
        for name, value in values.items()
    )
    return f'<dl class="cards">\n{"".join(cards)}</dl>\n' if values else ""


def _breakable(name: str) -> str:
    """A name that may go on in the next line after each underscore."""
    return html.escape(str(name)).replace("_", "_<wbr>")


def _table(values: Mapping[str, Value]) -> str:
    rows = (
        f"<tr><th>{html.escape(str(name))}</th><td>{html.escape(format_value(value))}</td></tr>\n"
        for name, value in values.items()
    )
    return f"<table>\n{''.join(rows)}</table>\n" if values else ""


def _columns(columns: Mapping[str, Sequence[Value]]) -> str:
    """Columns of one length side by side under their names."""
    head = "".join(f"<th>{_breakable(name)}</th>" for name in columns)
    lines = (
        "".join(f"<td>{html.escape(format_value(value))}</td>" for value in line) for line in zip(*columns.values())
    )
    rows = "".join(f"<tr>{line}</tr>\n" for line in lines)
    return f"<table>\n<tr>{head}</tr>\n{rows}</table>\n" if rows else ""


def _bars(seconds: Mapping[str, float]) -> str:
    if not seconds:
        return ""
    longest = max(max(seconds.values()), 1e-9)
    rows = (
        f'<tr><th>{html.escape(name)}</th><td>{value:.1f}</td><td class="bar"><i style="width:'
        f'{100 * value / longest:.1f}%"></i></td></tr>\n'
        for name, value in seconds.items()
    )
    return f"<table>\n{''.join(rows)}</table>\n"


def _charts(charts: Sequence[Chart]) -> str:
    figures = "".join(chart_html(chart) for chart in charts)
    return f'<div class="charts">\n{figures}</div>\n' if figures else ""


def _video(video: bytes) -> str:
    return f'<video controls loop muted playsinline src="data:video/mp4;base64,{_base64(video)}"></video>\n'


def _slider(frames: Sequence[PageFrame]) -> str:
    """The pictures stand in the script's data alone, since the page would hold the first frame's twice otherwise."""
    if not frames:
        return ""
    entries = [
        {"number": frame.number, "caption": frame.caption, "tiles": [_base64(tile) for tile in frame.tiles.values()]}
        for frame in frames
    ]
    tiles = "".join(
        f'<button type="button" class="tile"><img alt="{html.escape(name)}"><span>{html.escape(name)}</span></button>\n'
        for name in frames[0].tiles
    )
    # "<" cannot end the script element when it is written as an escape.
    data = json.dumps(entries).replace("<", "\\u003c")
    return (
        f'<div id="frames">\n<div class="bar"><input type="range" min="0" max="{len(frames) - 1}" value="0" '
        f'aria-label="frame"><output></output></div>\n<div class="tiles">\n{tiles}</div>\n'
        '<p class="below">Slider or arrow keys change the frame, a click enlarges a picture. '
        "Landmarks: as detected green, as fitted red.</p>\n"
        f'<script type="application/json">{data}</script>\n</div>\n'
    )


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
