"""A value over time as a small SVG."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

WIDTH, HEIGHT, MARGIN = 720, 120, 6


def curve_svg(name: str, values: Sequence[float]) -> str:
    """A line from the first frame to the last, from 0 (or the least value below it) up to the greatest.

    The line is broken where a value is not finite. Empty where no value is finite.
    """
    finite = [float(value) for value in values if math.isfinite(value)]
    if not finite:
        return ""
    low, high = min(0.0, *finite), max(finite)
    span = high - low or 1.0
    step = (WIDTH - 2 * MARGIN) / max(len(values) - 1, 1)
    path, broken = [], True
    for index, value in enumerate(values):
        if not math.isfinite(value):
            broken = True
            continue
        y = HEIGHT - MARGIN - (value - low) / span * (HEIGHT - 2 * MARGIN)
        path.append(f"{'M' if broken else 'L'}{MARGIN + index * step:.1f} {y:.1f}")
        broken = False
    caption = f"{html.escape(name)}: {min(finite):.4g} to {high:.4g}, mean {sum(finite) / len(finite):.4g}"
    return (
        f'<figure class="curve"><figcaption>{caption}</figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(name)}">'
        f'<path d="{" ".join(path)}" fill="none" stroke="currentColor" stroke-width="1.5"/></svg></figure>\n'
    )
