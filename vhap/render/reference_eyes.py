"""Eyeballs in pictures in plain float64 torch, slow and obvious: what the kernel is tested against."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from vhap.render.warp_eye_pixels import EyeDifferences, EyeRays, EyeShapes

INTERSECTION_ROUNDS = 4
LEAST_SINE = 1e-3
CORNERS = ((0, 0), (0, 1), (1, 0), (1, 1))


def differences_of_eyes(
    rays: EyeRays, shapes: EyeShapes, turn: Tensor, by_turn: Tensor, gain: Tensor
) -> EyeDifferences:
    """As `warp_eye_pixels.differences_of_eyes` with slopes, in double."""
    rays = replace(
        rays, **{name: getattr(rays, name).double() for name in ("colour", "shading", "ray", "origin", "across")}
    )
    axis, profile, which = shapes.axis.double(), shapes.profile.double(), (rays.frame, rays.eye)
    position, by_gaze, valid = _meet(rays, shapes, turn.double()[which], by_turn.double()[which])
    angle, by_position = _angle_at(axis[rays.eye], position)
    knot = (angle / shapes.angle_step).clamp(0, len(profile) - 1 - 1e-4)
    cell = knot.floor().long()
    by_angle = (profile[cell + 1] - profile[cell]) / shapes.angle_step
    albedo = profile[cell] + (knot - cell)[:, None] * (profile[cell + 1] - profile[cell])
    spot, painted = _ChartSpot.of(position, shapes), shapes.detail.double()
    detail, detail_slope = spot.read(painted, rays.eye), spot.slopes(painted, rays.eye)
    basis = torch.cat([torch.ones_like(rays.across[:, :1]), rays.across], -1)
    lit = rays.shading * (1 + (basis * gain.double()[rays.view]).sum(-1))[:, None]
    by_albedo = (detail * by_angle)[..., None] * by_position[:, None]
    return EyeDifferences(
        value=lit * detail * albedo - rays.colour,
        by_gaze=(lit[..., None] * (by_albedo + albedo[..., None] * detail_slope)) @ by_gaze.transpose(1, 2),
        factor=lit * detail,
        angle=angle,
        valid=valid,
    )


def _meet(rays: EyeRays, shapes: EyeShapes, turn: Tensor, by_turn: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where rays meet eyes (N, 3), in the axes of the turned eye, its derivatives by pitch and yaw (N, 2, 3), and
    whether they do (N,). turn (N, 3, 3); by_turn (N, 2, 3, 3)."""
    origin, ray = ((part[:, None] @ turn)[:, 0] for part in (rays.origin, rays.ray))
    along = (ray * origin).sum(-1)
    beyond = origin.square().sum(-1) - along.square()
    surface = shapes.radius.double()
    radius = surface.mean((1, 2, 3))[rays.eye]
    for _ in range(INTERSECTION_ROUNDS):
        inside = radius.square() - beyond
        way = -along - inside.clamp(min=0).sqrt()
        position = origin + way[:, None] * ray
        spot = _ChartSpot.of(position, shapes)
        radius = spot.read(surface, rays.eye)[:, 0]
    valid = (inside > 0) & (position[:, 2] > 0)
    # A point that stays on the surface as it is moved slides along its ray.
    normal = F.normalize(position, dim=-1) - spot.slopes(surface, rays.eye)[:, 0]
    facing = (normal * ray).sum(-1).clamp(max=-0.05)
    slide = torch.eye(3).to(ray) - normal[:, :, None] * (ray / facing[:, None])[:, None]
    still = rays.origin + way[:, None] * rays.ray
    moves = (still[:, None, None] @ by_turn)[:, :, 0]
    return position, moves @ slide, valid


@dataclass(frozen=True)
class _ChartSpot:
    """Where n positions lie in a chart: their distance (n, 1), direction (n, 3) and spot (n, 2), the cell's column and
    row (n,), the part of it (n, 1) that lies before each, and cells per unit."""

    distance: Tensor
    outward: Tensor
    spot: Tensor
    column: Tensor
    row: Tensor
    x: Tensor
    y: Tensor
    cells: float

    @classmethod
    def of(cls, position: Tensor, shapes: EyeShapes) -> _ChartSpot:
        """Of positions (n, 3)."""
        size = shapes.radius.shape[1]
        cells = (size - 1) / (2 * shapes.reach)
        distance = position.norm(dim=-1, keepdim=True)
        outward = position / distance
        spot = outward[:, :2] / (1 + outward[:, 2:]).clamp(min=1e-2)
        place = ((spot + shapes.reach) * cells).clamp(0, size - 1 - 1e-3)
        cell = place.floor().long()
        (x, y), (column, row) = (place - cell)[..., None].unbind(1), cell.unbind(-1)
        return cls(distance, outward, spot, column, row, x, y, cells)

    def _corners(self, values: Tensor, eye: Tensor) -> list[Tensor]:
        return [values[eye, self.row + down, self.column + aside] for down, aside in CORNERS]

    def read(self, values: Tensor, eye: Tensor) -> Tensor:
        """(n, C) of charts (2, S, S, C), bilinear."""
        near, right, below, across = self._corners(values, eye)
        x, y = self.x, self.y
        return (1 - y) * ((1 - x) * near + x * right) + y * ((1 - x) * below + x * across)

    def slopes(self, values: Tensor, eye: Tensor) -> Tensor:
        """(n, C, 3) derivatives of what is read by the position."""
        near, right, below, across = self._corners(values, eye)
        by_x = (1 - self.y) * (right - near) + self.y * (across - below)
        by_y = (1 - self.x) * (below - near) + self.x * (across - right)
        by_spot = torch.stack([by_x, by_y], -1) * self.cells
        outward = self.outward
        sideways = torch.cat([by_spot, -(by_spot @ self.spot[..., None])], -1) / (1 + outward[:, None, 2:])
        along = (sideways @ outward[..., None]) * outward[:, None]
        return (sideways - along) / self.distance[..., None]


def _angle_at(axis: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
    """Angles (n,) of positions (n, 3) to axes (n, 3), and their derivatives (n, 3) by the position."""
    distance = position.norm(dim=-1, keepdim=True)
    outward = position / distance
    cosine = (outward * axis).sum(-1, keepdim=True).clamp(-1 + 1e-7, 1 - 1e-7)
    sine = (1 - cosine.square()).sqrt().clamp(min=LEAST_SINE)
    return torch.acos(cosine)[:, 0], -(axis - outward * cosine) / (sine * distance)
