"""Hair that the head model does not have: closed, fixed to the skull, seen in pictures and mattes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from vhap.geometry.cameras import Camera
from vhap.geometry.meshes import barycentric_points, open_edges
from vhap.geometry.rotations import axis_angle_to_matrix
from vhap.head.builtin import load_builtin
from vhap.head.model import pose, zero_params
from vhap.head.regions import complete_regions
from vhap.render.backend import get_backend
from vhap.synthetic.camera import make_film_camera
from vhap.synthetic.hair import make_hair, require_regions
from vhap.synthetic.person import make_person
from vhap.synthetic.rig import look_from
from vhap.util.errors import InputError

SIZE = 128


@pytest.fixture(scope="module")
def model():
    return complete_regions(load_builtin())


@pytest.fixture(scope="module")
def person(model):
    return make_person(model, get_backend("auto"), 5, with_hair=True)


@pytest.fixture(scope="module")
def neutral(model, person):
    return pose(model, replace(zero_params(model), shape=person.shape))


def film(model, person, vertices, azimuth: float, elevation: float = 0.0):
    """RGB and alpha from a metre away; 0 is the front, angles in degrees."""
    a, e = np.radians([azimuth, elevation])
    centre = np.array([np.cos(e) * np.sin(a), np.sin(e), np.cos(e) * np.cos(a)])
    focal, middle = torch.tensor(2.4 * SIZE), torch.tensor(SIZE / 2.0)
    camera = Camera(focal, focal, middle, middle, torch.from_numpy(look_from(centre)).float(), SIZE, SIZE)
    rgb, alpha = make_film_camera(model, person, get_backend("auto"), camera, 1, seed=0).film(vertices)
    return camera, rgb.astype(int), alpha


def test_the_mesh_is_closed_and_faces_outwards(person):
    hair = person.hair
    assert len(open_edges(hair.faces)) == 0
    corners = hair.vertices[hair.faces].double()
    volume = torch.linalg.det(corners).sum() / 6
    assert 2e-4 < volume < 2e-3, "litres that hair of this thickness has"
    assert hair.faces.unique().tolist() == list(range(len(hair.vertices)))
    assert len(hair.uv_faces) == len(hair.faces)
    assert 0 < hair.uvs.min() < hair.uvs.max() < 1


def test_it_covers_scalp_and_ears_and_hangs_to_the_shoulders_but_not_over_the_face(model, person, neutral):
    bare = replace(person, hair=None)
    camera, with_hair, alpha = film(model, person, neutral, 0)
    _, without, bare_alpha = film(model, bare, neutral, 0)
    changed = np.abs(with_hair - without).max(-1) > 3
    marks = model.landmarks["ibug"]
    inner = marks.detector_ids >= 17
    points = barycentric_points(neutral, model.faces, marks.face_ids, marks.barycentrics)[inner]
    x, y = camera.project(points)[0].numpy().astype(int).T
    assert not changed[y, x].any(), "brows, eyes, nose and mouth stay visible"
    assert (alpha >= bare_alpha).all()
    assert (alpha > bare_alpha).mean() > 0.02
    rows = np.flatnonzero((alpha > bare_alpha).any(1))
    chin = camera.project(points.new_tensor([[0, float(neutral[model.regions["face"], 1].min()), 0.05]]))[0][0, 1]
    assert rows.min() < y.min() < chin < rows.max(), "from above the brows to below the chin"
    # From behind and from the side nothing of scalp and ears is seen any more.
    for azimuth in (180, 120):
        camera, with_hair, _ = film(model, person, neutral, azimuth)
        _, without, _ = film(model, bare, neutral, azimuth)
        x, y = camera.project(neutral[model.regions["crown"]])[0].numpy().astype(int).T
        assert (np.abs(with_hair - without).max(-1)[y, x] > 0).mean() > 0.95


def test_head_and_hair_hide_each_other(model, person, neutral):
    """The far side's hair is behind the face, the near side's before the neck."""
    camera, rgb, _ = film(model, person, neutral, 80)
    _, bare, _ = film(model, replace(person, hair=None), neutral, 80)
    tip = neutral[model.regions["nose"]]
    nose = camera.project(tip[tip[:, 2].argmax()][None])[0][0].numpy().astype(int)
    neck = camera.project(neutral[model.regions["neck"]].mean(0)[None])[0][0].numpy().astype(int)
    assert np.abs(rgb - bare)[nose[1], nose[0] - 1].max() == 0
    assert np.abs(rgb - bare)[neck[1], neck[0]].max() > 10


def test_it_moves_rigidly_with_the_skull(model, person, neutral):
    hair = person.hair
    torch.testing.assert_close(hair.posed(neutral), hair.vertices, atol=1e-6, rtol=0)
    turn, shift = axis_angle_to_matrix(torch.tensor([0.3, -0.6, 0.2])), torch.tensor([0.1, -0.2, 0.3])
    expected = hair.vertices @ turn.T + shift
    torch.testing.assert_close(hair.posed(neutral @ turn.T + shift), expected, atol=1e-6, rtol=0)
    # The jaw opens without it; the neck turns with it.
    still = replace(zero_params(model), shape=person.shape)
    opened = pose(model, replace(still, jaw_pose=torch.tensor([0.3, 0, 0])))
    torch.testing.assert_close(hair.posed(opened), hair.vertices, atol=1e-4, rtol=0)
    nodded = hair.posed(pose(model, replace(still, neck_pose=torch.tensor([0.3, 0, 0]))))
    assert (nodded - hair.vertices).norm(dim=-1).max() > 0.03
    edges = [torch.pdist(vertices[::200].double()) for vertices in (nodded, hair.vertices)]
    torch.testing.assert_close(*edges, atol=1e-6, rtol=0)


def test_people_differ_in_their_hair_and_a_seed_gives_the_same(model, person):
    again = make_hair(model, person.shape, person.texture, np.random.default_rng((5, 4)))
    torch.testing.assert_close(again.vertices, person.hair.vertices, atol=0, rtol=0)
    torch.testing.assert_close(again.texture, person.hair.texture, atol=0, rtol=0)
    other = make_hair(model, person.shape, person.texture, np.random.default_rng(1))
    assert (other.vertices - again.vertices).abs().max() > 0.003
    outer = person.hair.texture[: len(person.hair.texture) // 2]
    assert outer.std((0, 1)).mean() > 0.1 * outer.mean(), "it has a colour variation of its own"


def test_heads_without_a_scalp_are_refused(model):
    with pytest.raises(InputError, match="found builtin without hair, crown, ears; give --hair none"):
        require_regions(replace(model, regions={"face": model.regions["face"]}, landmarks={}))
