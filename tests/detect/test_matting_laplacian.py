"""Closed-form matting of a band against the definition, and carried on to a larger size."""

import cv2
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from vhap.detect import matting_laplacian
from vhap.detect.alpha_band import MODEL_EPSILON, enlarged
from vhap.detect.guided_filter import linear_model
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


def matrix_of(blocks, system, unknown):
    """The equations of the unknown pixels, (N, N), and the pull of the known ones on them, (N,)."""
    height, width = unknown.shape
    number = np.full((height + 4, width + 4), -1)
    number[2:-2, 2:-2][unknown] = np.arange(unknown.sum())
    total, pull = np.zeros((unknown.sum(),) * 2), np.zeros(unknown.sum())
    for first, vectors in zip(blocks[1 : 1 + blocks[0]], system, strict=True):
        for lane in range(min(16, width - first % width)):
            row, column = divmod(first + lane, width)
            if not unknown[row, column]:
                assert not vectors[:, lane].any()
                continue
            others = number[row : row + 5, column : column + 5].ravel()
            total[number[row + 2, column + 2], others[others >= 0]] = vectors[:25, lane][others >= 0]
            pull[number[row + 2, column + 2]] = vectors[26, lane]
    return total, pull


def test_the_laplacian_is_the_definitions():
    picture, _, inside, unknown = scene()
    at = np.flatnonzero(unknown)
    found, pull = matrix_of(*matting_laplacian._band_equations(picture, inside, unknown, inside, 0.0), unknown)
    expected = slow_laplacian(picture)
    np.testing.assert_allclose(found, expected[np.ix_(at, at)], atol=1e-4)
    np.testing.assert_allclose(pull, -expected[at] @ inside.ravel(), atol=1e-4)
    assert np.abs(pull).max() > 0.1


@pytest.mark.slow
def test_the_laplacian_is_pymattings():
    pymatting = pytest.importorskip("pymatting")
    picture, _, inside, unknown = scene()
    at = np.flatnonzero(unknown)
    ours, pull = matrix_of(*matting_laplacian._band_equations(picture, inside, unknown, inside, 0.0), unknown)
    theirs = pymatting.cf_laplacian(picture.astype(np.float64), EPSILON, 1).toarray()
    np.testing.assert_allclose(ours, theirs[np.ix_(at, at)], atol=2e-3)
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


def slowly_enlarged(alpha, seen, picture):
    """As `enlarged`, of the whole picture, by means and extremes of whole pictures."""
    size = picture.shape[:2]
    places = [(np.arange(full) + 0.5) * small / full - 0.5 for full, small in zip(size, alpha.shape)]
    columns, rows = np.meshgrid(places[1], places[0])
    planes = [
        *linear_model(seen, alpha, 2, MODEL_EPSILON),
        cv2.erode(alpha, np.ones((3, 3))),
        cv2.dilate(alpha, np.ones((3, 3))),
    ]
    at = [map_coordinates(plane.astype(float), [rows, columns], order=1, mode="nearest") for plane in planes]
    value = at[3] + sum(slope * colour for slope, colour in zip(at[:3], picture.transpose(2, 0, 1) / 255.0))
    return 255 * np.clip(np.minimum(np.maximum(value, at[4]), at[5]), 0, 1)


@pytest.mark.parametrize(
    ("size", "small"), [((300, 520), (75, 130)), ((131, 97), (100, 74)), ((40, 33), (39, 2)), ((5, 7), (1, 1))]
)
def test_enlarged_as_by_the_definition(size, small):
    picture, alpha, _, _ = scene(size)
    alpha, seen = (cv2.resize(values, small[::-1], interpolation=cv2.INTER_AREA) for values in (alpha, picture))
    seen, picture = seen.clip(0, 1), (255 * picture.clip(0, 1) + 0.5).astype(np.uint8)
    found, expected = enlarged(alpha, seen, picture), slowly_enlarged(alpha, seen, picture)
    assert np.abs(found - expected).max() < 1
    assert np.abs(found - expected).mean() < 0.3


def test_a_copy_of_the_same_size_is_the_alpha_itself():
    picture, alpha, _, _ = scene()
    found = enlarged(alpha, picture, (255 * picture.clip(0, 1)).astype(np.uint8))
    np.testing.assert_allclose(found, 255 * alpha, atol=0.51)
