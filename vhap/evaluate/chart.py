"""Values over time as a chart in HTML: lines in an SVG that stretches, text beside it that does not."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from vhap.util.choice import even_choice

WIDTH, HEIGHT = 1000, 100
MOST_POINTS, MOST_COLOURS, MOST_TICKS = 1500, 8, 5
LOG_DECADES = 5
"""Values further below the greatest are cut off in logarithmic charts."""


@dataclass(frozen=True)
class Chart:
    """curves: name -> one value for each x, NaN (or, with log, 0) where there is none. x: ascending, None for 0, 1, ...

    marked: curve -> indices that get a dot and are named below, the worst first; names: what each index is called.
    frames: x counts frames from 0, so that the page's slider follows a click, and dots lead to their frame.
    """

    title: str
    curves: Mapping[str, Sequence[float]]
    x: Sequence[float] | None = None
    log: bool = False
    marked: Mapping[str, Sequence[int]] = field(default_factory=dict)
    names: Sequence[str] = ()
    frames: bool = False
    note: str = ""
    x_name: str = "frame"


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    log: bool = False

    def percent(self, value: float) -> float:
        """0 at low, 100 at high; NaN where the value has no place."""
        if not math.isfinite(value) or (self.log and value <= 0):
            return math.nan
        if self.log:
            low, high, value = math.log10(self.low), math.log10(self.high), math.log10(max(value, self.low))
        else:
            low, high = self.low, self.high
        return 100 * (value - low) / (high - low)


def chart_html(chart: Chart) -> str:
    """A figure; empty where no value is to be shown."""
    shown = [v for values in chart.curves.values() for v in values if math.isfinite(v) and (v > 0 or not chart.log)]
    if not shown:
        return ""
    count = max(len(values) for values in chart.curves.values())
    x = list(chart.x) if chart.x is not None else list(range(count))
    across = _Scale(x[0], x[-1] if x[-1] > x[0] else x[0] + 1)
    up = _vertical_scale(min(shown), max(shown), chart.log)
    paths = "".join(
        f'<path class="c{number % MOST_COLOURS}" d="{_path(x, values, across, up, chart.marked.get(name, ()))}"/>'
        for number, (name, values) in enumerate(chart.curves.items())
    )
    ticks = "".join(f'<span style="bottom:{up.percent(v):.2f}%">{_short(v)}</span>' for v in ticks_between(up))
    follows = f' data-last="{across.high:g}"' if chart.frames else ""
    return (
        f'<figure class="chart"><figcaption><b>{html.escape(chart.title)}</b>{_legend(chart.curves)}</figcaption>'
        f'<div class="plot"{follows}><div class="ticks">{ticks}</div>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{html.escape(chart.title)}">{paths}</svg>'
        f"{_dots(chart, x, across, up)}{'<i class=cursor></i>' if chart.frames else ''}</div>"
        f'<div class="x"><span>{_short(x[0])}</span><span>{html.escape(chart.x_name)}</span>'
        f"<span>{_short(x[-1])}</span></div>{_notes(chart, x)}</figure>\n"
    )


def ticks_between(scale: _Scale) -> list[float]:
    """Round values inside a scale, at most MOST_TICKS."""
    if scale.log:
        first, last = math.floor(math.log10(scale.low)), math.ceil(math.log10(scale.high))
        for steps in ((1, 2, 5), (1, 3), (1,)):
            values = [step * 10.0**power for power in range(first, last + 1) for step in steps]
            inside = [value for value in values if scale.low <= value <= scale.high]
            if len(inside) <= MOST_TICKS:
                return inside
        return inside[:: math.ceil(len(inside) / MOST_TICKS)]
    raw = (scale.high - scale.low) / MOST_TICKS
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10, 20) if factor * power > raw)
    first, last = math.ceil(scale.low / step), math.floor(scale.high / step)
    return [index * step for index in range(first, last + 1)]


def _vertical_scale(low: float, high: float, log: bool) -> _Scale:
    """The values' range with a margin; never empty."""
    if log:
        low = max(low, high * 10.0**-LOG_DECADES)
        return _Scale(low / 1.15, high * 1.15, log)
    margin = max(0.06 * (high - low), 1e-3 * max(abs(low), abs(high)), 1e-6)
    return _Scale(low - margin, high + margin)


def _path(x: Sequence[float], values: Sequence[float], across: _Scale, up: _Scale, kept: Sequence[int]) -> str:
    """SVG path of at most MOST_POINTS points and those to be kept, broken where a value has no place. The empty line
    after each start makes a round dot of a point that stands alone."""
    path, broken = [], True
    for index in sorted({*even_choice(len(values), MOST_POINTS), *kept}):
        height = up.percent(values[index])
        if math.isnan(height):
            broken = True
            continue
        place = f"{across.percent(x[index]) * WIDTH / 100:.1f} {HEIGHT - height * HEIGHT / 100:.2f}"
        path.append(f"M{place}h0" if broken else f"L{place}")
        broken = False
    return "".join(path)


def _legend(curves: Mapping[str, Sequence[float]]) -> str:
    if len(curves) < 2:
        return ""
    entries = (f'<span><i class="c{k % MOST_COLOURS}"></i>{html.escape(name)}</span>' for k, name in enumerate(curves))
    return f'<span class="legend">{"".join(entries)}</span>'


def _dots(chart: Chart, x: Sequence[float], across: _Scale, up: _Scale) -> str:
    dots = []
    for name, marked in chart.marked.items():
        for index in marked:
            style = f"left:{across.percent(x[index]):.2f}%;bottom:{up.percent(chart.curves[name][index]):.2f}%"
            tip = html.escape(f"{_name(chart, index)}: {_short(chart.curves[name][index])}")
            link = f' href="#frame={x[index]:g}"' if chart.frames else ""
            dots.append(f'<a class="dot" style="{style}" title="{tip}" aria-label="{tip}"{link}></a>')
    return "".join(dots)


def _notes(chart: Chart, x: Sequence[float]) -> str:
    notes = [html.escape(chart.note)] if chart.note else []
    for name, marked in chart.marked.items():
        named = []
        for index in marked:
            text = html.escape(_name(chart, index))
            text = f'<a href="#frame={x[index]:g}">{text}</a>' if chart.frames else text
            named.append(f"{text}&nbsp;({_short(chart.curves[name][index])})")
        of = f" by {html.escape(name)}" if len(chart.curves) > 1 else ""
        notes.append(f"worst{of}: {', '.join(named)}" if named else "")
    return "".join(f'<p class="below">{note}</p>' for note in notes if note)


def _name(chart: Chart, index: int) -> str:
    return chart.names[index] if index < len(chart.names) else str(index)


def _short(value: float) -> str:
    """Three digits without trailing zeros; integers whole."""
    return f"{value:.0f}" if float(value).is_integer() and abs(value) < 1e6 else f"{value:.3g}"
