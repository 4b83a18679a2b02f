import numpy as np
import pytest
import torch

from vhap.geometry.cameras import camera_from_focal
from vhap.head.builtin import load_builtin
from vhap.head.model import landmark_points
from vhap.render.backend import get_backend
from vhap.synthetic.camera import make_film_camera, point_visibility
from vhap.synthetic.person import make_person

SIZE = 96


@pytest.fixture(scope="module")
def filmed():
    model, backend = load_builtin(), get_backend("auto")
    pinhole = camera_from_focal(torch.tensor(2.0), SIZE, SIZE)
    camera = make_film_camera(model, make_person(model, backend, 0), backend, pinhole, 2, seed=0)
    vertices = model.template - model.template[model.regions["face"]].mean(0)
    return model, camera, vertices, *camera.film(vertices)


def test_alpha_is_the_share_of_the_pixel_that_the_head_covers(filmed):
    _, camera, vertices, _, alpha = filmed
    finest = make_film_camera(camera.model, camera.person, camera.backend, camera.camera, 8, seed=0)
    exact = finest.film(vertices)[1]
    assert np.abs(alpha.astype(int) - exact).max() < 100
    assert abs(alpha.mean() - exact.mean()) < 0.5
    assert set(np.unique(alpha)) <= {0, 64, 128, 191, 255}


def test_background_is_untouched_where_alpha_is_zero(filmed):
    _, camera, _, rgb, alpha = filmed
    background = camera.background[0, ::2, ::2].numpy() * 255
    assert np.abs(rgb - background)[alpha == 0].max() <= 0.51
    assert np.abs(rgb - background)[alpha == 255].mean() > 10


def test_outline_lies_where_the_camera_projects_it(filmed):
    _, camera, vertices, _, alpha = filmed
    points, _ = camera.camera.project(vertices)
    low, high = points.amin(0).numpy(), points.amax(0).numpy()
    rows, columns = np.nonzero(alpha > 127)
    inside = np.clip([low[0], low[1], high[0], high[1]], 0, SIZE)
    found = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert np.abs(np.array(found) - inside).max() < 1.5


def test_points_in_front_are_visible_and_fade_as_the_head_turns_away(filmed):
    model, camera, vertices, _, _ = filmed
    points = landmark_points(model, vertices, "ibug")
    centre = camera.camera.centre()
    front = point_visibility(model, vertices, "ibug", points, centre)
    assert front[27:36].min() == 1
    behind = point_visibility(model, vertices, "ibug", points, -centre)
    assert behind[30] == 0
    assert ((front >= 0) & (front <= 1)).all()
    assert torch.isfinite(front).all()
