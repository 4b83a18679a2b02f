"""Colours at the rim of a matte, without the background that shines through."""

import cv2
import numpy as np
import pytest

from vhap.data.foreground import own_colors, rim_colors


def mixed(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A dark disc with a soft rim before a bright, uneven wall: picture, alpha, and the disc's own colours."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:160, :200].astype(np.float32)
    alpha = np.clip((55 - np.hypot(rows - 80, columns - 100)) / 10 + 0.5, 0, 1)
    own = 0.2 + 0.05 * np.stack([np.sin(rows / 9), np.cos(columns / 7), np.sin(columns / 11)], -1)
    wall = 0.8 + 0.1 * cv2.GaussianBlur(random.normal(0, 3, (160, 200, 3)).astype(np.float32), (0, 0), 3)
    share = alpha[..., None]
    return (own * share + wall * (1 - share)).astype(np.float32), alpha.astype(np.float32), own


def test_rim_loses_the_background():
    picture, alpha, own = mixed()
    rim = (alpha > 0.05) & (alpha < 0.95)
    weight = alpha[rim][:, None]
    before, after = (np.abs((values - own)[rim] * weight).mean() for values in (picture, own_colors(picture, alpha)))
    assert before > 0.08
    assert after < 0.15 * before


def test_colours_of_the_person_stay():
    picture, alpha, _ = mixed()
    found = own_colors(picture, alpha)
    np.testing.assert_array_equal(found[alpha == 1], picture[alpha == 1])
    assert found.dtype == np.float32
    assert 0 <= found.min() <= found.max() <= 1


def test_mattes_without_a_rim_change_nothing():
    picture, alpha, _ = mixed()
    for matte in (np.zeros_like(alpha), np.ones_like(alpha), (alpha > 0.5).astype(np.float32)):
        np.testing.assert_array_equal(own_colors(picture, matte), picture)


@pytest.mark.parametrize("part", [np.s_[:, :], np.s_[40:120, 70:200], np.s_[:3, 60:140]], ids=["whole", "cut", "thin"])
def test_the_rim_alone_gets_the_same_colours(part: tuple[slice, slice]):
    picture, alpha, _ = (np.rint(values[part] * 255).clip(0, 255).astype(np.uint8) for values in mixed())
    alpha[:, :1] = 128
    rim, colours = rim_colors(picture, alpha)
    expected = own_colors(picture.astype(np.float32) / 255, alpha.astype(np.float32) / 255)
    np.testing.assert_array_equal(rim, np.flatnonzero((alpha > 0) & (alpha < 255)))
    assert colours.dtype == np.float32
    np.testing.assert_allclose(colours, expected.reshape(-1, 3)[rim], atol=2e-6)


def test_without_a_rim_there_are_no_colours():
    picture = np.zeros((4, 5, 3), np.uint8)
    rim, colours = rim_colors(picture, np.full((4, 5), 255, np.uint8))
    assert rim.shape == (0,)
    assert colours.shape == (0, 3)
