import numpy as np
import pytest
from detector_points import FACE_PX, rows


def test_constant_and_varying_errors_are_told_apart_in_pixels_of_the_faces_size():
    random = np.random.default_rng(0)
    truth = np.broadcast_to(random.uniform(0, 2 * FACE_PX, (478, 2)), (40, 478, 2)).copy()
    truth[:, :2] = [[0, 0], [2 * FACE_PX, 2 * FACE_PX]]
    points = truth + random.normal(scale=0.8, size=truth.shape)
    points[:, 468:] += [1.2, -0.4]
    table = {name: [float(value) for value in values] for name, *values in rows(points, truth, np.ones((40, 478)) > 0)}
    assert table["irises"] == pytest.approx([0.6, -0.2, 0.4**0.5, 0.4 * 2**0.5], abs=0.1)
    assert table["lips"] == pytest.approx([0, 0, 0.4 / 40**0.5 * 2**0.5, 0.4 * 2**0.5], abs=0.05)


def test_hidden_points_and_missed_pictures_do_not_count():
    truth = np.random.default_rng(1).uniform(0, FACE_PX, (3, 478, 2))
    points = truth + 0.5
    points[1] = np.nan
    seen = np.isfinite(points).all(-1)
    points[:, 0], seen[:, 0] = 1e6, False
    table = rows(points, truth, seen)
    assert len(table) == 7
    assert all(float(row[3]) < 1 for row in table)
