"""Points on a head's surface, posed and differentiated without its vertices.

Skinning is linear: a point is the sum over joints j of R_j x_j + w_j t_j, where x_j is the sum over its three corners
of barycentric coordinate, skinning weight and canonical place. x is affine in the coefficients, and what it moves by is
gathered once for a head. Derivatives go backwards: a row of derivatives by a point is turned by the joints' rotations
and only then meets the bases, all points at once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vhap.head.joints import PosedJoints
from vhap.head.model import HeadModel, pose_feature

N_MOTION = 18
"""Numbers that move the head and its joints: rotation, translation, neck, jaw (3 each) and both eyes (6)."""
N_ROTATIONS = 15
"""Those of them that turn joints."""


@dataclass(frozen=True)
class SkinnedPoints:
    """N points of a head with J joints. weights (N, J); template (N, 3 J): their x, joint by joint, of the mean head;
    by_shape (N, 3 J, S), by_expr (N, 3 J, E); by_pose (N, 3 J, 9 (J - 1)): of pose correctives, None without them."""

    weights: Tensor
    template: Tensor
    by_shape: Tensor
    by_expr: Tensor
    by_pose: Tensor | None

    @classmethod
    def of(cls, head: HeadModel, face_ids: Tensor, barycentrics: Tensor) -> SkinnedPoints:
        """face_ids (N,), barycentrics (N, 3)."""
        corners = head.faces[face_ids]
        weights = head.weights[corners] * barycentrics[..., None].to(head.weights.dtype)

        def gathered(basis: Tensor) -> Tensor:
            """(V, 3, K) -> (N, 3 J, K)."""
            return torch.einsum("ncj,ncdk->njdk", weights, basis[corners]).flatten(1, 2).contiguous()

        return cls(
            weights=weights.sum(1),
            template=gathered(head.template[..., None])[..., 0],
            by_shape=gathered(head.shape_basis),
            by_expr=gathered(head.expr_basis),
            by_pose=None if head.pose_basis is None else gathered(head.pose_basis),
        )

    def at(self, index: Tensor) -> SkinnedPoints:
        """Some of them, by index (...), whose axes they then have."""
        return SkinnedPoints(
            weights=self.weights[index],
            template=self.template[index],
            by_shape=self.by_shape[index],
            by_expr=self.by_expr[index],
            by_pose=None if self.by_pose is None else self.by_pose[index],
        )

    def without_shape_basis(self) -> SkinnedPoints:
        """The same without what only derivatives by shape read."""
        return replace(self, by_shape=self.by_shape[..., :0])

    def with_shape(self, shape: Tensor) -> SkinnedPoints:
        """The same of the person with shape (S,)."""
        return replace(self, template=self.template + self.by_shape @ shape)


@dataclass(frozen=True)
class JointMotion:
    """What moves points of B frames. turns (B, 3, 3 J): rotations of the joints, side by side; places (B, J, 3): their
    translations; translation (B, 3): the head's; feature (B, 9 (J - 1)): what pose correctives are linear in; expr
    (B, E)."""

    turns: Tensor
    places: Tensor
    translation: Tensor
    feature: Tensor
    expr: Tensor

    @classmethod
    def of(cls, joints: PosedJoints) -> JointMotion:
        """joints: of B frames of one person, without static offset."""
        turns = joints.transforms[..., :3].transpose(-3, -2).flatten(-2)
        params = joints.params
        return cls(turns, joints.transforms[..., 3], params.translation, pose_feature(joints.rotations), params.expr)

    def rows(self, frames: slice) -> JointMotion:
        return JointMotion(
            turns=self.turns[frames],
            places=self.places[frames],
            translation=self.translation[frames],
            feature=self.feature[frames],
            expr=self.expr[frames],
        )

    def local(self, points: SkinnedPoints) -> Tensor:
        """(B, N, 3 J) x of points (N), or of each frame's own (B, N), which already have their shape."""
        if points.template.ndim == 2:
            moved = self.expr @ points.by_expr.flatten(0, 1).T
            if points.by_pose is not None:
                moved = moved + self.feature @ points.by_pose.flatten(0, 1).T
            return points.template + moved.view(-1, *points.template.shape)
        moved = points.template + (points.by_expr @ self.expr[:, None, :, None])[..., 0]
        return moved if points.by_pose is None else moved + (points.by_pose @ self.feature[:, None, :, None])[..., 0]

    def place(self, points: SkinnedPoints, local: Tensor) -> Tensor:
        """(B, N, 3) in the world."""
        return local @ self.turns.mT + points.weights @ self.places + self.translation[:, None]


@dataclass(frozen=True)
class JointDerivatives:
    """by_transforms (B, 4 J, 3 * 15): of points by the 15 components of the joints' rotations, linear in x and weights;
    by_feature (B, 9 (J - 1), 15); shifts (B, 3 J, S): how what hangs on each joint moves by shape. The last two are
    None where nothing asks for them."""

    by_transforms: Tensor
    by_feature: Tensor | None
    shifts: Tensor | None

    @classmethod
    def of(cls, joints: PosedJoints, by_shape: bool = True) -> JointDerivatives:
        # (B, 15, J, 4, 3) -> J, columns, rows, components.
        moved = joints.derivatives().permute(0, 2, 3, 4, 1)
        by_transforms = torch.cat([moved[:, :, :3].flatten(1, 2), moved[:, :, 3]], 1).flatten(-2)
        by_feature = None
        if joints.model.pose_basis is not None:
            by_feature = joints.rotation_changes()[:, :, 1:].flatten(-3).mT
        return cls(by_transforms, by_feature, joints.shape_shifts().flatten(-2).mT if by_shape else None)

    def rows(self, frames: slice) -> JointDerivatives:
        by_feature, shifts = (None if part is None else part[frames] for part in (self.by_feature, self.shifts))
        return JointDerivatives(self.by_transforms[frames], by_feature, shifts)

    def moved(self, points: SkinnedPoints, local: Tensor) -> Tensor:
        """(B, N, 3, 15) how points with x local (B, N, 3 J) move by the joints' rotations, without pose correctives."""
        split = local.shape[-1]
        by_turns, by_places = self.by_transforms[:, :split], self.by_transforms[:, split:]
        return (local @ by_turns + points.weights @ by_places).unflatten(-1, (3, N_ROTATIONS))


@dataclass(frozen=True)
class RowDerivatives:
    """Derivatives of R rows a point, of the N points of B frames: by_motion (B, R, N, 18), by_expr (B, R, N, E) and
    by_shape (B, R, N, S), which is None where it was not asked for."""

    by_motion: Tensor
    by_expr: Tensor
    by_shape: Tensor | None


def row_derivatives(
    points: SkinnedPoints,
    local: Tensor,
    motion: JointMotion,
    derivatives: JointDerivatives,
    by_point: Tensor,
    shared: bool = True,
) -> RowDerivatives:
    """points: N, or (B, N) of each frame's own, with x local (B, N, 3 J); by_point (B, R, N, 3): derivatives of rows by
    the points in the world. shared: by shape too."""
    frames, count, numbers = by_point.shape[:3]
    turned = (by_point.flatten(1, 2) @ motion.turns).unflatten(1, (count, numbers))
    moved = derivatives.moved(points, local)[:, None]
    by_rotations = by_point[..., :1] * moved[..., 0, :]
    for axis in (1, 2):
        by_rotations.addcmul_(by_point[..., axis, None], moved[..., axis, :])
    if points.by_pose is not None:
        assert derivatives.by_feature is not None
        correctives = _through(turned, points.by_pose).flatten(1, 2) @ derivatives.by_feature
        by_rotations = by_rotations + correctives.unflatten(1, (count, numbers))
    by_motion = torch.cat([by_rotations[..., :3], by_point, by_rotations[..., 3:]], -1)
    by_shape = None
    if shared:
        assert derivatives.shifts is not None
        weights = points.weights if points.weights.ndim == 3 else points.weights.expand(frames, -1, -1)
        hung = (weights[:, None, ..., None] * by_point[..., None, :]).flatten(-2).flatten(1, 2) @ derivatives.shifts
        by_shape = _through(turned, points.by_shape) + hung.unflatten(1, (count, numbers))
    return RowDerivatives(by_motion, _through(turned, points.by_expr), by_shape)


def _through(turned: Tensor, basis: Tensor) -> Tensor:
    """turned (B, R, N, 3 J) times basis (N, 3 J, K), or (B, N, 3 J, K): (B, R, N, K)."""
    if basis.ndim == 4:
        return (turned.transpose(1, 2) @ basis).transpose(1, 2)
    return (turned.flatten(0, 1).transpose(0, 1) @ basis).transpose(0, 1).unflatten(0, turned.shape[:2])
