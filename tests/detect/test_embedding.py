from dataclasses import replace

import numpy as np
import pytest
import torch

from vhap.detect import embedding
from vhap.detect.embedding import IRIS_POINTS, geometric_median, make_embedding, view_camera, with_landmarks
from vhap.geometry.meshes import barycentric_points
from vhap.head.builtin import load_builtin
from vhap.head.regions import complete_regions, faces_of_region
from vhap.head.texture import region_texture
from vhap.render.backend import get_backend
from vhap.util.errors import InputError
from vhap.util.files import read_npz, write_npz
from vhap.util.log import get_logger


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch):
    monkeypatch.setattr(embedding, "PICTURE_SIZE", 320)


@pytest.fixture(scope="module")
def head():
    return complete_regions(load_builtin())


@pytest.fixture(scope="module")
def backend():
    return get_backend("warp")


@pytest.fixture(scope="module")
def true_places(head):
    """478 known places on the template: the face's front, and the irises for the last ten."""
    generator = torch.Generator().manual_seed(0)
    middles = head.template[head.faces].mean(1)
    normals = torch.linalg.cross(
        head.template[head.faces[:, 1]] - head.template[head.faces[:, 0]],
        head.template[head.faces[:, 2]] - head.template[head.faces[:, 0]],
    )
    ahead = torch.nn.functional.normalize(normals, dim=-1)[:, 2] > 0.6
    cheeks = faces_of_region(head, "face") & ahead & ~faces_of_region(head, "lip_inside") & (middles[:, 1].abs() < 0.1)
    near_mouth = torch.zeros_like(cheeks)
    for name in ("lips", "eye_region", "nose"):
        near_mouth |= faces_of_region(head, name)
    choice = (cheeks & ~near_mouth).nonzero()[:, 0]
    picked = choice[torch.randint(len(choice), (478,), generator=generator)]
    irises = faces_of_region(head, "irises").nonzero()[:, 0]
    picked[list(IRIS_POINTS)] = irises[torch.randint(len(irises), (10,), generator=generator)]
    return middles[picked]


class KnowingDetector:
    """Projects known places into each picture in turn, with noise, and finds nothing in some of the views."""

    def __init__(self, head, places, noise_px=0.0, blind=(), wrong=()):
        self.head, self.places, self.noise_px, self.blind, self.wrong = head, places, noise_px, blind, wrong
        self.calls = 0
        self.sitters = list(embedding._sitters(head))
        middles = head.template[head.faces].mean(1)
        self.nearest = torch.cdist(places, middles).argmin(1)
        self.rng = np.random.default_rng(0)

    def detect(self, picture):
        view = self.calls % len(self.sitters)
        vertices = self.sitters[view]
        self.calls += 1
        assert picture.dtype == np.uint8
        assert picture.std() > 10
        if view in self.blind:
            return None
        corners = self.head.faces[self.nearest]
        moved = self.places + vertices[corners].mean(1) - self.head.template[corners].mean(1)
        angles = embedding.VIEWS_DEG[view % len(embedding.VIEWS_DEG)]
        points, _ = view_camera(self.head, *angles).project(moved)
        shift = 40.0 if view in self.wrong else 0.0
        return points.numpy() + shift + self.noise_px * self.rng.standard_normal((478, 2))


def distances(head, sets, places):
    marks = sets["mediapipe"]
    found = barycentric_points(head.template, head.faces, marks.face_ids, marks.barycentrics)
    return (found - places).norm(dim=-1)


def test_known_points_come_back(head, backend, true_places):
    sets = make_embedding(head, KnowingDetector(head, true_places), backend)
    off = distances(head, sets, true_places)
    assert off.median() < 1e-4
    assert off.quantile(0.95) < 2e-3
    assert sets["mediapipe"].face_ids.shape == (478,)
    assert sets["ibug"].face_ids.shape == (70,)
    weights = sets["mediapipe"].barycentrics
    assert weights.min() >= 0
    assert torch.allclose(weights.sum(-1), torch.ones(478), atol=1e-5)


def test_noise_is_averaged_and_a_wrong_view_hardly_counts(head, backend, true_places):
    detector = KnowingDetector(head, true_places, noise_px=1.5, blind=(2,), wrong=(6,))
    off = distances(head, make_embedding(head, detector, backend), true_places)
    one_pixel = embedding.FRAME_M / embedding.PICTURE_SIZE
    assert off.median() < 2.5 * one_pixel


def test_iris_points_lie_on_eyeballs_and_others_never(head, backend, true_places):
    marks = make_embedding(head, KnowingDetector(head, true_places, noise_px=3.0), backend)["mediapipe"]
    on_eyes = faces_of_region(head, "eyeballs")[marks.face_ids]
    assert on_eyes[list(IRIS_POINTS)].all()
    forbidden = faces_of_region(head, "neck") | faces_of_region(head, "lip_inside")
    assert not forbidden[marks.face_ids].any()


def test_points_beside_the_head_go_to_its_nearest_surface(head, backend, true_places):
    outside = true_places.clone()
    outside[:10] = torch.tensor([0.3, 0.0, 0.0])
    sets = make_embedding(head, KnowingDetector(head, outside), backend)
    marks = sets["mediapipe"]
    found = barycentric_points(head.template, head.faces, marks.face_ids, marks.barycentrics)
    assert torch.isfinite(found).all()
    assert (found[:10, 0] > 0.03).all()


def test_a_face_that_is_not_found_is_an_error(head, backend, true_places):
    with pytest.raises(InputError, match=r"builtin.*2 of 27"):
        make_embedding(head, KnowingDetector(head, true_places, blind=range(2, 27)), backend)


def test_result_is_cached_per_head_and_own_sets_are_kept(head, backend, true_places, tmp_path, monkeypatch):
    monkeypatch.setenv("VHAP_CACHE", str(tmp_path))
    detector = KnowingDetector(head, true_places)
    first = with_landmarks(head, detector, backend)
    calls = detector.calls
    second = with_landmarks(head, detector, backend)
    assert detector.calls == calls
    assert torch.equal(first.landmarks["mediapipe"].face_ids, second.landmarks["mediapipe"].face_ids)
    assert second.landmarks["ibug"] is head.landmarks["ibug"]
    assert with_landmarks(second, detector, backend) is second
    with_landmarks(replace(head, asset_hash="other"), detector, backend)
    assert detector.calls == 2 * calls


def _with_other_sockets(head):
    return replace(head, regions={**head.regions, "eye_sockets": head.regions["left_eyelids"]})


def _with_other_colours(head):
    return replace(head, base_texture=head.base_texture.flip(0))


@pytest.mark.parametrize(
    "change",
    [
        _with_other_sockets,
        _with_other_colours,
        lambda head: head.keep_coefficients(head.n_shape - 1, head.n_expr),
        lambda head: replace(head, open_mouth={0: 1.0}),
        lambda head: replace(head, template=1.001 * head.template),
    ],
)
def test_the_same_file_read_otherwise_gets_points_of_its_own(head, backend, tmp_path, monkeypatch, change):
    """Points on lids went on lying where an earlier reader had let them, far behind the lids."""
    monkeypatch.setenv("VHAP_CACHE", str(tmp_path))
    made = embedding._as_sets(np.zeros(478, np.int64), np.full((478, 3), 1 / 3, np.float32))
    read: list[object] = []
    monkeypatch.setattr(embedding, "make_embedding", lambda model, *_: read.append(model) or made)
    bare = replace(head, landmarks={}, base_texture=region_texture(head, 16))
    other = change(bare)
    assert other.identity == bare.identity
    for model in (bare, other, bare, other):
        with_landmarks(model, None, backend)
    assert len(read) == 2
    assert len(list((tmp_path / "embeddings").iterdir())) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"face_ids": np.zeros(3, np.int64)},
        {"face_ids": np.full(478, -1)},
        {"face_ids": np.full(478, 10**6)},
        {"barycentrics": np.full((478, 3), np.nan)},
        {"barycentrics": None},
    ],
)
def test_a_damaged_cache_is_made_again(head, backend, tmp_path, monkeypatch, changes):
    monkeypatch.setenv("VHAP_CACHE", str(tmp_path))
    bare = replace(head, landmarks={})
    sound = {"face_ids": np.zeros(478, np.int64), "barycentrics": np.full((478, 3), 1 / 3, np.float32)}
    made = embedding._as_sets(sound["face_ids"], sound["barycentrics"])
    monkeypatch.setattr(embedding, "make_embedding", lambda *_: made)
    lines: list[str] = []
    monkeypatch.setattr(get_logger(), "warning", lambda text, *values: lines.append(text % values))
    with_landmarks(bare, None, backend)
    (path,) = (tmp_path / "embeddings").iterdir()
    arrays = {**sound, **changes}
    write_npz(path, {name: value for name, value in arrays.items() if value is not None})
    again = with_landmarks(bare, None, backend)
    assert torch.equal(again.landmarks["mediapipe"].face_ids, made["mediapipe"].face_ids)
    (line,) = lines
    assert path.name in line
    assert read_npz(path).keys() == sound.keys()


def test_a_head_without_landmarks_gets_both_sets(head, backend, true_places, tmp_path, monkeypatch):
    monkeypatch.setenv("VHAP_CACHE", str(tmp_path))
    bare = replace(head, landmarks={}, base_texture=None)
    made = with_landmarks(bare, KnowingDetector(head, true_places), backend)
    assert made.landmarks.keys() == {"mediapipe", "ibug"}


def test_geometric_median_ignores_one_far_point():
    places = torch.tensor([[[0.0, 0, 0]], [[0.001, 0, 0]], [[-0.001, 0, 0]], [[1.0, 0, 0]]])
    middle, spread = geometric_median(places, torch.ones(4, 1), steps=100)
    assert middle.norm() < 0.0015
    assert spread.shape == (1,)
