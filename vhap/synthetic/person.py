"""A random person: shape, skin, hair, eyes and light, different for every seed and plausible for all."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample, normalize

from vhap.head.model import HeadModel
from vhap.head.texture import region_texture
from vhap.render.shading import sh_basis, shade, uniform_lights
from vhap.render.types import Backend
from vhap.synthetic.hair import Hair, make_hair
from vhap.synthetic.uv_map import UvMap, make_uv_map

LARGEST_COEFFICIENT = 2.0
TEXTURE_SIZE = 1024
"""Of heads without a base texture."""
MELANIN_ABSORPTION = (0.55, 0.85, 1.05)
"""By channel: how much faster blue darkens than red in darker skin."""
HAIR_RGB = ((0.06, 0.05, 0.05), (0.20, 0.13, 0.09), (0.38, 0.25, 0.15), (0.62, 0.48, 0.30), (0.45, 0.44, 0.43))
IRIS_TINT = ((1.0, 1.0, 1.0), (1.1, 2.2, 4.0), (1.2, 2.2, 2.2), (1.5, 2.2, 3.2))
"""Factors on a brown iris; they leave the pupil dark."""
LAMBERT_FACTOR = (1.0, *[2 / 3] * 3, *[1 / 4] * 5)
"""What `sh_basis` has beyond the plain harmonics (Ramamoorthi and Hanrahan 2001)."""


@dataclass(frozen=True)
class Person:
    """shape (S,); texture (H, W, 3) albedo in [0, 1], row 0 on top; lights (9, 3) as vhap.render.shading takes them;
    hair: what the head model does not have, or None."""

    shape: Tensor
    texture: Tensor
    lights: Tensor
    hair: Hair | None = None


def make_person(
    model: HeadModel, backend: Backend, seed: int, with_hair: bool = False, light_seed: int | None = None
) -> Person:
    """A person of this head on the CPU; seeds give different people, the same seed always the same one. light_seed:
    chooses the light in place of seed."""
    shape = random_shape(model, np.random.default_rng((seed, 0)))
    texture = random_texture(model, backend, np.random.default_rng((seed, 1)))
    return Person(
        shape=shape,
        texture=texture,
        lights=random_lights(np.random.default_rng((seed if light_seed is None else light_seed, 2))),
        hair=make_hair(model, shape, texture, np.random.default_rng((seed, 4))) if with_hair else None,
    )


def random_shape(model: HeadModel, random: np.random.Generator) -> Tensor:
    """(S,) standard normal coefficients, cut at two standard deviations."""
    coefficients = random.standard_normal(model.n_shape).clip(-LARGEST_COEFFICIENT, LARGEST_COEFFICIENT)
    return torch.from_numpy(coefficients).float()


def random_texture(model: HeadModel, backend: Backend, random: np.random.Generator) -> Tensor:
    """(H, W, 3): the head's base texture in another skin tone, with blotches and spots, other hair and eyes."""
    base = region_texture(model, TEXTURE_SIZE) if model.base_texture is None else model.base_texture
    uv_map = make_uv_map(model, backend, base.shape[0], base.shape[1])
    blotches = surface_noise(uv_map, (0.04, 0.015, 0.006), 1, random)
    blotches = blotches + 0.3 * surface_noise(uv_map, (0.04, 0.015), 3, random)
    fine = surface_noise(uv_map, (0.004, 0.002), 1, random)
    melanin = random.uniform(-0.15, 1.0)
    tone = np.exp(-melanin * np.array(MELANIN_ABSORPTION)) * random.uniform(0.95, 1.05, 3)
    skin = base * torch.from_numpy(tone).float() * (1 + 0.10 * blotches + 0.06 * fine)
    spots = torch.sigmoid(10 * (surface_noise(uv_map, (0.004,), 1, random) - random.uniform(0.9, 1.3)))
    skin = skin * (1 - 0.3 * spots)
    hair_rgb = torch.tensor(HAIR_RGB[random.integers(len(HAIR_RGB))])
    hair = hair_rgb * (1 + 0.3 * fine + 0.3 * blotches[..., :1])
    texture = torch.where(uv_map.in_region(model, "hair")[..., None], hair, skin)
    unlike_skin = uv_map.in_region(model, "eyeballs", "teeth", "teeth_upper", "teeth_lower")
    texture = torch.where(unlike_skin[..., None], base * (1 + 0.04 * blotches), texture)
    iris = base * torch.tensor(IRIS_TINT[random.integers(len(IRIS_TINT))]) * (1 + 0.15 * fine)
    texture = torch.where(uv_map.in_region(model, "irises")[..., None], iris, texture)
    return texture.clamp(0.01, 0.99)


def surface_noise(uv_map: UvMap, lengths_m: tuple[float, ...], channels: int, random: np.random.Generator) -> Tensor:
    """(H, W, channels), about in [-1, 1]: noise in space, so that the texture's seams do not show; finer is weaker."""
    low, high = uv_map.position.amin((0, 1)), uv_map.position.amax((0, 1))
    total = torch.zeros(*uv_map.position.shape[:2], channels)
    weights = [0.7**octave for octave in range(len(lengths_m))]
    for length, weight in zip(lengths_m, weights):
        cells = [max(2, int(extent / length) + 2) for extent in (high - low).tolist()]
        grid = torch.from_numpy(random.uniform(-1.7, 1.7, (1, channels, cells[2], cells[1], cells[0]))).float()
        place = ((uv_map.position - low) / (high - low).clamp(min=1e-6) * 2 - 1)[None, None]
        total += weight * grid_sample(grid, place, align_corners=True)[0, :, 0].permute(1, 2, 0)
    return total / sum(weights)


def random_lights(random: np.random.Generator) -> Tensor:
    """(9, 3): soft ambient light, a key light mostly from the front, a weak fill light from the other side.

    White-balanced: no channel is brighter on average over the normals that face the camera, and none is shaded with
    more than 1.
    """
    side = random.choice([-1.0, 1.0])
    key_azimuth, fill_azimuth = side * np.radians(random.uniform(0, 50)), -side * np.radians(random.uniform(20, 80))
    lights = random.uniform(0.5, 0.7) * uniform_lights()
    for azimuth, strength in ((key_azimuth, random.uniform(0.35, 0.6)), (fill_azimuth, random.uniform(0.05, 0.2))):
        elevation = np.radians(random.uniform(0, 45))
        colour = torch.from_numpy(strength * random.uniform(0.94, 1.06, 3)).float()
        lights = lights + directional_light(azimuth, elevation)[:, None] * colour
    facing = _facing_normals()
    shading = shade(facing, lights)
    lights = lights * shading.mean() / shading.mean(0)
    return lights / shade(facing, lights).max()


def directional_light(azimuth_rad: float, elevation_rad: float) -> Tensor:
    """(9,) coefficients of a far light that shades the normal towards it with 1. Azimuth 0 is +z, pi/2 is +x."""
    direction = torch.tensor(
        [
            math.cos(elevation_rad) * math.sin(azimuth_rad),
            math.sin(elevation_rad),
            math.cos(elevation_rad) * math.cos(azimuth_rad),
        ]
    )
    basis = sh_basis(direction)
    harmonics = basis / torch.tensor(LAMBERT_FACTOR)
    return harmonics / (basis @ harmonics)


def _facing_normals() -> Tensor:
    """(N, 3) unit normals spread over the half sphere about +z."""
    x, y = torch.meshgrid(torch.linspace(-1, 1, 21), torch.linspace(-1, 1, 21), indexing="ij")
    inside = x**2 + y**2 < 0.95
    z = (1 - x**2 - y**2).clamp(min=0).sqrt()
    return normalize(torch.stack([x, y, z], -1)[inside], dim=-1)
