"""Light and albedo of points on a turning head, made at random."""

import math

import pytest
import torch
from torch.nn.functional import normalize

from vhap.fit.light_separation import PointViews, separate_light, shading_of
from vhap.geometry.rotations import axis_angle_to_matrix
from vhap.render.shading import shade, uniform_lights
from vhap.synthetic.person import directional_light

COUNT = 600


def directed() -> torch.Tensor:
    colour = torch.tensor([1.05, 1.0, 0.9])
    return 0.4 * uniform_lights() + 0.6 * directional_light(math.radians(60), math.radians(20))[:, None] * colour


def views(lights: torch.Tensor, turn_deg: float, spread: float = 0.25, noise: float = 0.0, shine: float = 0.0):
    """Points on a half sphere whose albedo varies by `spread`; in each of 12 pictures those that face the camera."""
    random = torch.Generator().manual_seed(0)
    rest = normalize(torch.randn(COUNT, 3, generator=random) + torch.tensor([0.0, 0.0, 0.8]), dim=-1)
    albedo = 0.45 * (1 + spread * (2 * torch.rand(COUNT, 3, generator=random) - 1))
    made = []
    for frame in range(12):
        angle = math.radians(turn_deg) * math.sin(frame)
        normals = rest @ axis_angle_to_matrix(torch.tensor([0.4 * angle * math.cos(2 * frame), angle, 0.0])).T
        seen = torch.nonzero(normals[:, 2] > 0.3).flatten()
        colours = albedo[seen] * shade(normals[seen], lights)
        colours = colours + noise * torch.randn(colours.shape, generator=random)
        shiny = torch.rand(len(seen), generator=random) < shine
        colours[shiny] += 0.3
        made.append(PointViews(seen, colours.clamp(0, 1), normals[seen]))
    return made


def correlation(made: list[PointViews], found: torch.Tensor, true: torch.Tensor) -> float:
    normals = torch.cat([view.normals for view in made])
    pairs = [torch.stack([shading_of(normals, found)[:, k], shade(normals, true)[:, k]]) for k in range(3)]
    return min(float(torch.corrcoef(pair)[0, 1]) for pair in pairs)


@pytest.mark.parametrize(("turn_deg", "noise", "shine"), [(35, 0, 0), (35, 0.01, 0), (35, 0.005, 0.08)])
def test_a_turning_head_tells_light_from_albedo(turn_deg, noise, shine):
    made = views(directed(), turn_deg, noise=noise, shine=shine)
    found = separate_light(made, COUNT, torch.zeros(COUNT, dtype=torch.bool))
    assert correlation(made, found, directed()) > 0.97


def test_like_skin_tells_the_light_of_a_head_that_does_not_turn():
    made = views(directed(), 0)
    skin = torch.ones(COUNT, dtype=torch.bool)
    assert correlation(made, separate_light(made, COUNT, skin), directed()) > 0.95
    # Nothing else would: the uniform light is what is left.
    found = shading_of(made[0].normals, separate_light(made, COUNT, ~skin))
    assert float(found.std()) < 0.02


def test_the_mean_over_the_front_is_one_and_no_views_give_uniform_light():
    made = views(directed(), 35)
    skin = torch.ones(COUNT, dtype=torch.bool)
    found = separate_light(made, COUNT, skin)
    front = normalize(torch.randn(20000, 3, generator=torch.Generator().manual_seed(1)), dim=-1)
    front[:, 2] = front[:, 2].abs()
    assert float(shade(front, found).mean()) == pytest.approx(1, abs=0.02)
    assert torch.equal(separate_light([], COUNT, skin), uniform_lights())
