"""Tables in Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence


def number(value: float | None, decimals: int = 2) -> str:
    """A dash where there is nothing."""
    return "-" if value is None or math.isnan(value) else f"{value:.{decimals}f}"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lines of a table. Raises ValueError where a row has another number of cells than the header."""
    if wrong := [list(row) for row in rows if len(row) != len(header)]:
        raise ValueError(f"expected rows of {len(header)} cells, found {wrong[0]}")
    lines = [f"| {' | '.join(cells)} |" for cells in (header, *rows)]
    return "\n".join([lines[0], "|---" * len(header) + "|", *lines[1:]])
