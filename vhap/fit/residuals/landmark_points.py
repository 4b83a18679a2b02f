"""A head's landmarks as cameras see them, and how they move: without posing the vertices around them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from vhap.geometry.cameras import Camera
from vhap.head.model import HeadModel, HeadParams, jaw_line_rows, yaw_in_camera
from vhap.head.points import JointDerivatives, JointMotion, RowDerivatives, SkinnedPoints, row_derivatives


@dataclass(frozen=True)
class LandmarkPoints:
    """fixed: the landmarks that stay on one place of the surface, the last ones of the set; sliding: every place
    where those of the jaw line may be, row after row of `JawLine`, n_sliding a row; None and 0 without them."""

    fixed: SkinnedPoints
    sliding: SkinnedPoints | None
    n_sliding: int

    @classmethod
    def of(cls, head: HeadModel, name: str) -> LandmarkPoints:
        points = head.landmarks[name]
        if name != "ibug" or head.jaw_line is None:
            return cls(SkinnedPoints.of(head, points.face_ids, points.barycentrics), None, 0)
        line = head.jaw_line
        count = line.face_ids.shape[1]
        fixed = SkinnedPoints.of(head, points.face_ids[count:], points.barycentrics[count:])
        return cls(fixed, SkinnedPoints.of(head, line.face_ids.flatten(), line.barycentrics.flatten(0, 1)), count)

    def with_shape(self, shape: Tensor) -> LandmarkPoints:
        """The same of the person with shape (S,)."""
        sliding = None if self.sliding is None else self.sliding.with_shape(shape)
        return replace(self, fixed=self.fixed.with_shape(shape), sliding=sliding)


@dataclass(frozen=True)
class GatheredPoints:
    """The points of a head's landmark set, gathered when they are first asked for."""

    head: HeadModel
    name: str

    @cached_property
    def points(self) -> LandmarkPoints:
        return LandmarkPoints.of(self.head, self.name)


@dataclass(frozen=True)
class PosedLandmarks:
    """Landmarks of B frames for C cameras. points: of the person; motion: of the frames; local (B, F, 3 J): of the
    fixed ones; index (B, C * n_sliding): where on the jaw line the others are; slid, slid_local: those, of each frame
    its own; None without them."""

    points: LandmarkPoints
    motion: JointMotion
    local: Tensor
    index: Tensor | None
    slid: SkinnedPoints | None
    slid_local: Tensor | None

    @classmethod
    def of(cls, points: LandmarkPoints, motion: JointMotion, yaw_rad: Tensor) -> PosedLandmarks:
        """yaw_rad (B, C): the head's, seen from the cameras."""
        local = motion.local(points.fixed)
        if points.sliding is None:
            return cls(points, motion, local, None, None, None)
        first = points.n_sliding * jaw_line_rows(yaw_rad.flatten()).view(len(yaw_rad), -1, 1)
        index = (first + torch.arange(points.n_sliding, device=first.device)).flatten(1)
        slid = points.sliding.without_shape_basis().at(index)
        return cls(points, motion, local, index, slid, motion.local(slid))

    def world(self, cameras: int) -> Tensor:
        """(B, C, L, 3) metres."""
        fixed = self.motion.place(self.points.fixed, self.local)[:, None].expand(-1, cameras, -1, -1)
        if self.slid is None or self.slid_local is None:
            return fixed
        sliding = self.motion.place(self.slid, self.slid_local).unflatten(1, (cameras, -1))
        return torch.cat([sliding, fixed], 2)

    def staying(self, landmarks: Tensor) -> PosedLandmarks:
        """Some of the fixed landmarks alone, by rows (N,) of the set."""
        rows = landmarks - self.points.n_sliding
        points = LandmarkPoints(self.points.fixed.at(rows), None, 0)
        return PosedLandmarks(points, self.motion, self.local[:, rows], None, None, None)

    def rows(self, derivatives: JointDerivatives, by_point: Tensor, shared: bool) -> RowDerivatives:
        """Of rows with derivatives by_point (B, C, 2, L, 3) by the landmarks in the world: (B, 2 C, L, K). shared: by
        shape too."""
        count, sliding = self.points.n_sliding, self.points.sliding
        staying = by_point[..., count:, :].flatten(1, 2)
        fixed = row_derivatives(self.points.fixed, self.local, self.motion, derivatives, staying, shared)
        if sliding is None or self.slid is None or self.slid_local is None:
            return fixed
        slid = self.slid if not shared else replace(self.slid, by_shape=sliding.by_shape[self.index])
        # Each camera has sliding points of its own.
        moving = by_point[..., :count, :].transpose(1, 2).flatten(2, 3)
        own = row_derivatives(slid, self.slid_local, self.motion, derivatives, moving, shared)

        def joined(one: Tensor, other: Tensor) -> Tensor:
            return torch.cat([one.unflatten(2, (-1, count)).transpose(1, 2).flatten(1, 2), other], 2)

        by_shape = None
        if own.by_shape is not None and fixed.by_shape is not None:
            by_shape = joined(own.by_shape, fixed.by_shape)
        return RowDerivatives(joined(own.by_motion, fixed.by_motion), joined(own.by_expr, fixed.by_expr), by_shape)


def yaw_of(params: HeadParams, cameras: Camera) -> Tensor:
    """(B, C) the head's yaw in radians as each camera (C,) sees it."""
    names = ("rotation", "neck_pose", "jaw_pose", "eyes_pose")
    each = replace(params, **{name: getattr(params, name)[..., None, :] for name in names})
    return yaw_in_camera(each, cameras.T_camera_world[..., :3, :3])
