"""The energy of public first-order head trackers, over this package's differentiable renderer.

Terms, weights, clusters and exclusions as their users know them; nothing here is part of the package. The weight of
the texture's smoothness is that at 2048 texels, scaled so that each slope costs the same on other textures.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from appearance_prior import AppearancePrior
from torch import Tensor

from vhap.geometry.cameras import Camera, camera_from_focal
from vhap.geometry.meshes import uniform_laplacian
from vhap.geometry.rotations import axis_angle_to_matrix
from vhap.head.model import HeadModel, HeadParams, landmark_points, pose, yaw_in_camera
from vhap.head.regions import faces_of_region, region_mask
from vhap.render.scene import Alignment, render_head
from vhap.render.shading import shade
from vhap.render.types import Backend, Topology

CLUSTERS = ("skin", "hair", "boundary", "lips_tight", "teeth", "sclerae", "irises")
KEPT_TEXELS = ("sclerae", "teeth")
RELAXED = ("hair", "ears")
RIGID = ("left_ear", "right_ear", "neck", "left_eye", "right_eye", "lips_tight")
DISTURB_RATE = 0.5
NOSE, NOSE_EMPHASIS = range(27, 36), 10.0
W = {
    "landmark": 10.0,
    "photo": 30.0,
    "shape": 0.3,
    "expr": 0.03,
    "neck": 0.3,
    "jaw": 0.3,
    "eyes": 0.03,
    "texture_slope": 1e4,
    "texture_kept": 10.0,
    "light": 100.0,
    "offset_laplacian": 1e6,
    "offset": 300.0,
    "offset_rigid": 300.0,
    "smooth_translation": 300.0,
    "smooth_rotation": 30.0,
    "smooth_neck": 30.0,
    "smooth_jaw": 0.1,
    "smooth_expr": 1.0,
}
"""Weights of the terms."""


@dataclass(frozen=True)
class Frames:
    """What the pictures of a batch show: rgb (B, H, W, 3); points_px (B, L, 2); confidence (B, L)."""

    rgb: Tensor
    points_px: Tensor
    confidence: Tensor


@dataclass(frozen=True)
class Unknowns:
    """Of B frames: head; of all: focal length (1,) in units of the longer side, lights (9, 3), residual (1, R, R, 3)
    of the texture. before: the B previous frames, held fixed, where motion counts; valid (B,): where there is one."""

    head: HeadParams
    focal: Tensor
    lights: Tensor
    residual: Tensor
    before: HeadParams | None = None
    valid: Tensor | None = None


@dataclass(frozen=True)
class FirstOrderEnergy:
    """base (1, R, R, 3): the texture that the residual adds to; kept (R, R): 1 where it stays near the base."""

    head: HeadModel
    landmark_set: str
    backend: Backend
    topology: Topology
    base: Tensor
    kept: Tensor
    random: torch.Generator

    @cached_property
    def laplacian(self) -> Tensor:
        return uniform_laplacian(self.head.n_vertices, self.head.faces)

    @cached_property
    def relaxed(self) -> Tensor:
        return self._inside(RELAXED)

    @cached_property
    def prior(self) -> AppearancePrior:
        cluster = torch.zeros(len(self.head.faces), dtype=torch.long)
        for index, name in reversed(list(enumerate(CLUSTERS))):
            if name in self.head.regions:
                cluster[faces_of_region(self.head, name)] = index + 1
        return AppearancePrior(cluster, DISTURB_RATE, DISTURB_RATE, self.random)

    def __call__(self, unknowns: Unknowns, frames: Frames, alignment: Alignment | None) -> Tensor:
        """The weighted sum. alignment: what the pictures do not move, None for landmarks alone."""
        vertices = pose(self.head, unknowns.head)
        height, width = frames.rgb.shape[1:3]
        camera = camera_from_focal(unknowns.focal[0], height, width).expand(len(vertices))
        terms = {"landmark": self._landmarks(unknowns.head, vertices, camera, frames)} | _priors(unknowns.head)
        if unknowns.before is not None and unknowns.valid is not None:
            terms |= _motion(unknowns.head, unknowns.before, unknowns.valid)
        if alignment is not None:
            terms |= self._pictures(unknowns, vertices, camera, frames, alignment)
        if unknowns.head.static_offset is not None and unknowns.head.static_offset.requires_grad:
            terms |= self._offsets(unknowns.head.static_offset)
        return torch.stack([W[name] * value for name, value in terms.items()]).sum()

    def exclusions(self, texture: tuple[str, ...], outline: tuple[str, ...]) -> Alignment:
        """Regions whose texture, and whose outline, moves no vertex."""
        faces = [faces_of_region(self.head, name) for name in texture if name in self.head.regions]
        fixed = torch.stack(faces).any(0) if faces else None
        return Alignment(fixed, self._inside(outline), self.prior)

    def _inside(self, names: tuple[str, ...]) -> Tensor:
        """(V,) bool."""
        masks = [region_mask(self.head, self.head.regions[name]) for name in names if name in self.head.regions]
        return torch.stack(masks).any(0) if masks else torch.zeros(self.head.n_vertices, dtype=torch.bool)

    def _landmarks(self, params: HeadParams, vertices: Tensor, camera: Camera, frames: Frames) -> Tensor:
        """Mean over points of confidence x L1 distance, in units in which the picture spans [-1, 1]."""
        yaw = yaw_in_camera(params, camera.T_camera_world[..., :3, :3])
        projected, _ = camera.project(landmark_points(self.head, vertices, self.landmark_set, yaw))
        ids = self.head.landmarks[self.landmark_set].detector_ids
        emphasis = torch.ones(len(ids))
        if self.landmark_set == "ibug":
            emphasis[torch.isin(ids, torch.tensor(list(NOSE)))] = NOSE_EMPHASIS
        scale = 2 / projected.new_tensor([camera.width, camera.height])
        distance = ((projected - frames.points_px[:, ids]) * scale).abs().sum(-1)
        return (frames.confidence[:, ids] * emphasis * distance).mean()

    def _pictures(
        self, unknowns: Unknowns, vertices: Tensor, camera: Camera, frames: Frames, alignment: Alignment
    ) -> dict[str, Tensor]:
        texture, lights = self.base + unknowns.residual, unknowns.lights
        shown = render_head(
            self.backend, vertices, self.topology, self.head.uvs, texture, lights, camera, frames.rgb,
            alignment=alignment,
        )  # fmt: skip
        diffuse = shade(shown.normals.detach(), lights)
        terms = {"photo": (shown.picture - frames.rgb).abs().sum() / max(len(shown.raster.pixels), 1)}
        if len(diffuse):
            terms["light"] = torch.relu(diffuse.max() - 1) + diffuse.var(dim=-1).mean()
        if unknowns.residual.requires_grad:
            slopes = (texture[:, 1:] - texture[:, :-1], texture[:, :, 1:] - texture[:, :, :-1])
            scale = (texture.shape[1] / 2048) ** 2
            terms["texture_slope"] = scale * torch.stack([slope.square().mean() for slope in slopes]).sum()
            terms["texture_kept"] = (unknowns.residual.square() * self.kept[..., None]).mean()
        return terms

    def _offsets(self, offset: Tensor) -> dict[str, Tensor]:
        """Of offsets (V, 3) in metres."""
        change = (self.laplacian @ offset).square().sum(-1)
        rigid = [
            offset[self.head.regions[name]].var(0, correction=0).mean() for name in RIGID if name in self.head.regions
        ]
        terms = {
            "offset_laplacian": (change * torch.where(self.relaxed, 0.1, 1.0)).mean(),
            "offset": offset.abs().mean(),
        }
        return terms | ({"offset_rigid": torch.stack(rigid).sum()} if rigid else {})


def _priors(params: HeadParams) -> dict[str, Tensor]:
    left, right = params.eyes_pose[..., :3], params.eyes_pose[..., 3:]
    jaw = params.jaw_pose
    return {
        "shape": params.shape.square().mean(),
        "expr": params.expr.square().mean(),
        "neck": _turned(params.neck_pose),
        "jaw": _turned(jaw) + 10 * torch.relu(-jaw[..., 0]).mean() + 3 * jaw[..., 1:].square().mean(),
        "eyes": _turned(torch.stack([left, right])) + _turned(left, right),
    }


def _motion(now: HeadParams, before: HeadParams, valid: Tensor) -> dict[str, Tensor]:
    counts = valid.to(now.expr)[:, None]
    return {
        "smooth_translation": ((now.translation - before.translation) * counts).square().mean(),
        "smooth_rotation": _turned(now.rotation, before.rotation, valid),
        "smooth_neck": _turned(now.neck_pose, before.neck_pose, valid),
        "smooth_jaw": _turned(now.jaw_pose, before.jaw_pose, valid),
        "smooth_expr": ((now.expr - before.expr) * counts).square().mean(),
    }


def _turned(angles: Tensor, others: Tensor | None = None, valid: Tensor | None = None) -> Tensor:
    """Mean squared difference of rotation matrices, to the identity where others is None."""
    other = torch.eye(3) if others is None else axis_angle_to_matrix(others)
    difference = axis_angle_to_matrix(angles) - other
    return (difference if valid is None else difference * valid.to(angles)[:, None, None]).square().mean()
