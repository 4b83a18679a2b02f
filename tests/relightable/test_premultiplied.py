"""Premultiplied pictures are told from straight ones, of light and of dark heads."""

from __future__ import annotations

import numpy as np
import pytest

from vhap.relightable.premultiplied import is_premultiplied


def picture(grey: int) -> np.ndarray:
    """A disc of a colour with an edge 6 px wide; nothing shows outside."""
    rows, columns = np.mgrid[:96, :96]
    alpha = np.clip((40 - np.hypot(rows - 48, columns - 48)) / 6 + 0.5, 0, 1)
    noise = np.random.default_rng(0).integers(-5, 6, (96, 96, 3))
    colours = np.where(alpha[..., None] > 0, grey + noise, 0)
    return np.dstack([colours, np.rint(255 * alpha)]).astype(np.uint8)


@pytest.mark.parametrize("grey", [25, 90, 200])
def test_straight_and_premultiplied(grey) -> None:
    straight = picture(grey)
    multiplied = straight.copy()
    multiplied[..., :3] = np.rint(straight[..., :3] * (straight[..., 3:] / 255.0))
    assert not is_premultiplied([straight] * 2)
    assert is_premultiplied([multiplied] * 2)


def test_hard_edges_say_nothing() -> None:
    hard = picture(90)
    hard[..., 3] = np.where(hard[..., 3] > 127, 255, 0)
    assert not is_premultiplied([hard])
