"""Ranges of numeric options, written at the fields' types, and the one check of them."""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from vhap.util.errors import InputError, shown


@dataclass(frozen=True)
class Range:
    """Numbers from low to high, both included; with `above`, low itself is left out. NaN and infinity never are in."""

    low: float
    high: float
    above: bool = False

    def holds(self, value: float) -> bool:
        # Not by float(value): an integer of 400 digits has none.
        finite = isinstance(value, int) or math.isfinite(value)
        return finite and (self.low < value if self.above else self.low <= value) and value <= self.high

    def __str__(self) -> str:
        low = f"above {self.low:.12g}" if self.above else f"of at least {self.low:.12g}"
        return f"a number {low} and at most {self.high:.12g}"


Index = Annotated[int, Range(0, 10_000_000)]
Count = Annotated[int, Range(1, 1_000_000)]
CountOrNone = Annotated[int, Range(0, 1_000_000)]
Workers = Annotated[int, Range(0, 1024)]
Pixels = Annotated[int, Range(1, 16_384)]
CalibrationPixels = Annotated[int, Range(1, 100_000)]
Downsampling = Annotated[int, Range(1, 64)]
Seed = Annotated[int, Range(0, 2**32 - 1)]
Epoch = Annotated[int, Range(-1, 1_000_000)]
Scale = Annotated[float, Range(0, 1, above=True)]
Share = Annotated[float, Range(0, 1)]
Weight = Annotated[float, Range(0, 1e12)]
Rate = Annotated[float, Range(0, 10)]
FocalPixels = Annotated[float, Range(0, 1e6, above=True)]
PrincipalPoint = Annotated[float, Range(-1e5, 1e5)]
FramesASecond = Annotated[float, Range(0, 10_000, above=True)]
Degrees = Annotated[float, Range(0, 180)]
FramesASecondOrOwn = Annotated[float, Range(-1, 10_000)]
BoxScale = Annotated[float, Range(0.1, 100)]


def check_ranges(config: Any, prefix: str = "--") -> None:
    """InputError for the first option out of its range, and for text with control characters.

    prefix: stands before the option's dotted name in the message, the sign of options or the path of a file.
    """
    for name, kind, value in _values(config, prefix):
        if isinstance(value, str | Path):
            _check_text(name, str(value))
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found = _range_of(kind)
            if found is None or found.holds(value):
                continue
            raise InputError(f"expected {found} for {name}, found {shown(value)}; correct it")


def _check_text(name: str, text: str) -> None:
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise InputError(f"expected text without control characters for {name}, found {shown(text)}; correct it")


def _values(config: Any, prefix: str) -> Iterator[tuple[str, Any, Any]]:
    """Name, type and value of every option; of tuples each element."""
    hints = hints_of(type(config))
    for field in dataclasses.fields(config):
        name, value = f"{prefix}{field.name}", getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from _values(value, f"{name}.")
        elif isinstance(value, tuple):
            yield from ((name, hints[field.name], item) for item in value)
        else:
            yield name, hints[field.name], value


@functools.cache
def hints_of(kind: type) -> dict[str, Any]:
    """Types of a dataclass's fields, with their ranges."""
    return typing.get_type_hints(kind, include_extras=True)


def _range_of(kind: Any) -> Range | None:
    """The range in a type: its own, or that of the number in a union or a tuple."""
    if typing.get_origin(kind) is Annotated:
        return next((mark for mark in kind.__metadata__ if isinstance(mark, Range)), None)
    return next((found for part in typing.get_args(kind) if (found := _range_of(part)) is not None), None)


def numbers_without_range(kind: Any) -> list[str]:
    """Names of a config's numeric options that have no range; of a config within it, dotted."""
    missing = []
    for name, hint in hints_of(kind).items():
        for part in _parts(hint):
            if dataclasses.is_dataclass(part):
                missing += [f"{name}.{inner}" for inner in numbers_without_range(part)]
            elif part in (int, float):
                missing.append(name)
    return missing


def _parts(hint: Any) -> list[Any]:
    """The types in a union or a tuple; those with a range stay as they are."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType, tuple):
        return [inner for part in typing.get_args(hint) for inner in _parts(part)]
    return [hint]
