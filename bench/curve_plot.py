"""Curves as one SVG file, both axes logarithmic."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 900, 520
LEFT, RIGHT, BOTTOM = 70, 20, 60
TITLE, LEGEND_ROW = 40, 20
"""Heights above the curves: of the title, and of each line's name."""
COLOURS = ("#0b6e99", "#7fb3c8", "#b3541e", "#6a4c93", "#3a7d44", "#888888")
MOST_TICKS = 8


@dataclass(frozen=True)
class Line:
    """points: (x, y), both above 0 and finite."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class _Axis:
    """From low to high on `start` to `stop` in pixels."""

    low: float
    high: float
    start: float
    stop: float

    def place(self, value: float) -> float:
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.stop - self.start)


def plot_svg(title: str, x_name: str, y_name: str, lines: Sequence[Line]) -> str:
    """Lines as steps: a value holds until the next one. ValueError where there is nothing to show."""
    points = [point for line in lines for point in line.points]
    if not points:
        raise ValueError("expected at least one point, found none")
    across = _axis([x for x, _ in points], LEFT, WIDTH - RIGHT)
    top = TITLE + LEGEND_ROW * len(lines)
    up = _axis([y for _, y in points], HEIGHT - BOTTOM, top)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="24" font-size="16">{html.escape(title)}</text>',
        *_ticks_across(across, top),
        *_ticks_up(up),
        f'<text x="{WIDTH / 2:.0f}" y="{HEIGHT - 16}" text-anchor="middle">{html.escape(x_name)}</text>',
        f'<text transform="translate(18 {HEIGHT / 2:.0f}) rotate(-90)" text-anchor="middle">',
        f"{html.escape(y_name)}</text>",
    ]
    for index, line in enumerate(lines):
        colour = COLOURS[index % len(COLOURS)]
        if line.points:
            parts.append(
                f'<path d="{_steps(line.points, across, up)}" fill="none" stroke="{colour}" stroke-width="2"/>'
            )
        y = TITLE + LEGEND_ROW * index
        parts.append(f'<rect x="{LEFT}" y="{y}" width="14" height="4" fill="{colour}"/>')
        parts.append(f'<text x="{LEFT + 22}" y="{y + 7}">{html.escape(line.name)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _axis(values: Sequence[float], start: float, stop: float) -> _Axis:
    return _Axis(min(values) / 1.1, max(values) * 1.1, start, stop)


def _steps(points: Sequence[tuple[float, float]], across: _Axis, up: _Axis) -> str:
    path = ""
    for x, y in points:
        place = f"{across.place(x):.1f}"
        path += f"H{place}V{up.place(y):.1f}" if path else f"M{place} {up.place(y):.1f}"
    return path


def ticks(low: float, high: float) -> list[float]:
    """Round numbers between two, few enough to be read."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 1.5, 2, 3, 4, 5, 6, 8), (1, 2, 5), (1, 3), (1,)):
        inside = [step * 10.0**power for power in powers for step in steps if low <= step * 10.0**power <= high]
        if len(inside) <= MOST_TICKS:
            break
    return inside


def _ticks_across(axis: _Axis, top: float) -> list[str]:
    parts = []
    for value in ticks(axis.low, axis.high):
        x = axis.place(value)
        parts.append(f'<path d="M{x:.1f} {top:g}V{HEIGHT - BOTTOM}" stroke="#dddddd"/>')
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{value:g}</text>')
    return parts


def _ticks_up(axis: _Axis) -> list[str]:
    parts = []
    for value in ticks(axis.low, axis.high):
        y = axis.place(value)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#dddddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    return parts
