"""Colour correction against colour-science, the library that the captures' matrices were made with."""

from __future__ import annotations

import colour
import numpy as np
import pytest
from colour.characterisation import apply_matrix_colour_correction_Cheung2004, matrix_augmented_Cheung2004

from vhap.data.color import (
    TERMS,
    correct_affine,
    correct_polynomial,
    correct_polynomial_unclipped,
    linear_to_srgb,
    srgb_to_linear,
)
from vhap.util.errors import InputError
from vhap.util.threads import get_threads, set_threads

CHEUNG = [3, 4, 5, 7, 8, 10, 11, 14, 16, 17, 19, 20, 22, 35]
LEVEL = 1 / 255


def oracle(picture: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Float64, clipped, not rounded."""
    values = picture / 255 if picture.dtype == np.uint8 else picture.astype(np.float64)
    linear = apply_matrix_colour_correction_Cheung2004(colour.cctf_decoding(values), matrix, terms=matrix.shape[1])
    return np.clip(colour.cctf_encoding(linear), 0, 1)


def plausible(terms: int, strength: float = 0.3) -> np.ndarray:
    """A matrix near the identity in which every term counts."""
    rng = np.random.default_rng(terms)
    matrix = strength * rng.uniform(-1, 1, (3, terms))
    matrix[:, :3] += np.eye(3)
    return matrix


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """Random colours, every grey, and the cube's corners: black, white, saturated."""
    rng = np.random.default_rng(0)
    greys = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, 1)
    corners = np.array(list(np.ndindex(2, 2, 2)), np.uint8) * 255
    dark = rng.integers(0, 20, (3 * 256, 3), dtype=np.uint8)
    colours = rng.integers(0, 256, (97 * 101 - len(greys) - len(corners) - len(dark), 3), dtype=np.uint8)
    return np.concatenate([greys, corners, dark, colours]).reshape(97, 101, 3)


def test_term_counts_are_those_of_the_oracle():
    assert sorted(TERMS) == CHEUNG
    with pytest.raises(ValueError, match="does not define"):
        matrix_augmented_Cheung2004(np.zeros(3), terms=9)


@pytest.mark.parametrize("terms", CHEUNG)
def test_each_term_stands_where_the_oracle_has_it(terms):
    r, g, b = values = np.array([0.3, 0.5, 0.7])
    expected = [r ** name.count("r") * g ** name.count("g") * b ** name.count("b") for name in TERMS[terms]]
    np.testing.assert_allclose(matrix_augmented_Cheung2004(values, terms=terms), expected, rtol=1e-12)


@pytest.mark.parametrize("terms", CHEUNG)
def test_uint8_is_the_oracle_rounded(picture, terms):
    matrix = plausible(terms)
    corrected, expected = correct_polynomial(picture, matrix), 255 * oracle(picture, matrix)
    assert corrected.dtype == np.uint8
    assert corrected.shape == picture.shape
    # Half a level is rounding; the rest is the encoding table's.
    assert np.abs(corrected - expected).max() < 0.65
    assert (corrected == np.round(expected)).mean() > 0.97
    assert expected.min() == 0
    assert expected.max() == 255


@pytest.mark.parametrize("terms", CHEUNG)
def test_float_is_the_oracle(picture, terms):
    rng = np.random.default_rng(1)
    values = np.clip(picture / 255 + rng.uniform(-0.5, 0.5, picture.shape) / 255, 0, 1).astype(np.float32)
    matrix = plausible(terms)
    corrected = correct_polynomial(values, matrix)
    assert corrected.dtype == np.float32
    assert np.abs(corrected - oracle(values, matrix)).max() < 0.01 * LEVEL


def test_clipping_at_both_ends(picture):
    brighter, darker, far = np.eye(3, 10) * 4, np.eye(3, 10), np.eye(3, 10) * 3e4
    darker[:, 9] = -0.2
    for matrix in (brighter, darker, far, -far):
        expected = 255 * oracle(picture, matrix)
        corrected = correct_polynomial(picture, matrix)
        assert np.abs(corrected - expected).max() < 0.65
    assert (correct_polynomial(picture, brighter)[picture > 200] == 255).all()
    assert (correct_polynomial(picture, darker)[picture < 100] == 0).all()


@pytest.mark.parametrize("terms", CHEUNG)
def test_the_identity_changes_nothing(picture, terms):
    np.testing.assert_array_equal(correct_polynomial(picture, np.eye(3, terms)), picture)


def test_affine_is_the_formula_of_the_format(picture):
    rng = np.random.default_rng(2)
    matrix = np.hstack([np.eye(3), np.zeros((3, 1))]) + rng.uniform(-0.3, 0.3, (3, 4))
    expected = np.clip((picture / 255) @ matrix[:, :3] + matrix[:, 3], 0, 1)
    assert np.abs(correct_affine(picture, matrix) - 255 * expected).max() < 0.51
    values = (picture / 255).astype(np.float32)
    assert np.abs(correct_affine(values, matrix) - expected).max() < 1e-5
    np.testing.assert_array_equal(correct_affine(picture, np.eye(3, 4)), picture)


def test_curves_are_those_of_the_oracle():
    values = np.linspace(0, 1, 4001)
    np.testing.assert_allclose(srgb_to_linear(values), colour.cctf_decoding(values), atol=1e-12)
    np.testing.assert_allclose(linear_to_srgb(values), colour.cctf_encoding(values), atol=1e-12)


def test_any_memory_layout_and_any_number_of_threads(picture):
    matrix = plausible(22)
    whole = correct_polynomial(picture, matrix)
    cut = correct_polynomial(picture[10:40, ::-1], matrix)
    np.testing.assert_array_equal(cut, whole[10:40, ::-1])
    assert correct_polynomial(picture[:0], matrix).shape == (0, 101, 3)
    before = get_threads()
    try:
        for threads in (1, 3):
            set_threads(threads)
            np.testing.assert_array_equal(correct_polynomial(picture, matrix), whole)
    finally:
        set_threads(before)


def test_read_only_pictures_stay_as_they_are(picture):
    kept = picture.copy()
    kept.setflags(write=False)
    correct_polynomial(kept, plausible(10))
    np.testing.assert_array_equal(kept, picture)


def test_floats_out_of_range_are_clipped_and_nan_is_no_crash():
    values = np.array([[[-1.0, 2.0, 0.5], [np.inf, -np.inf, np.nan]]], np.float32)
    clipped = np.array([[[0, 1, 0.5], [1, 0, 0]]], np.float32)
    np.testing.assert_array_equal(correct_polynomial(values, plausible(22)), correct_polynomial(clipped, plausible(22)))


@pytest.mark.parametrize("matrix", [np.eye(3, 9), np.eye(4, 10), np.zeros(3), [[1, 2], [3]], [["a"] * 10] * 3])
def test_wrong_polynomial_matrices(picture, matrix):
    with pytest.raises(InputError, match=r"expected .*; check the capture's file"):
        correct_polynomial(picture, matrix)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1e39, 2e5])
def test_numbers_that_are_not_finite_or_huge(picture, bad):
    matrix = np.eye(3, 10)
    matrix[1, 4] = bad
    with pytest.raises(InputError, match="finite"):
        correct_polynomial(picture, matrix)
    with pytest.raises(InputError, match="finite"):
        correct_affine(picture, np.full((3, 4), bad))


def test_wrong_affine_matrices(picture):
    with pytest.raises(InputError, match=r"\(3, 4\), found \(3, 3\)"):
        correct_affine(picture, np.eye(3))


@pytest.mark.parametrize("terms", CHEUNG)
def test_unclipped_is_the_formula_for_all_numbers(picture, terms):
    matrix = plausible(terms, strength=1.0)
    for values in (picture / 255, np.linspace(-0.5, 1.5, 3 * 70 * 5).reshape(70, 5, 3).astype(np.float32)):
        before = values.copy()
        linear = matrix_augmented_Cheung2004(colour.cctf_decoding(np.asarray(values, float)), terms) @ matrix.T
        expected = colour.cctf_encoding(linear)
        corrected = correct_polynomial_unclipped(values, matrix)
        assert corrected.dtype == np.float64
        np.testing.assert_allclose(corrected, expected, rtol=1e-9, atol=1e-9)
        assert corrected.min() < 0 or corrected.max() > 1
        np.testing.assert_array_equal(values, before)


def test_unclipped_refuses_the_same_matrices(picture):
    for matrix in (np.eye(3, 6), np.full((3, 4), np.nan), np.eye(4)):
        with pytest.raises(InputError, match="colour correction"):
            correct_polynomial_unclipped(picture / 255, matrix)
