import numpy as np
import pytest
import torch

from vhap.head.builtin import load_builtin
from vhap.render.backend import get_backend
from vhap.render.shading import shade
from vhap.synthetic import person
from vhap.synthetic.background import make_background
from vhap.synthetic.uv_map import make_uv_map


@pytest.mark.parametrize("seed", range(10))
def test_light_is_white_balanced_and_never_above_one(seed):
    shading = shade(person._facing_normals(), person.random_lights(np.random.default_rng(seed)))
    torch.testing.assert_close(shading.mean(0), shading.mean().expand(3), rtol=1e-4, atol=0)
    assert float(shading.max()) == pytest.approx(1, abs=1e-5)
    assert float(shading.min()) > 0.1


@pytest.mark.parametrize("azimuth", [-1.0, 0.0, 2.0])
def test_directional_light_is_brightest_where_the_surface_faces_it(azimuth):
    light = person.directional_light(azimuth, 0.3)[:, None].expand(9, 3)
    towards = torch.tensor([np.cos(0.3) * np.sin(azimuth), np.sin(0.3), np.cos(0.3) * np.cos(azimuth)]).float()
    assert float(shade(towards, light)[0]) == pytest.approx(1, abs=1e-5)
    directions = torch.nn.functional.normalize(torch.randn(500, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    assert shade(directions, light).max() < 1 + 1e-5


def test_people_differ_by_seed_and_repeat_for_one():
    model, backend = load_builtin(), get_backend("auto")
    first, again, other = (person.make_person(model, backend, seed) for seed in (1, 1, 2))
    for name in ("shape", "texture", "lights"):
        assert torch.equal(getattr(first, name), getattr(again, name))
        assert (getattr(first, name) - getattr(other, name)).abs().mean() > 0.01
    assert first.texture.shape == model.base_texture.shape
    assert 0 < first.texture.min() < first.texture.max() < 1


def test_uv_map_shows_the_place_that_the_uv_coordinates_name():
    model = load_builtin()
    size = 128
    uv_map = make_uv_map(model, get_backend("auto"), size, size)
    generator = torch.Generator().manual_seed(0)
    rows, columns = torch.randint(size, (2, 300), generator=generator)
    faces = uv_map.face_id[rows, columns]
    u, v = (columns + 0.5) / size, 1 - (rows + 0.5) / size
    corners = model.uvs[model.uv_faces[faces]]
    matrix = torch.cat([corners.transpose(1, 2), torch.ones(300, 1, 3)], 1).double()
    weights = torch.linalg.solve(matrix, torch.stack([u, v, torch.ones(300)], -1).double())
    inside = (weights > -1e-4).all(1)
    assert inside.float().mean() > 0.5
    places = (model.template[model.faces[faces]] * weights[..., None]).sum(1)
    torch.testing.assert_close(uv_map.position[rows, columns][inside].double(), places[inside], atol=1e-5, rtol=0)


def test_background_has_colours_in_range_and_repeats():
    first, again, other = (make_background(60, 80, seed) for seed in (0, 0, 1))
    assert first.shape == (60, 80, 3)
    assert first.min() >= 0
    assert first.max() <= 1
    assert torch.equal(first, again)
    assert (first - other).abs().mean() > 0.01
    assert first.std((0, 1)).min() > 0.02
