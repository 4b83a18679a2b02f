"""Which of many frames or cameras are shown."""

from __future__ import annotations

import math
from collections.abc import Sequence


def even_choice(count: int, most: int) -> list[int]:
    """At most `most` of the indices below count, evenly; first and last among them where most is at least 2."""
    if count <= most:
        return list(range(count))
    if most == 1:
        return [count // 2]
    return [round(k * (count - 1) / (most - 1)) for k in range(most)]


def worst(values: Sequence[float], most: int, larger_is_worse: bool) -> list[int]:
    """Indices of at most `most` values, the worst first; values that are not finite are passed over."""
    finite = [index for index, value in enumerate(values) if math.isfinite(value)]
    return sorted(finite, key=lambda index: values[index], reverse=larger_is_worse)[:most]
