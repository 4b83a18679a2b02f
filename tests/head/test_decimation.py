import numpy as np
import pytest
import torch
import trimesh

from vhap.geometry.meshes import open_edges
from vhap.head.decimate import decimate


@pytest.fixture(scope="module")
def sphere():
    ball = trimesh.creation.icosphere(subdivisions=3)
    return np.asarray(ball.vertices), np.asarray(ball.faces)


def thin(points, faces, target, uv_faces=None, keep=()):
    mask = np.zeros(len(points), bool)
    mask[list(keep)] = True
    part = np.zeros(len(points), int)
    return decimate(points[None], faces, faces if uv_faces is None else uv_faces, part, np.array([target]), mask)


def test_sphere_stays_closed_round_and_outward(sphere):
    points, faces = sphere
    thinned, uv_faces = thin(points, faces, 120, keep=(5, 77))
    used = np.unique(thinned)
    assert len(used) == 120
    assert {5, 77} <= set(used.tolist())
    assert len(open_edges(torch.from_numpy(thinned))) == 0
    assert len(thinned) == 2 * len(used) - 4
    a, b, c = (points[thinned[:, k]] for k in range(3))
    assert ((np.cross(b - a, c - a) * (a + b + c)).sum(-1) > 0).all()
    assert np.linalg.norm((a + b + c) / 3, axis=-1).min() > 0.93
    assert np.array_equal(uv_faces, thinned)


def test_flat_open_sheet_keeps_its_outline():
    size = 12
    grid = np.stack(np.meshgrid(np.arange(size), np.arange(size), indexing="ij"), -1).reshape(-1, 2)
    points = np.concatenate([grid, np.zeros((len(grid), 1))], 1).astype(float)
    quads = [(i * size + j, (i + 1) * size + j) for i in range(size - 1) for j in range(size - 1)]
    faces = np.array([t for a, b in quads for t in ((a, b, b + 1), (a, b + 1, a + 1))])
    thinned, _ = thin(points, faces, 40)
    a, b, c = (points[thinned[:, k]] for k in range(3))
    assert np.cross(b - a, c - a)[:, 2].sum() / 2 == pytest.approx((size - 1) ** 2)


def test_seams_keep_their_line_and_their_two_sides(sphere):
    """Two charts that meet at the equator: no triangle may end up with corners of both."""
    points, faces = sphere
    north = points[faces].mean(1)[:, 2] > 0
    uv_faces = np.where(north[:, None], faces, faces + len(points))
    thinned, corners = thin(points, faces, 200, uv_faces)
    assert np.array_equal(corners % len(points), thinned)
    in_south = corners >= len(points)
    assert (in_south.all(1) | ~in_south.any(1)).all()
    before, after = north.mean(), (~in_south.all(1)).mean()
    assert after == pytest.approx(before, abs=0.05)


def test_parts_have_their_own_targets(sphere):
    points, faces = sphere
    part = (points[:, 2] > 0).astype(int)
    targets = np.array([100, 250])
    thinned, _ = decimate(points[None], faces, faces, part, targets, np.zeros(len(points), bool))
    assert np.bincount(part[np.unique(thinned)]).tolist() == [100, 250]


def test_result_is_the_same_every_time(sphere):
    first, _ = thin(*sphere, 150)
    assert np.array_equal(first, thin(*sphere, 150)[0])
