from __future__ import annotations

import numpy as np
import pytest

from vhap.evaluate.grid import image_grid, label, labelled_grid
from vhap.evaluate.overlay import DETECTED_RGB, FITTED_RGB, blend, cut_out, draw_landmarks, error_map


def pictures(height: int = 60, width: int = 80) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    first, second = generator.integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    mask = np.zeros((height, width), bool)
    mask[20:40, 30:60] = True
    return first, second, mask


def test_blend_mixes_inside_the_mask_only() -> None:
    picture, render, mask = pictures()
    mixed = blend(picture, render, mask, 0.25)
    np.testing.assert_array_equal(mixed[~mask], picture[~mask])
    expected = picture * 0.75 + render * 0.25
    assert np.abs(mixed[mask] - expected[mask]).max() <= 0.5 + 1e-3
    np.testing.assert_array_equal(blend(picture, render, mask, 1.0), np.where(mask[..., None], render, picture))


def test_cut_out_keeps_the_head_alone() -> None:
    _, render, mask = pictures()
    alone = cut_out(render, mask, 10)
    np.testing.assert_array_equal(alone[mask], render[mask])
    assert (alone[~mask] == 10).all()


def test_error_map_grows_hotter_with_the_error_and_saturates() -> None:
    picture = np.full((4, 5, 3), 100, np.uint8)
    render = picture.copy()
    render[0] += np.uint8([[10], [20], [40], [80], [120]])
    mask = np.ones((4, 5), bool)
    mask[3] = False
    heat = error_map(picture, render, mask).astype(int)
    brightness = heat[0].sum(-1)
    assert (np.diff(brightness)[:3] > 0).all()
    assert brightness[3] == brightness[4]
    assert heat[1].sum(-1).max() < brightness[0]
    assert (heat[3] == 35).all()


def test_landmarks_are_drawn_where_they_are_and_only_where_detected() -> None:
    blank = np.zeros((60, 80, 3), np.uint8)
    detected = np.array([[10.5, 20.5], [50.5, 30.5], [0.0, 0.0], [np.nan, 3], [1e9, 3]])
    fitted = np.array([[14.5, 20.5], [50.5, 40.5], [70.5, 50.5], [5, 5], [6, 6]])
    drawn = draw_landmarks(blank, detected, fitted, np.array([1, 0.5, 0, 1, 1]))
    assert not blank.any()
    assert tuple(drawn[20, 10]) == DETECTED_RGB
    assert tuple(drawn[20, 14]) == FITTED_RGB
    assert tuple(drawn[40, 50]) == FITTED_RGB
    assert not drawn[50, 70].any()
    assert not drawn[:10].any()


def test_grid_places_pictures_row_by_row() -> None:
    tiles = [np.full((4, 6, 3), 10 * k, np.uint8) for k in range(5)]
    grid = image_grid(tiles, 3, gap=2)
    assert grid.shape == (10, 22, 3)
    assert [int(grid[row, column, 0]) for row, column in ((0, 0), (3, 8), (0, 16), (6, 0), (9, 13))] == [
        0,
        10,
        20,
        30,
        40,
    ]
    assert (grid[4:6] == 255).all()
    assert (grid[6:, 16:] == 255).all()


def test_grid_refuses_unequal_pictures() -> None:
    with pytest.raises(ValueError, match="one size"):
        image_grid([np.zeros((4, 6, 3), np.uint8), np.zeros((4, 7, 3), np.uint8)], 2)


def test_label_changes_only_its_corner() -> None:
    picture, _, _ = pictures(200, 300)
    named = label(picture, "input")
    np.testing.assert_array_equal(named[40:], picture[40:])
    assert (named[:30] != picture[:30]).any()


def test_labelled_grid_keeps_the_pictures_below_their_names() -> None:
    first, second, _ = pictures()
    grid = labelled_grid({"input": first, "render": second, "error": first}, columns=2)
    assert grid.shape == (2 * 64 - 4, 2 * 84 - 4, 3)
    np.testing.assert_array_equal(grid[30:60, :80], first[30:])
    np.testing.assert_array_equal(grid[30:60, 84:], second[30:])
    assert (grid[:15, 84:100] != second[:15, :16]).any()
