"""The measure of mattes: a key whose truth is known, and errors of known size."""

import cv2
import mattes
import numpy as np
import pytest


def disc(size=(160, 200), shift=0.0, soft=6.0):
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float32)
    return np.clip((50 - np.hypot(rows - 80, columns - 100 - shift)) / soft + 0.5, 0, 1)


@pytest.mark.slow
def test_a_green_screen_is_keyed_and_its_spill_taken_away():
    pytest.importorskip("pymatting")
    alpha, random = disc(), np.random.default_rng(0)
    hair = (
        np.array([0.16, 0.15, 0.17]) + 0.02 * cv2.GaussianBlur(random.normal(0, 3, (160, 200, 1)), (0, 0), 2)[..., None]
    )
    screen = np.array([70, 152, 105]) / 255
    picture = alpha[..., None] * hair + (1 - alpha[..., None]) * screen
    colour, found = mattes.key((255 * picture + 0.5).astype(np.uint8))
    assert np.abs(found - alpha).mean() < 0.006
    assert found[0, 0] == 0
    assert found[80, 100] == 1
    rim = (alpha > 0.1) & (alpha < 0.9)
    assert (colour[..., 1] - colour[..., [0, 2]].mean(-1))[rim].max() < 0.03


def test_errors_are_those_that_were_made():
    true = np.stack([disc(shift=shift) for shift in (0, 1, 2)])
    assert mattes.errors(true, true) == (0, 0, 0)
    error, banded, flicker = mattes.errors(np.clip(true - 0.1, 0, 1), true)
    assert 0.05 < banded < 0.1
    assert error < banded
    assert flicker < 0.001
    flickering = true.copy()
    flickering[1] = 0
    assert mattes.errors(flickering, true)[2] == pytest.approx(true[1].mean(), rel=1e-3)


def test_colours_of_the_rim_count_over_white():
    true = disc()[None]
    own = np.full((*true.shape, 3), 0.2, np.float32)
    filmed = own * true[..., None] + 0.9 * (1 - true[..., None])
    as_filmed, as_exported = mattes.rim_errors(filmed, own, true, true)
    assert as_filmed > 15
    assert as_exported < 0.1 * as_filmed
