"""Lambertian shading by nine spherical-harmonic light coefficients per colour (Ramamoorthi and Hanrahan 2001)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Normalisation of the real harmonics times the Lambertian convolution over pi (1, 2/3, 1/4 by band).
BAND_0 = 0.5 / math.sqrt(math.pi)
BAND_1 = 2 / 3 * math.sqrt(3 / (4 * math.pi))
BAND_2 = 1 / 4 * math.sqrt(15 / (4 * math.pi))
BAND_2_ZZ = 1 / 4 * math.sqrt(5 / (16 * math.pi))
BAND_2_XX_YY = 1 / 4 * math.sqrt(15 / (16 * math.pi))

GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))


def sh_basis(normals: Tensor) -> Tensor:
    """(..., 3) unit normals -> (..., 9): 1; y z x; xy yz 3z^2-1 xz x^2-y^2, times the Lambertian factor per band."""
    x, y, z = normals.unbind(-1)
    second = [x * y * BAND_2, y * z * BAND_2, (3 * z * z - 1) * BAND_2_ZZ, x * z * BAND_2]
    second.append((x * x - y * y) * BAND_2_XX_YY)
    first = [y * BAND_1, z * BAND_1, x * BAND_1]
    return torch.stack([torch.full_like(x, BAND_0), *first, *second], -1)


def shade(normals: Tensor, lights: Tensor) -> Tensor:
    """normals (..., 3) unit, lights (9, 3) -> (..., 3) factors on the albedo; may be negative for odd lights."""
    return sh_basis(normals) @ lights


def uniform_lights(device: torch.device | str | None = None, dtype: torch.dtype = torch.float32) -> Tensor:
    """(9, 3) lights that shade every normal with exactly 1."""
    lights = torch.zeros(9, 3, device=device, dtype=dtype)
    lights[0] = math.sqrt(4 * math.pi)
    return lights


def rotated_lights(lights: Tensor, rotation: Tensor) -> Tensor:
    """(9, 3) harmonics of a world that is turned by rotation (3, 3): they shade turned normals as `lights` did before.

    Bands do not mix under rotation, so fitting a few directions is exact.
    """
    rows = torch.arange(64, dtype=torch.float64)
    height, angle = 1 - (2 * rows + 1) / 64, GOLDEN_ANGLE * rows
    level = (1 - height * height).sqrt()
    normals = torch.stack([level * angle.cos(), level * angle.sin(), height], -1)
    turned = sh_basis(normals @ rotation.cpu().double().T)
    solution = torch.linalg.lstsq(turned, sh_basis(normals) @ lights.cpu().double()).solution
    return solution.to(lights)
