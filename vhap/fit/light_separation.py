"""Light separated from albedo: a head that turns under a resting light shows each point of its surface shaded
differently.

A colour c of a point is its albedo a times the shading s = B(n) l, linear in the light l (nine harmonics per channel).
For u = 1 / a the residual B(n) l - u c is linear in both. Eliminating u of each point leaves a quadratic form in l
alone, which is minimised in closed form for a mean shading of 1 (variable projection; Golub and Pereyra 1973). Where
the head does not turn, points that look alike under one light hold it: skin varies less than its shading does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csc_array
from torch import Tensor

from vhap.render.shading import GOLDEN_ANGLE, sh_basis, uniform_lights

ALIKE = 0.06
"""How much the likeness of skin counts against what single points say: noise against spread of the albedo, squared."""
STILL, COLOURLESS = 1e-5, 1e-3
"""How much the uniform light counts, which decides what no point determines; and one light of all channels for each."""
OUTLIER = 0.06
"""Shading from which a residual is shine, a shadow, or something before the skin."""
ROUNDS = 8
DARKEST = 0.02
FACING_NORMALS = 256
AT_ONCE = 1024
"""Rows of which products are made at a time."""
LEAST_SHADING = 0.15


@dataclass(frozen=True)
class PointViews:
    """Views of surface points in one picture. points (N,) long: which of them; colours (N, 3) in [0, 1]; normals (N, 3)
    unit, in world axes."""

    points: Tensor
    colours: Tensor
    normals: Tensor


def separate_light(views: Sequence[PointViews], count: int, skin: Tensor) -> Tensor:
    """(9, 3) lights that shade the normals towards +z with 1 in the mean, for each channel.

    count: number of points; skin (count,) bool: those of like albedo. Uniform light where there are no views.
    """
    if not sum(len(view.points) for view in views):
        return uniform_lights()
    points = torch.cat([view.points for view in views])
    colours = torch.cat([view.colours for view in views]).double()
    basis = sh_basis(torch.cat([view.normals for view in views]).double())
    brightness, is_skin = colours.mean(1), skin[points].double()
    counted = (brightness > DARKEST).double()
    if not counted.any():
        return uniform_lights()
    weight, lights = counted, uniform_lights(dtype=torch.float64)
    for _ in range(ROUNDS):
        # Noise makes bright shading costly. Its mean is held where there are views, lest it moves to where there are
        # none.
        mean = weight @ basis / weight.sum().clamp(min=1e-9)
        forms = [_form(points, colours[:, k], basis, weight, is_skin, count) for k in range(3)]
        grey = _least(torch.stack(forms).mean(0), STILL, uniform_lights(dtype=torch.float64)[:, 0], mean)
        lights = torch.stack([_least(form, COLOURLESS, grey, mean) for form in forms], -1)
        residual = _residuals(points, brightness, basis @ grey, weight, count)
        weight = counted / (1 + (residual / OUTLIER) ** 2) ** 2
    return (lights / (sh_basis(_facing(lights.dtype)) @ lights).mean(0)).float()


def light_on_albedo(views: Sequence[PointViews], albedo: Tensor) -> Tensor:
    """(9, 3) lights that explain the colours of points of known albedo (count, 3), linear in each channel. Uniform
    light where there are no views."""
    if not sum(len(view.points) for view in views):
        return uniform_lights()
    points = torch.cat([view.points for view in views])
    colours, basis = (
        torch.cat([view.colours for view in views]).double(),
        sh_basis(torch.cat([view.normals for view in views]).double()),
    )
    uniform = uniform_lights(dtype=torch.float64)
    lights, weight = uniform, torch.ones(len(points), dtype=torch.float64)
    known = albedo[points].double()
    for _ in range(ROUNDS):
        lights = torch.stack(
            [_light_on(basis * known[:, k, None], colours[:, k], weight, uniform[:, k]) for k in range(3)], -1
        )
        residual = (basis @ lights * known - colours).mean(1)
        weight = 1 / (1 + (residual / OUTLIER) ** 2) ** 2
    return lights.float()


def _light_on(rows: Tensor, colours: Tensor, weight: Tensor, uniform: Tensor) -> Tensor:
    """(9,) least squares, held near the uniform light where no point determines it."""
    form = (rows * weight[:, None]).T @ rows / weight.sum() + STILL * torch.eye(len(uniform), dtype=rows.dtype)
    return torch.linalg.solve(form, rows.T @ (weight * colours) / weight.sum() + STILL * uniform)


def shading_of(normals: Tensor, lights: Tensor) -> Tensor:
    """(..., 3) unit normals -> (..., 3) shading, never dark enough to make noise an albedo."""
    return (sh_basis(normals) @ lights).clamp(min=LEAST_SHADING)


def _form(points: Tensor, colours: Tensor, basis: Tensor, weight: Tensor, skin: Tensor, count: int) -> Tensor:
    """(9, 9) quadratic form of one channel's light: mean square of its residuals."""
    # Noise of u c grows with u: points count by their brightness.
    brightness = _per_point(points, weight * colours**2, count) / _per_point(points, weight, count).clamp(min=1e-9)
    weight = weight * brightness[points]
    form = _eliminated(points, colours, basis, weight, count)
    form = form + ALIKE * _eliminated(None, colours, basis, weight * skin, 1)
    return form / weight.sum().clamp(min=1e-9)


def _least(form: Tensor, hold: float, light: Tensor, mean: Tensor) -> Tensor:
    """(9,) the minimum of l F l + hold |l - light|^2 with mean . l = 1."""
    held = form + hold * torch.eye(len(form), dtype=form.dtype)
    free, along = torch.linalg.solve(held, hold * light), torch.linalg.solve(held, mean)
    return free + along * (1 - mean @ free) / (mean @ along)


def _eliminated(points: Tensor | None, colours: Tensor, basis: Tensor, weight: Tensor, count: int) -> Tensor:
    """(9, 9): sum over the points of sum w b b' - (sum w c b)(sum w c b)' / sum w c c. points: None where all views are
    of one."""
    together = _products(basis * weight[:, None], basis)
    strength = weight * colours
    if points is None:
        crossed, squares = (strength @ basis)[None], (strength @ colours)[None]
    else:
        views = np.arange(len(points) + 1)
        of_points = csc_array((strength.numpy(), points.numpy(), views), (count, len(points)))
        crossed, squares = torch.from_numpy(of_points @ basis.numpy()), _per_point(points, strength * colours, count)
    return together - (crossed / squares.clamp(min=1e-9)[:, None]).T @ crossed


def _products(one: Tensor, other: Tensor) -> Tensor:
    """one (N, K), other (N, K) -> one^T other (K, K). A CPU multiplies many short columns three times as fast as long
    ones."""
    whole = len(one) // AT_ONCE * AT_ONCE
    first, second = (part[:whole].unflatten(0, (-1, AT_ONCE)) for part in (one, other))
    return (first.mT @ second).sum(0) + one[whole:].T @ other[whole:]


def _residuals(points: Tensor, colours: Tensor, shading: Tensor, weight: Tensor, count: int) -> Tensor:
    """(N,) shading less that of each point's best albedo."""
    crossed = _per_point(points, weight * shading * colours, count)
    inverse = crossed / _per_point(points, weight * colours**2, count).clamp(min=1e-9)
    return shading - inverse[points] * colours


def _per_point(points: Tensor, values: Tensor, count: int) -> Tensor:
    return values.new_zeros(count).index_add_(0, points, values)


def _facing(dtype: torch.dtype) -> Tensor:
    """(N, 3) unit normals, evenly spread over the half sphere about +z."""
    rows = torch.arange(FACING_NORMALS, dtype=dtype)
    height, angle = 1 - (rows + 0.5) / FACING_NORMALS, GOLDEN_ANGLE * rows
    level = (1 - height * height).sqrt()
    return torch.stack([level * angle.cos(), level * angle.sin(), height], -1)
