"""Closed-form matting of a band against the definition, and carried on to a larger size."""

import cv2
import numpy as np
import pytest

from vhap.detect import alpha_band, matting_laplacian
from vhap.detect.alpha_band import enlarged
from vhap.detect.matting_laplacian import EPSILON, closed_form

SIZE = (14, 17)


def slow_laplacian(picture):
    """(H * W, H * W), window by window, by the definition."""
    height, width = picture.shape[:2]
    pixels = np.arange(height * width).reshape(height, width)
    total = np.zeros((height * width,) * 2)
    for row in range(1, height - 1):
        for column in range(1, width - 1):
            window = pixels[row - 1 : row + 2, column - 1 : column + 2].ravel()
            colours = picture.reshape(-1, 3)[window].astype(float)
            centred = colours - colours.mean(0)
            covariance = centred.T @ centred / 9 + EPSILON / 9 * np.eye(3)
            alike = (1 + centred @ np.linalg.solve(covariance, centred.T)) / 9
            total[np.ix_(window, window)] += np.eye(9) - alike
    return total


def scene(size=SIZE):
    """A picture with a soft slanted edge, its alpha, and the pixels inside and unknown about it."""
    rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float32)
    alpha = np.clip((columns - size[1] / 2 + 0.3 * (rows - size[0] / 2)) / 4 + 0.5, 0, 1)
    noise = np.random.default_rng(0).normal(0, 0.01, (*size, 3))
    picture = alpha[..., None] * [0.2, 0.5, 0.3] + (1 - alpha[..., None]) * [0.8, 0.6, 0.7] + noise
    unknown = (alpha > 0.05) & (alpha < 0.95)
    unknown = cv2.dilate(unknown.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return picture.astype(np.float32), alpha, (alpha > 0.5) & ~unknown, unknown


@pytest.mark.parametrize("weight", [0.003, 0.3])
def test_as_by_the_definition(monkeypatch, weight):
    picture, _, inside, unknown = scene()
    assert unknown[[0, -1]].any(), "the band meets the picture's border"
    guess = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), 2)
    known, at = inside.ravel().astype(float), np.flatnonzero(unknown)
    laplacian = slow_laplacian(picture)
    system = laplacian[np.ix_(at, at)] + weight * np.eye(len(at))
    expected = known.copy()
    expected[at] = np.linalg.solve(system, weight * guess.ravel()[at] - laplacian[at] @ known).clip(0, 1)
    monkeypatch.setattr(matting_laplacian, "MOST_STEPS", 2000)
    monkeypatch.setattr(matting_laplacian, "LEAST_RATIO", 1e-6)
    found = closed_form(picture, inside, unknown, guess, weight)
    np.testing.assert_allclose(found.ravel(), expected, atol=2e-3)


@pytest.mark.slow
def test_the_laplacian_is_pymattings():
    pymatting = pytest.importorskip("pymatting")
    picture, _, inside, unknown = scene()
    ours, pull = matting_laplacian._band_equations(picture, inside, unknown)
    at = np.flatnonzero(unknown)
    theirs = pymatting.cf_laplacian(picture.astype(np.float64), EPSILON, 1).toarray()
    np.testing.assert_allclose(ours.toarray(), theirs[np.ix_(at, at)], atol=2e-3)
    np.testing.assert_allclose(pull, -theirs[at] @ inside.ravel(), atol=2e-3)


def test_alpha_is_found_where_colours_tell():
    picture, alpha, inside, unknown = scene((60, 80))
    guess = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), 3)
    found = closed_form(picture, inside, unknown, guess, 0.003)
    assert np.abs(found - alpha)[unknown].mean() < 0.25 * np.abs(guess - alpha)[unknown].mean()
    np.testing.assert_array_equal(found[~unknown], inside[~unknown])


def test_nothing_unknown_is_left_as_it_is():
    picture, _, inside, unknown = scene()
    np.testing.assert_array_equal(closed_form(picture, inside, np.zeros_like(unknown), inside, 1.0), inside)


@pytest.mark.parametrize("size", [(300, 520), (601, 779)])
def test_alpha_of_a_smaller_copy_is_carried_on_by_the_colours(size):
    picture, alpha, _, _ = scene(size)
    seen_size = size[0] // 3, size[1] // 3
    small = cv2.resize(alpha, seen_size[::-1], interpolation=cv2.INTER_AREA)
    seen = cv2.resize(picture, seen_size[::-1], interpolation=cv2.INTER_AREA)
    found = enlarged(small, seen, (255 * picture.clip(0, 1) + 0.5).astype(np.uint8))
    rim = (alpha > 0) & (alpha < 1)
    plain = cv2.resize(small, size[::-1])
    assert np.abs(found / 255 - alpha)[rim].mean() < 0.6 * np.abs(plain - alpha)[rim].mean()
    far = cv2.dilate(rim.astype(np.uint8), np.ones((41, 41), np.uint8)) == 0
    np.testing.assert_array_equal(found[far], 255 * alpha[far])


def test_tiles_do_not_show(monkeypatch):
    picture, alpha, _, _ = scene((300, 520))
    small, seen = (cv2.resize(values, (130, 75), interpolation=cv2.INTER_AREA) for values in (alpha, picture))
    found = []
    for side in (1000, 33):
        monkeypatch.setattr(alpha_band, "TILE_PX", side)
        found.append(enlarged(small, seen, (255 * picture.clip(0, 1) + 0.5).astype(np.uint8)).astype(int))
    assert np.abs(found[0] - found[1]).max() <= 2


def test_a_copy_of_the_same_size_is_the_alpha_itself():
    picture, alpha, _, _ = scene()
    found = enlarged(alpha, picture, (255 * picture.clip(0, 1)).astype(np.uint8))
    np.testing.assert_allclose(found, 255 * alpha, atol=0.51)
