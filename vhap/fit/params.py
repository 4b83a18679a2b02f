"""The unknowns of a run, one tensor each, named as the keys of the output file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from torch import Tensor

from vhap.config.track import ParamGroup
from vhap.data.results import TrackResult
from vhap.geometry.cameras import Camera, camera_from_focal
from vhap.geometry.similarities import scaling
from vhap.head.model import HeadModel, HeadParams

CAMERA = ("focal_length", "rig_scale")
"""What is unknown of the cameras, of which one at most is solved: the one where no camera is given, the other where the
unit of given ones is not known."""
N_CAMERA = len(CAMERA)
CAMERA_DISTANCE_M = 1.0
"""Of the uncalibrated camera from the world's origin."""
PER_FRAME = ("rotation", "translation", "neck_pose", "jaw_pose", "eyes_pose", "expr")
"""What landmarks determine of a frame."""
PER_ROW = (*PER_FRAME, "dynamic_offset")
"""Everything that has a row for each frame."""
GROUPS: dict[ParamGroup, tuple[str, ...]] = {
    "cam": CAMERA,
    "pose": ("rotation", "translation"),
    "shape": ("shape",),
    "joints": ("neck_pose", "jaw_pose", "eyes_pose"),
    "expr": ("expr",),
    "texture": ("residual_texture",),
    "lights": ("lights",),
    "static_offset": ("static_offset",),
    "dynamic_offset": ("dynamic_offset",),
}


@dataclass
class TrackParams:
    """rotation, translation, neck_pose, jaw_pose (T, 3); eyes_pose (T, 6); expr (T, E); shape (S,);
    focal_length (1,) in units of max(height, width); rig_scale (1,): given cameras stand so many times as far from the
    world's origin as given; lights (9, 3), or (T, 9, 3) where frames are of recordings that are lit differently;
    residual_texture (1, R, R, 3) added to the base albedo, row 0 on top; static_offset (V, 3), dynamic_offset
    (T, V, 3) in canonical space, None where unused. Rotations axis-angle in radians, lengths in metres."""

    rotation: Tensor
    translation: Tensor
    neck_pose: Tensor
    jaw_pose: Tensor
    eyes_pose: Tensor
    expr: Tensor
    shape: Tensor
    focal_length: Tensor
    rig_scale: Tensor
    lights: Tensor
    residual_texture: Tensor
    static_offset: Tensor | None = None
    dynamic_offset: Tensor | None = None

    @property
    def n_timesteps(self) -> int:
        return self.rotation.shape[0]

    def rows(self, timesteps: Tensor) -> TrackParams:
        """A copy whose per-frame tensors hold only these timesteps (B,); shared tensors are the same objects."""
        of_rows = PER_ROW if self.lights.dim() == 2 else (*PER_ROW, "lights")
        return self.mapped(lambda name, value: value[timesteps] if name in of_rows else value)

    @property
    def light(self) -> Tensor:
        """(9, 3) of all frames, or of the first one's recording where recordings have one each."""
        return self.lights if self.lights.dim() == 2 else self.lights[0]

    def detached(self) -> TrackParams:
        return self.mapped(lambda _, value: value.detach())

    def mapped(self, change: Callable[[str, Tensor], Tensor]) -> TrackParams:
        """The same with change(name, value) in place of every tensor."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{name: change(name, value) for name, value in values.items() if value is not None})

    def offset(self) -> Tensor | None:
        """(V, 3), or (B, V, 3) with moving offsets, metres; None where there are none."""
        if self.dynamic_offset is None:
            return self.static_offset
        return self.dynamic_offset if self.static_offset is None else self.static_offset + self.dynamic_offset

    def head(self) -> HeadParams:
        return HeadParams(
            static_offset=self.offset(),
            shape=self.shape,
            expr=self.expr,
            rotation=self.rotation,
            translation=self.translation,
            neck_pose=self.neck_pose,
            jaw_pose=self.jaw_pose,
            eyes_pose=self.eyes_pose,
        )

    def cameras(self, given: Camera | None, size: tuple[int, int], which: Tensor) -> Camera:
        """One for each picture (N,): those of the given cameras that which (N,) names, else the one of the tracked
        focal length. size: (height, width)."""
        if given is not None:
            return given.select(which).scaled(self.rig_scale)
        return camera_from_focal(self.focal_length[0], *size).expand(len(which))


def as_vectors(params: TrackParams) -> tuple[Tensor, Tensor]:
    """What landmarks determine, as vectors: shared (Q,) logarithms of CAMERA, then shape; of each frame (T, P), as
    PER_FRAME."""
    shared = torch.cat([*(getattr(params, name).log() for name in CAMERA), params.shape])
    return shared, torch.cat([getattr(params, name) for name in PER_FRAME], -1)


def from_vectors(params: TrackParams, shared: Tensor, own: Tensor) -> TrackParams:
    """params with the values of both vectors."""
    widths = [getattr(params, name).shape[1] for name in PER_FRAME]
    solved = dict(zip(PER_FRAME, own.split(widths, -1)))
    cameras = dict(zip(CAMERA, shared[:N_CAMERA, None].exp()))
    return replace(params, **solved, **cameras, shape=shared[N_CAMERA:])


def initial_params(model: HeadModel, n_timesteps: int, texture_size: int, lights: Tensor) -> TrackParams:
    """A neutral head at the origin before the uncalibrated camera (focal length 1.5), base texture, given light."""
    device = model.template.device

    def zeros(*shape: int) -> Tensor:
        return torch.zeros(shape, device=device)

    return TrackParams(
        rotation=zeros(n_timesteps, 3),
        translation=zeros(n_timesteps, 3),
        neck_pose=zeros(n_timesteps, 3),
        jaw_pose=zeros(n_timesteps, 3),
        eyes_pose=zeros(n_timesteps, 6),
        expr=zeros(n_timesteps, model.n_expr),
        shape=zeros(model.n_shape),
        focal_length=torch.full((1,), 1.5, device=device),
        rig_scale=torch.ones(1, device=device),
        lights=lights.to(device).clone(),
        residual_texture=zeros(1, texture_size, texture_size, 3),
    )


def to_result(
    params: TrackParams,
    *,
    head_identity: str,
    timestep_ids: list[str],
    timestep_indices: list[int],
    image_size: tuple[int, int],
    albedo: Tensor | None,
    calibrated: bool,
    sh_lights: bool,
    tex_extra: Tensor | None = None,
    T_tracked_given: np.ndarray | None = None,
) -> TrackResult:
    """The output file's arrays. albedo: (1, A, A, 3) or None (no photometric stage has run); tex_extra: (1, R, R, 3);
    T_tracked_given: of the given cameras, before they are scaled by rig_scale."""
    values = {f.name: getattr(params, f.name) for f in fields(params)}
    arrays = {name: value.detach().cpu().numpy() for name, value in values.items() if value is not None}
    return TrackResult(
        **{name: arrays[name] for name in (*PER_FRAME, "shape")},
        timestep_id=np.array(timestep_ids),
        timestep_index=np.array(timestep_indices),
        n_processed_frames=np.array(params.n_timesteps),
        image_size=np.array(image_size),
        head_model=np.array(head_identity),
        focal_length=None if calibrated else arrays["focal_length"],
        albedo=None if albedo is None else _planes(albedo.clamp(0, 1)),
        tex_extra=None if tex_extra is None else _planes(tex_extra),
        lights=arrays["lights"] if sh_lights and albedo is not None else None,
        static_offset=arrays["static_offset"][None] if "static_offset" in arrays else None,
        dynamic_offset=arrays.get("dynamic_offset"),
        T_tracked_given=None if T_tracked_given is None else scaling(float(params.rig_scale)).numpy() @ T_tracked_given,
    )


def _planes(texture: Tensor) -> np.ndarray:
    """(1, R, R, 3) -> (3, R, R)."""
    return texture[0].detach().permute(2, 0, 1).contiguous().cpu().numpy()
