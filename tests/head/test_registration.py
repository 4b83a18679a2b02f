"""Two heads' surfaces laid on each other: what corresponds is known where one head is the other, moved."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from moved_head import moved_head

from vhap.geometry.meshes import barycentric_points
from vhap.head.load import load_head
from vhap.head.model import HeadModel
from vhap.head.registration import correspondence as module
from vhap.head.registration.closest import Triangles
from vhap.head.registration.correspondence import Correspondence, correspondence, open_mouthed, register
from vhap.head.registration.mouth_line import mouth_line
from vhap.head.registration.parts import eye_pockets
from vhap.util.errors import InputError

REGIONS = ("face", "neck", "scalp", "lips", "eyelids", "eyeballs", "left_ear", "right_ear")


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return load_head("builtin", n_shape=6, n_expr=24)


@pytest.fixture(scope="module")
def other(head) -> HeadModel:
    return moved_head(head)


@pytest.fixture(scope="module")
def found(head, other) -> Correspondence:
    return register(head, other)


def test_every_region_finds_itself(head, found):
    off_mm = (found.points(head, head.template) - head.template).norm(dim=-1) * 1000
    assert len(REGIONS) == 8
    for name in REGIONS:
        ids = head.regions[name]
        ids = ids[~eye_pockets(head)[ids]]
        matched = ids[found.weights[ids] > 0]
        assert len(matched) > 0.9 * len(ids), name
        assert float(off_mm[matched].median()) < 0.5, name
        assert float(off_mm[matched].quantile(0.9)) < 2, name


def test_left_and_right_stay_apart(head, found):
    x = found.points(head, head.template)[:, 0]
    assert (x[head.regions["left_ear"]] > 0).all()
    assert (x[head.regions["right_ear"]] < 0).all()
    assert (x[head.regions["left_eyeball"]] > 0).all()


def test_there_and_back_are_inverse(head, other, found):
    back = register(other, head)
    there = found.points(head, head.template)
    again = back.points(other, there)
    both = (found.weights > 0.5) & (back.weights > 0.5)
    off_mm = (again - head.template).norm(dim=-1)[both] * 1000
    assert int(both.sum()) > 5000
    assert float(off_mm.median()) < 0.5


def test_it_is_made_once_and_a_damaged_file_is_made_again(head, other, found, tmp_path, monkeypatch):
    monkeypatch.setenv("VHAP_CACHE", str(tmp_path))
    calls = []
    monkeypatch.setattr(module, "register", lambda *heads: calls.append(heads) or found)
    first, second = correspondence(head, other), correspondence(head, other)
    assert len(calls) == 1
    for name, value in vars(first).items():
        assert torch.equal(value, getattr(second, name)), name
    (file,) = tmp_path.rglob("*.npz")
    file.write_bytes(file.read_bytes()[:100])
    correspondence(head, other)
    assert len(calls) == 2
    correspondence(other, head)
    assert len(list(tmp_path.rglob("*.npz"))) == 2
    stiff = replace(head, has_jaw=False, open_mouth={})
    correspondence(stiff, other)
    assert len(list(tmp_path.rglob("*.npz"))) == 3


def test_a_head_without_a_needed_region_is_refused_in_a_line(head, other):
    bare = replace(other, regions={name: ids for name, ids in other.regions.items() if name != "left_eyeball"})
    with pytest.raises(InputError, match=r"expected the regions .* in the head moved, found no left_eyeball; "):
        correspondence(head, bare)


def test_lips_meet_on_the_mouth_line(head):
    line = mouth_line(head, open_mouthed(head))
    assert line is not None
    assert line.known.all()
    upper, lower = (
        barycentric_points(head.template, head.faces, torch.from_numpy(ids), torch.from_numpy(bary))
        for ids, bary in zip(line.face_ids, line.barycentrics)
    )
    assert float((upper - lower).norm(dim=-1).max()) < 0.003
    assert (torch.diff(upper[:, 0]) > 0).all() or (torch.diff(upper[:, 0]) < 0).all()


def test_a_head_without_lips_has_no_mouth_line(head):
    bare = replace(head, regions={name: ids for name, ids in head.regions.items() if name != "lips"})
    assert mouth_line(bare, open_mouthed(head)) is None


def test_nearest_points_are_on_triangles_that_face_the_same_way():
    square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], float)
    above = square + np.array([0, 0, 0.2])
    corners = np.stack([square[[0, 1, 2]], square[[0, 2, 3]], above[[0, 2, 1]], above[[0, 3, 2]]])
    triangles = Triangles.of(corners)
    point = np.array([[0.6, 0.3, 0.19]])
    up, either = triangles.nearest(point, np.array([[0, 0, 1.0]])), triangles.nearest(point)
    assert up.places[0] == pytest.approx([0.6, 0.3, 0])
    assert either.places[0] == pytest.approx([0.6, 0.3, 0.2])
    assert (up.barycentrics[0] @ corners[up.rows[0]]) == pytest.approx(up.places[0])
    sideways = triangles.nearest(point, np.array([[1.0, 0, 0]]))
    assert np.isinf(sideways.distances).all()
