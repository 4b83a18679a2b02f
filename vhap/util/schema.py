"""What the arrays of an npz have to be: kind, shape, range. (JSON: `read_json` with a type.)"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vhap.util.errors import InputError

KINDS = {"f": "real numbers", "iu": "whole numbers", "biu": "truth values or whole numbers", "U": "text"}
REAL, WHOLE, FLAGS, TEXT = KINDS


@dataclass(frozen=True)
class ArrayRule:
    """shape: a number is that length; a name is one length wherever it stands, in all arrays of a file; `...` first
    stands for any leading axes. kind: REAL takes whole numbers, too. most: the largest magnitude that makes sense, of
    numbers, which always have to be finite."""

    kind: str
    shape: tuple[int | str, ...]
    most: float = np.inf
    required: bool = True


def check_arrays(
    path: str | Path, arrays: Mapping[str, np.ndarray], rules: Mapping[str, ArrayRule], remedy: str
) -> dict[str, int]:
    """Holds arrays to their rules, those without one to nothing; returns the lengths by their names.

    InputError, with the remedy, for the first array that is missing or breaks its rule.
    """
    if missing := [name for name, rule in rules.items() if rule.required and name not in arrays]:
        raise InputError(f"expected the arrays {', '.join(missing)} in {path}, found none; {remedy}")
    lengths: dict[str, int] = {}
    for name, rule in rules.items():
        if name in arrays:
            complaint = _complaint(arrays[name], rule, lengths)
            if complaint is not None:
                raise InputError(f"expected {name} in {path} to hold {complaint}; {remedy}")
    return lengths


def _complaint(array: np.ndarray, rule: ArrayRule, lengths: dict[str, int]) -> str | None:
    """What was expected and what was found, or None where the array keeps its rule. Binds lengths not yet known."""
    if array.dtype.kind not in (rule.kind if rule.kind != REAL else "fiu"):
        return f"{KINDS[rule.kind]}, found {array.dtype}"
    shape, free = rule.shape, rule.shape[:1] == ("...",)
    wanted = shape[1:] if free else shape
    found = array.shape[max(0, array.ndim - len(wanted)) :] if free else array.shape
    bound = [lengths.get(side, side) if isinstance(side, str) else side for side in wanted]
    if len(found) == len(wanted):
        # A name that stands twice in one shape is one length there, too.
        twice = {side: n for side, n in zip(wanted, found) if wanted.count(side) > 1}
        bound = [{**twice, **lengths}.get(side, side) if isinstance(side, str) else side for side in wanted]
    if len(found) != len(wanted) or any(isinstance(side, int) and side != n for side, n in zip(bound, found)):
        text = " x ".join(f"{side} = {b}" if side != b else str(side) for side, b in zip(shape[-len(bound) :], bound))
        return (
            f"{'any x ' if free else ''}{text or 'one value'}, found {' x '.join(map(str, array.shape)) or 'one value'}"
        )
    lengths.update({side: n for side, n in zip(wanted, found) if isinstance(side, str)})
    if rule.kind == TEXT or not array.size:
        return None
    largest = np.abs(array.astype(np.float64)).max()
    if not np.isfinite(largest):
        return "finite numbers, found NaN or infinity"
    if largest > rule.most:
        return f"numbers up to {rule.most:g}, found {largest:.3g}"
    return None
