"""Visibility on a half sphere that carries the mesh's own neighbourhoods."""

import numpy as np
import pytest

from vhap.detect import visibility as module
from vhap.detect.ibug import MEDIAPIPE_OF_IBUG, ibug_from_mediapipe
from vhap.detect.visibility import visibility

pytest.importorskip("mediapipe")


@pytest.fixture
def face(monkeypatch):
    """(478, 3) points of a cylinder around the y axis that faces the camera: 18 columns of 26 over 180 degrees."""
    column, row = np.divmod(np.arange(468), 26)
    angle = np.deg2rad(-85 + 10 * column)
    mesh = np.column_stack([100 * np.sin(angle), 8.0 * row, -100 * np.cos(angle)])
    distance = np.linalg.norm(mesh[:, None] - mesh[None], axis=-1)
    nearest = np.argsort(distance, axis=1)[:, 1:9]
    joined = np.zeros((468, 468))
    np.put_along_axis(joined, nearest, 1.0, axis=1)
    monkeypatch.setattr(module, "_neighbours", lambda: (joined, joined.sum(1)))
    monkeypatch.setattr(module, "CHEEKS_AT_EARS", (12, 455))
    return np.vstack([mesh, np.zeros((10, 3))])


def turned(points, degrees):
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return points @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T


def test_frontal_face_is_seen_to_its_outline(face):
    assert visibility(face)[:468].min() > 0.95


@pytest.mark.parametrize("degrees", [60, 90, -60, -90])
def test_far_side_of_a_turned_face_is_hidden(face, degrees):
    seen = visibility(turned(face, degrees))[:468].reshape(18, 26).mean(1)
    towards = np.cos(np.deg2rad(np.linspace(-85, 85, 18) - degrees))
    assert seen[towards > 0.1].min() > 0.95
    assert seen[towards < -0.5].max(initial=0) < 0.1


def test_face_from_behind_is_hidden(face):
    assert visibility(turned(face, 180))[:468].mean() < 0.15


def test_ibug_points_are_distinct_points_of_the_detector():
    assert len(MEDIAPIPE_OF_IBUG) == 70
    assert len(set(MEDIAPIPE_OF_IBUG.tolist())) == 70
    assert MEDIAPIPE_OF_IBUG.max() < 478
    points = np.random.default_rng(0).normal(size=(3, 478, 2))
    assert ibug_from_mediapipe(points).shape == (3, 70, 2)


def test_directions_of_least_spread_are_eigenvectors():
    generator = np.random.default_rng(0)
    rays = generator.normal(size=(200, 6, 3)) * [5.0, 1.0, 0.2] @ np.linalg.qr(generator.normal(size=(200, 3, 3)))[0]
    matrices = rays.transpose(0, 2, 1) @ rays
    found = module.least_directions(matrices)
    expected = np.linalg.eigh(matrices)[1][:, :, 0]
    np.testing.assert_allclose(np.abs((found * expected).sum(1)), 1, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1)
    assert np.isfinite(module.least_directions(np.zeros((2, 3, 3)))).all()
