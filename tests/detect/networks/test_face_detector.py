"""What stands around the detector's network: cells, and guesses of one face that become one."""

from __future__ import annotations

import numpy as np

from vhap.detect.networks.face_detector import GRIDS, anchors, weighted_suppression


def test_cells_are_as_many_as_the_networks_guess() -> None:
    short, full = anchors(GRIDS["short"]), anchors(GRIDS["full"])
    assert (short.shape, full.shape) == ((896, 2), (2304, 2))
    np.testing.assert_allclose(short[:3], np.array([[0.5, 0.5], [0.5, 0.5], [1.5, 0.5]]) / 16)
    np.testing.assert_allclose(short[512 : 512 + 7], np.array([[0.5, 0.5]] * 6 + [[1.5, 0.5]]) / 8)
    np.testing.assert_allclose(full[-1], [47.5 / 48] * 2)


def guess(x: float, y: float, side: float) -> np.ndarray:
    return np.array([[x, y], [x + side, y + side], [x + side / 2, y + side / 3]])


def test_guesses_of_one_face_are_averaged_by_how_sure_they_are() -> None:
    guesses = np.array([guess(0.1, 0.1, 0.2), guess(0.6, 0.5, 0.3), guess(0.12, 0.1, 0.2), guess(0.3, 0.1, 0.2)])
    scores = np.array([0.6, 0.7, 0.9, 0.8])
    found, of_faces = weighted_suppression(guesses, scores)
    np.testing.assert_array_equal(of_faces, [0.9, 0.8, 0.7])
    np.testing.assert_allclose(found[0], (0.9 * guesses[2] + 0.6 * guesses[0]) / 1.5)
    np.testing.assert_allclose(found[1:], guesses[[3, 1]])


def test_guesses_without_an_area_and_none_at_all() -> None:
    guesses = np.array([guess(0.1, 0.1, 0.0), guess(0.1, 0.1, 0.0)])
    found, of_faces = weighted_suppression(guesses, np.array([0.6, 0.8]))
    assert (len(found), of_faces.tolist()) == (2, [0.8, 0.6])
    found, of_faces = weighted_suppression(guesses[:0], np.zeros(0))
    assert (found.shape, of_faces.shape) == ((0, 3, 2), (0,))
