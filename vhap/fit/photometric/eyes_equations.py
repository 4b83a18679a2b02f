"""Equations of eyes in pictures: differences between render and pixels, and their derivatives.

A pixel's ray meets the eyeball where its angle to the optical axis is implied by the eye's rotation; the albedo there,
times shading and a view's own brightness, is the expected colour.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from vhap.fit.photometric.eyes_albedo import Profile
from vhap.fit.photometric.eyes_views import CHART_REACH, CHART_SIZE, Eyeballs, EyePixels, chart
from vhap.geometry.robust import Cauchy
from vhap.geometry.rotations import axis_angle_derivatives, axis_angle_to_matrix
from vhap.util.threads import in_threads

INTERSECTION_ROUNDS = 4
LEAST_SINE = 1e-3
N_GAIN = 3
CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))
CELLS_PER_UNIT = (CHART_SIZE - 1) / (2 * CHART_REACH)
"""Of a chart."""
AT_ONCE = 8192
"""Pixels that a thread works on."""


@dataclass(frozen=True)
class EyePrior:
    """Standard deviations. colour: of a pixel, at least; robust: in these, from which difference on a pixel counts less
    (Cauchy); correlation: so many pixels count as one; brightness, tilt: of a view's brightness and its change from the
    middle to the border; pitch_rad, yaw_rad: of the left eye's rotation against the right eye's, yaw being vergence."""

    colour: float = 0.02
    robust: float = 2.0
    correlation: float = 6.0
    brightness: float = 0.3
    tilt: float = 0.15
    pitch_rad: float = 0.02
    yaw_rad: float = 0.06


@dataclass(frozen=True)
class EyeState:
    """gaze (T, 2, 2): pitch and yaw of both eyes, the first two components of their axis-angle; gain
    (W, N_GAIN): a view's brightness beyond 1, and its change from the middle to the right and to the bottom."""

    gaze: Tensor
    gain: Tensor


@dataclass(frozen=True)
class Hit:
    """Where rays meet eyeballs, in the axes of the turned eye. position (n, 3); by_gaze (n, 2, 3): its derivatives, the
    last axis that of the position; valid (n,)."""

    position: Tensor
    by_gaze: Tensor
    valid: Tensor


def meet(pixels: EyePixels, balls: Eyeballs, roll: Tensor, state: EyeState, slopes: bool = True) -> Hit:
    """roll (T, 2): third component of the axis-angle of each eye. All is done in the axes of the turned eye, in which
    the surface rests and the rays turn. slopes: with derivatives."""
    vectors = torch.cat([state.gaze, roll[..., None]], -1)
    where = pixels.frame, pixels.eye
    turn = axis_angle_to_matrix(vectors)[where]
    origin, ray = ((part[:, None] @ turn)[:, 0] for part in (pixels.origin, pixels.ray))
    along = (ray * origin).sum(-1)
    beyond = origin.square().sum(-1) - along.square()
    radius = balls.radius.mean((1, 2, 3))[pixels.eye]
    for _ in range(INTERSECTION_ROUNDS):
        inside = radius.square() - beyond
        way = -along - inside.clamp(min=0).sqrt()
        position = origin + way[:, None] * ray
        spot = chart_spot(position)
        radius = spot.read(balls.radius, pixels.eye)[:, 0]
    valid = (inside > 0) & (position[:, 2] > 0)
    if not slopes:
        return Hit(position, position.new_zeros(0, 2, 3), valid)
    # A point that stays on the surface as it is moved slides along its ray.
    normal = F.normalize(position, dim=-1) - spot.slopes(balls.radius, pixels.eye)[:, 0]
    facing = (normal * ray).sum(-1).clamp(max=-0.05)
    slide = torch.eye(3).to(ray) - normal[:, :, None] * (ray / facing[:, None])[:, None]
    still = pixels.origin + way[:, None] * pixels.ray
    turns = axis_angle_derivatives(vectors)[..., :2, :, :][where]
    moves = (still[:, None, None] @ turns)[:, :, 0]
    return Hit(position, moves @ slide, valid)


@dataclass(frozen=True)
class ChartSpot:
    """Where n positions lie in a chart: their distance (n, 1), direction (n, 3) and spot (n, 2), the cell's column and
    row (n,) and the part of it (n, 1) that lies before each."""

    distance: Tensor
    outward: Tensor
    spot: Tensor
    column: Tensor
    row: Tensor
    x: Tensor
    y: Tensor

    def _corners(self, values: Tensor, eye: Tensor) -> Iterator[Tensor]:
        return (values[eye, self.row + down, self.column + aside] for down, aside in CORNERS)

    def read(self, values: Tensor, eye: Tensor) -> Tensor:
        """(n, C) of charts (2, CHART_SIZE, CHART_SIZE, C), bilinear."""
        near, right, below, across = self._corners(values, eye)
        x, y = self.x, self.y
        return (1 - y) * ((1 - x) * near + x * right) + y * ((1 - x) * below + x * across)

    def slopes(self, values: Tensor, eye: Tensor) -> Tensor:
        """(n, C, 3) derivatives of what is read by the position."""
        near, right, below, across = self._corners(values, eye)
        by_x = (1 - self.y) * (right - near) + self.y * (across - below)
        by_y = (1 - self.x) * (below - near) + self.x * (across - right)
        by_spot = torch.stack([by_x, by_y], -1) * CELLS_PER_UNIT
        outward = self.outward
        sideways = torch.cat([by_spot, -(by_spot @ self.spot[..., None])], -1) / (1 + outward[:, None, 2:])
        along = (sideways @ outward[..., None]) * outward[:, None]
        return (sideways - along) / self.distance[..., None]


def chart_spot(position: Tensor) -> ChartSpot:
    """Of positions (n, 3)."""
    distance = position.norm(dim=-1, keepdim=True)
    outward = position / distance
    spot = chart(outward)
    position = ((spot + CHART_REACH) * CELLS_PER_UNIT).clamp(0, CHART_SIZE - 1 - 1e-3)
    cell = position.floor().long()
    (x, y), (column, row) = (position - cell)[..., None].unbind(1), cell.unbind(-1)
    return ChartSpot(distance, outward, spot, column, row, x, y)


def angle_at(axis: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
    """Angles (n,) of positions (n, 3) to axes (n, 3), and their derivatives (n, 3) by the position."""
    distance = position.norm(dim=-1, keepdim=True)
    outward = position / distance
    cosine = (outward * axis).sum(-1, keepdim=True).clamp(-1 + 1e-7, 1 - 1e-7)
    sine = (1 - cosine.square()).sqrt().clamp(min=LEAST_SINE)
    return torch.acos(cosine)[:, 0], -(axis - outward * cosine) / (sine * distance)


@dataclass(frozen=True)
class Differences:
    """value (n, 3): render minus pixel; by_gaze (n, 3, 2), by_gain (n, 3, N_GAIN), empty where they were not asked for;
    factor (n, 3): what the profile is multiplied by; angle (n,) to the optical axis; valid (n,)."""

    value: Tensor
    by_gaze: Tensor
    by_gain: Tensor
    factor: Tensor
    angle: Tensor
    valid: Tensor


def differences(
    pixels: EyePixels, balls: Eyeballs, roll: Tensor, profile: Profile, state: EyeState, slopes: bool = True
) -> Differences:
    """slopes: with derivatives. Parts of the pixels side by side, always the same ones."""
    count = len(pixels.view)
    parts = torch.arange(count, device=pixels.view.device).split(count if pixels.view.is_cuda else AT_ONCE)

    @torch.no_grad()
    def work(part: Tensor) -> Differences:
        return _differences(pixels.select(part), balls, roll, profile, state, slopes)

    found = list(in_threads(work, parts))
    names = [f.name for f in fields(Differences)]
    return Differences(**{name: torch.cat([getattr(part, name) for part in found]) for name in names})


def _differences(
    pixels: EyePixels, balls: Eyeballs, roll: Tensor, profile: Profile, state: EyeState, slopes: bool
) -> Differences:
    hit = meet(pixels, balls, roll, state, slopes)
    angle, by_position = angle_at(balls.axis[pixels.eye], hit.position)
    albedo, by_angle = profile.at(angle)
    spot = chart_spot(hit.position)
    detail = spot.read(balls.detail, pixels.eye)
    basis = torch.cat([torch.ones_like(pixels.across[:, :1]), pixels.across], -1)
    brightness = 1 + (basis * state.gain[pixels.view]).sum(-1)
    lit = pixels.shading * brightness[:, None]
    by_gaze, by_gain = lit.new_zeros(0, 3, 2), lit.new_zeros(0, 3, N_GAIN)
    if slopes:
        detail_slope = spot.slopes(balls.detail, pixels.eye)
        by_albedo = (detail * by_angle)[..., None] * by_position[:, None]
        by_gaze = (lit[..., None] * (by_albedo + albedo[..., None] * detail_slope)) @ hit.by_gaze.transpose(1, 2)
        by_gain = (pixels.shading * detail * albedo)[..., None] * basis[:, None]
    return Differences(
        value=lit * detail * albedo - pixels.colour,
        by_gaze=by_gaze,
        by_gain=by_gain,
        factor=lit * detail,
        angle=angle,
        valid=hit.valid,
    )


def robust_cost(
    value: Tensor, pixels: EyePixels, valid: Tensor, sigma: float, prior: EyePrior
) -> tuple[Tensor, Tensor]:
    """Cost (n,) of each pixel and its precision (n,), of the mean over colours."""
    squared = value.square().mean(-1) / sigma**2
    share = pixels.counts * valid / prior.correlation
    loss = Cauchy(prior.robust)
    return share * loss.cost(squared), share * loss.weight(squared) / (3 * sigma**2)
