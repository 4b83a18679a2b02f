"""The subset option: a short text that chooses timesteps and cameras of a capture."""

from __future__ import annotations

import re

from vhap.util.errors import InputError

TERM = re.compile(r"(?P<axis>[tc])(?:i(?P<first>\d+)(?:(?P=axis)j(?P<last>\d+))?|n(?P<count>\d+)|s(?P<stride>\d+))")
FORMS = "ti3, ti3tj9, tn20, ts5 (cameras: ci0, ci0cj3, cn4, cs2), joined by _"


def select_timesteps(subset: str | None, count: int) -> list[int]:
    """Indices that the subset keeps of `count` timesteps, in order. InputError on a malformed subset."""
    return _select(subset, "t", count)


def select_cameras(subset: str | None, count: int) -> list[int]:
    """Indices that the subset keeps of `count` cameras, in order. InputError on a malformed subset."""
    return _select(subset, "c", count)


def _select(subset: str | None, axis: str, count: int) -> list[int]:
    kept = list(range(count))
    for text in subset.split("_") if subset else []:
        term = TERM.fullmatch(text)
        if term is None:
            raise InputError(
                f"expected a subset of the forms {FORMS}, found {text!r} in {subset!r}; correct --data.subset"
            )
        if term["axis"] == axis:
            kept = _apply(term, kept, subset or "")
    return kept


def _apply(term: re.Match[str], kept: list[int], subset: str) -> list[int]:
    count = len(kept)
    if term["first"] is not None:
        first = int(term["first"])
        last = int(term["last"]) if term["last"] is not None else first
        if not first <= last < count:
            raise InputError(
                f"expected indices from 0 to {count - 1}, first not after last, found {term[0]!r} in "
                f"{subset!r}; "
                "correct --data.subset"
            )
        return kept[first : last + 1]
    number = int(term["count"] or term["stride"])
    if number < 1:
        raise InputError(f"expected a number of at least 1, found {term[0]!r} in {subset!r}; correct --data.subset")
    if term["stride"] is not None:
        return kept[::number]
    return kept[:: max(1, count // number)][:number]
