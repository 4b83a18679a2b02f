"""Points in space out of their pictures by several cameras, when some of the pictured points are wrong."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vhap.geometry.cameras import Camera

ANNEALING_STEPS, WIDEST = 24, 1e6
"""The robust function is halved in width at each step, from at most the widest down to 1."""
LEAST_DEPTH = 1e-3
"""In units of the cameras' mean distance from their centre; bounds the weight of a point beside a camera."""
LEAST_PARALLAX_RAD = 0.0175
"""One degree; rays nearer to parallel meet anywhere."""
OUTLIER = 3.0
"""Observations further off than this many tolerances are wrong."""


@dataclass(frozen=True)
class Triangulation:
    """points (T, L, 3) in the cameras' world; error_px (T, C, L) reprojection error of every observation, infinite
    where the point lies behind the camera; used (T, C, L) bool: seen, in front, and not an outlier; valid (T, L) bool:
    at least two used observations whose rays are not parallel.
    """

    points: Tensor
    error_px: Tensor
    used: Tensor
    valid: Tensor


def triangulate(camera: Camera, points_px: Tensor, weight: Tensor, tolerance_px: Tensor) -> Triangulation:
    """Linear triangulation, reweighted until it minimises a robust reprojection error.

    camera: leading axis C, any unit of length; points_px (T, C, L, 2); weight (T, C, L), 0 where nothing was seen;
    tolerance_px (C,): from where an error counts less (Geman-McClure). The robust function starts wide and is narrowed
    in steps (graduated non-convexity, Yang et al. 2020), so that the wrong observations lose one after another.
    Everything is float64.
    """
    camera, to_given = _conditioned(camera)
    points_px, weight = points_px.double(), weight.double()
    rows, right = _equations(camera, points_px)
    focal = torch.stack([camera.fx, camera.fy], -1)[:, None, :]
    tolerance = tolerance_px.double()[:, None]
    points = _solve(rows, right, weight, focal)
    error, depth = reprojection_errors(camera, points, points_px)
    width = (2 * torch.where(weight > 0, (error / tolerance) ** 2, 0).amax(1, keepdim=True)).clamp(1, WIDEST)
    for _ in range(ANNEALING_STEPS):
        robust = (width / (width + (error / tolerance) ** 2)) ** 2
        points = _solve(rows, right, weight * robust, focal / depth.abs().clamp(min=LEAST_DEPTH)[..., None])
        error, depth = reprojection_errors(camera, points, points_px)
        width = (width / 2).clamp(min=1)
    used = (weight > 0) & (depth > 0) & (error < OUTLIER * tolerance)
    return Triangulation(
        points=points * to_given[0, 0] + to_given[:3, 3],
        error_px=torch.where(depth > 0, error, torch.inf),
        used=used,
        valid=_meets(camera, points, used),
    )


def _conditioned(camera: Camera) -> tuple[Camera, Tensor]:
    """The cameras about their mean centre with a mean distance of 1 from it, and the (4, 4) way back."""
    camera = camera.to(torch.float64)
    centres = camera.centre()
    middle = centres.mean(0)
    spread = (centres - middle).norm(dim=-1).mean().clamp(min=1e-12)
    to_given = torch.eye(4, dtype=torch.float64, device=centres.device)
    to_given[:3] *= spread
    to_given[:3, 3] = middle
    return camera.moved(torch.linalg.inv(to_given)), to_given


def _equations(camera: Camera, points_px: Tensor) -> tuple[Tensor, Tensor]:
    """rows (T, L, 2 C, 3) and right-hand sides (T, L, 2 C, 1): their difference at a point is its depth times its
    error in pixels over the focal length (x + a z = 0, y + b z = 0 in camera axes)."""
    pose = camera.T_camera_world[:, None]
    a = (points_px[..., 0] - camera.cx[:, None]) / camera.fx[:, None]
    b = (camera.cy[:, None] - points_px[..., 1]) / camera.fy[:, None]
    slopes = torch.stack([a, b], -1)[..., None]
    equations = (pose[..., :2, :] + slopes * pose[..., 2:3, :]).transpose(1, 2).flatten(2, 3)
    return equations[..., :3].contiguous(), -equations[..., 3:]


def _solve(rows: Tensor, right: Tensor, weight: Tensor, px_per_error: Tensor) -> Tensor:
    """(T, L, 3) least squares, each equation scaled to pixels; weight (T, C, L), px_per_error (..., C, ..., 2)."""
    strength = (weight[..., None] * px_per_error**2).transpose(1, 2).flatten(2)[..., None]
    scaled = (rows * strength).mT
    normal, target = scaled @ rows, scaled @ right
    # Points that fewer than two cameras see stay finite.
    ridge = 1e-12 * normal.diagonal(dim1=-2, dim2=-1).sum(-1) + 1e-30
    eye = torch.eye(3, dtype=normal.dtype, device=normal.device)
    return torch.linalg.solve(normal + ridge[..., None, None] * eye, target).squeeze(-1)


def reprojection_errors(camera: Camera, points: Tensor, points_px: Tensor) -> tuple[Tensor, Tensor]:
    """Distance of projected points (T, L, 3) from points_px (T, C, L, 2), and their depth: both (T, C, L).

    A point behind a camera (negative depth) is projected along its line of sight all the same. Cameras: leading axis C.
    """
    x, y, z = camera.from_world(points[:, None]).unbind(-1)
    depth = torch.where(z.abs() < 1e-9, -1e-9, z).neg()
    x_px = camera.cx[:, None] + camera.fx[:, None] * x / depth
    y_px = camera.cy[:, None] - camera.fy[:, None] * y / depth
    return (torch.stack([x_px, y_px], -1) - points_px).norm(dim=-1), depth


def _meets(camera: Camera, points: Tensor, used: Tensor) -> Tensor:
    """(T, L) bool: at least two used rays that are not parallel."""
    rays = torch.nn.functional.normalize(points[:, None] - camera.centre()[:, None], dim=-1)
    counted = used.to(rays.dtype)
    stacked = (rays * counted[..., None]).transpose(1, 2)
    spread = stacked.mT @ stacked
    across = counted.sum(1) - torch.linalg.eigvalsh(spread)[..., -1]
    # Two rays at an angle have across = 1 - cos(angle).
    return (used.sum(1) >= 2) & (across > LEAST_PARALLAX_RAD**2 / 2)
