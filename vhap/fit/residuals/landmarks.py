"""Rows of the landmarks' equations: weighted residuals of points and pairs, and their derivatives by the unknowns."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vhap.fit.residuals.landmark_points import LandmarkPoints, PosedLandmarks, yaw_of
from vhap.fit.residuals.landmark_problem import LandmarkProblem, head_params
from vhap.geometry.cameras import Camera
from vhap.head.joints import PosedJoints
from vhap.head.points import JointDerivatives, JointMotion, RowDerivatives


@dataclass(frozen=True)
class LandmarkRows:
    """Of B frames and R = 2 C coordinates of N landmarks and pairs: value (B, R, N) residuals in standard deviations,
    weighted, and their derivatives: by_motion (B, R, N, 18), by_expr (B, R, N, E), by_camera (B, R, N, N_CAMERA) and
    by_shape (B, R, N, S), which is None where it was not asked for."""

    value: Tensor
    by_motion: Tensor
    by_expr: Tensor
    by_camera: Tensor
    by_shape: Tensor | None


@dataclass(frozen=True)
class LinearisationPoint:
    """Where rows are made: at unknowns of all frames. points: of the person; yaw_rad (B, C): the head's, seen from the
    cameras (C,)."""

    cameras: Camera
    points: LandmarkPoints
    motion: JointMotion
    derivatives: JointDerivatives
    yaw_rad: Tensor

    @classmethod
    def of(
        cls, problem: LandmarkProblem, shared: Tensor, per_frame: Tensor, by_shape: bool = True
    ) -> LinearisationPoint:
        """shared (Q,), per_frame (B, P). by_shape: rows by shared unknowns will be asked for."""
        params, cameras = head_params(shared, per_frame), problem.cameras(shared)
        joints = PosedJoints.of(problem.head, params)
        return cls(
            cameras=cameras,
            points=problem.points.with_shape(params.shape),
            motion=JointMotion.of(joints),
            derivatives=JointDerivatives.of(joints, by_shape),
            yaw_rad=yaw_of(params, cameras),
        )

    def rows(self, frames: slice) -> LinearisationPoint:
        return replace(
            self,
            motion=self.motion.rows(frames),
            derivatives=self.derivatives.rows(frames),
            yaw_rad=self.yaw_rad[frames],
        )


def landmark_rows(
    problem: LandmarkProblem, point: LinearisationPoint, sigma: Tensor, shared: bool = True
) -> LandmarkRows:
    """Of the problem's frames, which point has too. sigma (B, C) px; shared: by shared unknowns too."""
    cameras, derivatives = point.cameras, point.derivatives
    posed = PosedLandmarks.of(point.points, point.motion, point.yaw_rad)
    world = posed.world(len(cameras.fx))
    projected = cameras.project(world)[0]
    value = problem.in_deviations(projected - problem.detected_px, sigma)
    weight = (problem.weights() * problem.loss.weight(value.square().sum(-1))).sqrt()
    slopes = cameras.projection_derivatives(world).transpose(2, 3)
    factor = weight / problem.deviations_px(sigma)
    parts = _row_derivatives(problem, posed, derivatives, slopes, factor, shared)
    return LandmarkRows(
        value=(value * weight[..., None]).transpose(2, 3).flatten(1, 2),
        by_motion=parts.by_motion,
        by_expr=parts.by_expr,
        by_camera=_camera_rows(problem, cameras, world, projected, factor),
        by_shape=parts.by_shape,
    )


def _row_derivatives(
    problem: LandmarkProblem,
    posed: PosedLandmarks,
    derivatives: JointDerivatives,
    slopes: Tensor,
    factor: Tensor,
    shared: bool,
) -> RowDerivatives:
    """Of landmarks and pairs: (B, 2 C, L + P, K). slopes (B, C, 2, L, 3): of pixels by landmarks; factor (B, C, L + P):
    of the rows."""
    count = slopes.shape[3]
    factor = factor[:, :, None, :, None]
    landmarks = posed.rows(derivatives, slopes * factor[..., :count, :], shared)
    if problem.pairs is None or not len(problem.pairs):
        return landmarks
    # No pair has points of the jaw line.
    both = problem.pairs.T.flatten()
    signed = torch.cat([factor[..., count:, :], -factor[..., count:, :]], 3)
    pairs = posed.staying(both).rows(derivatives, slopes[..., both, :] * signed, shared)

    def joined(one: Tensor, other: Tensor) -> Tensor:
        first, second = other.chunk(2, 2)
        return torch.cat([one, first + second], 2)

    by_shape = None
    if landmarks.by_shape is not None and pairs.by_shape is not None:
        by_shape = joined(landmarks.by_shape, pairs.by_shape)
    return RowDerivatives(
        by_motion=joined(landmarks.by_motion, pairs.by_motion),
        by_expr=joined(landmarks.by_expr, pairs.by_expr),
        by_shape=by_shape,
    )


def _camera_rows(problem: LandmarkProblem, cameras: Camera, world: Tensor, projected: Tensor, factor: Tensor) -> Tensor:
    """(B, 2 C, L + P, N_CAMERA) derivatives of rows by what is unknown of the cameras; of what is known zero. world
    (B, C, L, 3) metres, projected (B, C, L, 2) px."""
    still = torch.zeros_like(projected)
    by_focal = cameras.focal_derivatives(projected) if problem.given is None else still
    by_scale = cameras.scale_derivatives(world) if problem.unknown_unit else still
    each = torch.stack([by_focal, by_scale], -1)
    if problem.pairs is not None:
        first, second = problem.pairs.unbind(-1)
        each = torch.cat([each, each[:, :, first] - each[:, :, second]], 2)
    return (each * factor[..., None, None]).transpose(2, 3).flatten(1, 2)
