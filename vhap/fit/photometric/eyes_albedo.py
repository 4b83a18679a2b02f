"""The albedo of eyes as a function of the angle to the optical axis: pupil, iris, limbus and sclera are round, so that
one profile serves both eyes at any rotation, and no texture need be known."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vhap.fit.photometric.eyes_views import EYE_JOINTS, SIDES, EyeSurface, charts
from vhap.head.model import HeadModel

ANGLE_STEP, ANGLES = torch.pi / 90, 46
"""Polar angles about the optical axis, from 0 to 90 degrees, at which profiles are known."""
BLUR = 2 * ANGLE_STEP
"""Of the first profile, which stands for a picture's resolution."""
AXIS_ROUNDS, AXIS_NOISE, AXIS_HOLD = 12, 0.02, 1.0
"""Of the search for the middle of a painted iris: rounds, standard deviation of colours, and what keeps steps finite
where nothing is painted."""
IRIS_REACH = 0.7
"""Angle to the optical axis up to which it is looked for."""
DETAIL_RANGE = (0.3, 3.0)
ROUGHNESS, AWAY = 0.03, 0.3
"""Standard deviations of second differences of neighbouring values, and of a value from the one expected."""


@dataclass(frozen=True)
class Profile:
    """value (ANGLES, 3): albedo at `angle_grid`, linear between."""

    value: Tensor

    def at(self, angle: Tensor) -> tuple[Tensor, Tensor]:
        """(n,) radians -> albedo (n, 3) and its derivative by the angle (n, 3)."""
        cell, part = _cells(angle)
        low, high = self.value[cell], self.value[cell + 1]
        return low + part[:, None] * (high - low), (high - low) / ANGLE_STEP


def _cells(angle: Tensor) -> tuple[Tensor, Tensor]:
    """The knot below each angle and the part of the way to the next."""
    position = (angle / ANGLE_STEP).clamp(0, ANGLES - 1 - 1e-4)
    cell = position.floor()
    return cell.long(), position - cell


def angle_grid(like: Tensor) -> Tensor:
    """(ANGLES,) radians."""
    return torch.arange(ANGLES, device=like.device, dtype=like.dtype) * ANGLE_STEP


def surface_colours(texture: Tensor, surface: EyeSurface) -> Tensor:
    """(M, 3) of a texture (1, R, R, 3) at the surface's points."""
    grid = torch.stack([2 * surface.uv[:, 0] - 1, 1 - 2 * surface.uv[:, 1]], -1)
    found = F.grid_sample(texture.permute(0, 3, 1, 2), grid[None, None], "bilinear", "border", False)
    return found[0, :, 0].T


def painted_axes(head: HeadModel, surface: EyeSurface, direction: Tensor, colour: Tensor) -> Tensor:
    """(2, 3) the middle of each iris of the template: near that of its region, where the texture is roundest about it.

    direction, colour (M, 3): of the surface's points. A head's eyes at rest need not look straight ahead: those of
    ICT-FaceKit stand four degrees apart.
    """
    return torch.stack([_painted_axis(head, eye, direction[of], colour[of]) for eye, of in enumerate(_by_eye(surface))])


def _by_eye(surface: EyeSurface) -> list[Tensor]:
    return [surface.eye == eye for eye in range(len(SIDES))]


def _painted_axis(head: HeadModel, eye: int, direction: Tensor, colour: Tensor) -> Tensor:
    axis = direction.new_tensor([0.0, 0.0, 1.0])
    iris = head.regions.get(f"{SIDES[eye]}_iris")
    if iris is not None and len(iris):
        points = head.template[iris] - head.joint_template[EYE_JOINTS[eye]]
        axis = F.normalize((points.amin(0) + points.amax(0)) / 2, dim=0)
    for _ in range(AXIS_ROUNDS):
        cosine = direction @ axis
        near = cosine > math.cos(IRIS_REACH)
        angle, seen = torch.acos(cosine[near].clamp(-1, 1)), colour[near]
        sine = angle.sin()
        ones = torch.ones_like(seen)
        profile = fit_profile(angle, ones, seen, sine / AXIS_NOISE**2, texture_profile(angle, seen))
        value, slope = profile.at(angle)
        across = direction[near] - cosine[near, None] * axis
        columns = (-slope / sine.clamp(min=1e-3)[:, None])[..., None] * across[:, None, :2]
        weighted = columns * sine[:, None, None]
        normal = torch.einsum("ncx,ncy->xy", weighted, columns) + AXIS_HOLD * torch.eye(2).to(axis)
        step = torch.linalg.solve(normal, -torch.einsum("ncx,nc->x", weighted, value - seen))
        axis = F.normalize(axis + torch.cat([step.clamp(-0.02, 0.02), step.new_zeros(1)]), dim=0)
    return axis


def texture_profile(angle: Tensor, colour: Tensor) -> Profile:
    """Of colours (M, 3) at points with angles (M,) to the optical axis."""
    apart = (angle[None] - angle_grid(angle)[:, None]) / BLUR
    weight = (torch.exp(-apart.square() / 2) + 1e-9 / (1 + apart.square())) * angle.sin().abs().clamp(min=1e-3)
    return Profile(weight @ colour / weight.sum(1, keepdim=True))


def painted_detail(profile: Profile, angle: Tensor, colour: Tensor, direction: Tensor, eye: Tensor) -> Tensor:
    """(2, CHART_SIZE, CHART_SIZE, 3) what is painted, as factors on its own profile, for points with angles (M,)."""
    expected, _ = profile.at(angle)
    painted = charts(direction, torch.cat([colour, expected], -1), eye)
    return (painted[..., :3] / painted[..., 3:].clamp(min=1e-2)).clamp(*DETAIL_RANGE)


def fit_profile(angle: Tensor, factor: Tensor, colour: Tensor, precision: Tensor, expected: Profile) -> Profile:
    """Least squares: colour (n, 3) = factor (n, 3) times albedo at angle (n,), each with precision (n,), the profile
    smooth and near the expected one. Closed form."""
    cell, part = _cells(angle.double())
    value = expected.value.double()
    changes = []
    for channel in range(3):
        scale = factor[:, channel].double()
        weight = precision.double() * scale.square()
        normal = value.new_zeros(ANGLES, ANGLES)
        for first, share in ((cell, 1 - part), (cell + 1, part)):
            for second, other in ((cell, 1 - part), (cell + 1, part)):
                normal.index_put_((first, second), weight * share * other, accumulate=True)
        base, channel_colour = value[:, channel], colour[:, channel].double()
        missing = (
            precision.double() * scale * (channel_colour - scale * (base[cell] * (1 - part) + base[cell + 1] * part))
        )
        right = base.new_zeros(ANGLES).index_add(0, cell, missing * (1 - part)).index_add(0, cell + 1, missing * part)
        bend = torch.diff(torch.eye(ANGLES, dtype=value.dtype, device=value.device), 2, dim=0) / ROUGHNESS
        hold = bend.T @ bend
        normal = normal + hold + torch.eye(ANGLES, dtype=value.dtype, device=value.device) / AWAY**2
        changes.append(torch.linalg.solve(normal, right - hold @ base))
    return Profile((value + torch.stack(changes, -1)).to(expected.value))
