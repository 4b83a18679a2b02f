"""Colours that the page's tone mapping turns into what was asked for."""

import numpy as np

from vhap.viewer.screen_colours import WHITEST, before_tone_mapping, to_linear, to_srgb, tone_mapped


def test_the_screen_shows_what_was_asked_for():
    asked = np.random.default_rng(0).uniform(0, 1, (500, 3))
    # What people and heads look like; a pure colour may lie outside of what the curve reaches.
    asked = 0.5 * asked + 0.5 * asked.mean(1, keepdims=True)
    linear = np.minimum(to_linear(asked), WHITEST)
    np.testing.assert_allclose(tone_mapped(before_tone_mapping(asked)), linear, atol=1e-6)


def test_black_is_black_and_white_almost_white():
    shown = to_srgb(tone_mapped(before_tone_mapping(np.array([[0.0, 0, 0], [1, 1, 1]]))))
    np.testing.assert_allclose(shown, [[0, 0, 0], [0.991, 0.991, 0.991]], atol=2e-3)


def test_grey_without_tone_mapping_undone_would_be_another():
    grey = np.full((1, 3), 0.5)
    assert abs(to_srgb(tone_mapped(to_linear(grey))) - grey).max() > 0.02


def test_srgb_is_undone():
    values = np.linspace(0, 1, 101)
    np.testing.assert_allclose(to_srgb(to_linear(values)), values, atol=1e-9)
