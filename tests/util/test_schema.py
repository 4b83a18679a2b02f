"""Arrays of files are held to their kinds, shapes and ranges."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vhap.util.errors import InputError
from vhap.util.schema import REAL, TEXT, WHOLE, ArrayRule, check_arrays

RULES = {
    "rotation": ArrayRule(REAL, ("T", 3), most=100),
    "expr": ArrayRule(REAL, ("T", "E")),
    "ids": ArrayRule(WHOLE, ("T",)),
    "names": ArrayRule(TEXT, ("T",), required=False),
    "points": ArrayRule(REAL, ("...", 3), required=False),
    "count": ArrayRule(WHOLE, (), required=False),
}


def arrays(**changed: np.ndarray) -> dict[str, np.ndarray]:
    whole = {"rotation": np.zeros((4, 3)), "expr": np.zeros((4, 7), np.float32), "ids": np.arange(4)}
    return {**whole, **changed}


def test_what_fits_passes_and_tells_its_lengths() -> None:
    fitting = arrays(names=np.array(["a"] * 4), points=np.zeros((2, 5, 3)), count=np.array(4), other=np.zeros(9))
    assert check_arrays("f.npz", fitting, RULES, "track again") == {"T": 4, "E": 7}
    check_arrays("f.npz", arrays(rotation=np.zeros((0, 3)), expr=np.zeros((0, 7)), ids=np.arange(0)), RULES, "")
    check_arrays("f.npz", arrays(rotation=np.zeros((4, 3), int)), RULES, "")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"rotation": np.zeros((4, 4))}, r"rotation in .* T x 3, found 4 x 4"),
        ({"rotation": np.zeros(3)}, r"T x 3, found 3"),
        ({"expr": np.zeros((5, 7))}, r"T = 4 x E, found 5 x 7"),
        ({"ids": np.zeros(4)}, "whole numbers, found float64"),
        ({"names": np.zeros(4)}, "text, found float64"),
        ({"expr": np.array([["a"] * 7] * 4)}, "real numbers, found <U1"),
        ({"rotation": np.full((4, 3), np.nan)}, "finite numbers"),
        ({"rotation": np.full((4, 3), 101)}, "up to 100, found 101"),
        ({"points": np.zeros(4)}, "any x 3, found 4"),
        ({"count": np.zeros(2, int)}, "one value, found 2"),
    ],
)
def test_what_does_not_fit_is_one_line(changed: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(InputError, match=words + ".*; track again"):
        check_arrays(Path("f.npz"), arrays(**changed), RULES, "track again")


def test_missing_arrays_are_named() -> None:
    with pytest.raises(InputError, match="arrays expr, ids"):
        check_arrays("f.npz", {"rotation": np.zeros((4, 3))}, RULES, "track again")
