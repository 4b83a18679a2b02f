"""A finished run's head posed, lit and rendered over the pictures it was tracked in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vhap.config.track import TrackConfig
from vhap.data.frame_cache import Frame
from vhap.data.result_cameras import given_cameras
from vhap.data.results import TrackResult
from vhap.data.sample import Capture, FrameBatch
from vhap.fit.albedo import albedo_of
from vhap.geometry.cameras import Camera, camera_from_focal
from vhap.head.model import HeadModel, HeadParams, landmark_points, pose, yaw_in_camera
from vhap.head.texture import region_texture
from vhap.render.scene import Rendering, render_head
from vhap.render.types import Backend, Topology
from vhap.util.errors import InputError

PLAIN_TEXTURE_SIZE = 512
"""Of results without a texture on heads without one."""


@dataclass(frozen=True)
class RunScene:
    """One result of a run with what it takes to render it. Rows are rows of the result; views index the cameras.

    folder: the run folder. texture (1, R, R, 3) albedo, row 0 on top; lights (9, 3) or None for none. timesteps: for
    every row the capture's timestep. sequence_folder: where the capture lies.
    """

    folder: Path
    epoch: int
    config: TrackConfig
    model: HeadModel
    capture: Capture
    sequence_folder: Path
    result: TrackResult
    backend: Backend
    topology: Topology
    texture: Tensor
    lights: Tensor | None
    timesteps: tuple[int, ...]

    @property
    def device(self) -> torch.device:
        return self.texture.device

    @property
    def n_rows(self) -> int:
        return len(self.timesteps)

    @property
    def n_views(self) -> int:
        return len(self.capture.camera_ids)

    def shown_views(self) -> list[int]:
        """The cameras that stand for all of them, at most three, from the one on the left as they face the head: one is
        nearest to its front, the others are in the middle of those on either side."""
        params = self.head_params(list(range(self.n_rows)))
        turns = [self.camera(view).T_camera_world[:3, :3] for view in range(self.n_views)]
        yaws = torch.stack([yaw_in_camera(params, turn) for turn in turns])
        order = yaws.mean(1).argsort(descending=True).tolist()
        front = order.index(int(yaws.abs().mean(1).argmin()))
        sides = [order[:front], order[front + 1 :]]
        left, right = ([side[len(side) // 2]] if side else [] for side in sides)
        return [*left, order[front], *right]

    def head_params(self, row: int | list[int]) -> HeadParams:
        """The head of one row, without a leading axis, or of several, with one."""
        return result_head_params(self.result, row, self.device)

    def albedo_bytes(self) -> np.ndarray:
        """(R, R, 3) uint8, row 0 on top."""
        return (self.texture[0].clamp(0, 1) * 255).round().byte().cpu().numpy()

    def vertices(self, row: int | list[int]) -> Tensor:
        """(V, 3) metres in the world; of several rows (N, V, 3)."""
        return pose(self.model, self.head_params(row))

    def camera(self, view: int = 0) -> Camera:
        """One camera without leading axes, in the tracked world: the given one, else that of the tracked focal
        length."""
        given = given_cameras(self.capture, self.result)
        if given is not None:
            return given.select(view).to(torch.float32).to(self.device)
        if self.result.focal_length is None:
            raise InputError(
                f"expected focal_length in the result of {self.folder}, since no camera is given, found none; "
                "track again"
            )
        focal = torch.as_tensor(self.result.focal_length, dtype=torch.float32, device=self.device).reshape(-1)[0]
        return camera_from_focal(focal, *self.capture.size)

    def load(self, row: int, view: int = 0) -> FrameBatch:
        """The picture of one row, as a batch of one."""
        return self.capture.load([self.timesteps[row]], [view]).to(self.device)

    def frame(self, row: int, view: int = 0) -> Frame:
        """The picture of one row with its alpha map, as the capture keeps them."""
        return self.capture.frame(self.timesteps[row], view)

    @cached_property
    def detected(self) -> tuple[Tensor, Tensor]:
        """The detector's points of the capture's timesteps, (T, C, D, 2) px, and their confidence (T, C, D)."""
        return self.capture.load_landmarks()

    def render(self, row: int, view: int = 0) -> tuple[Rendering, FrameBatch]:
        """The head over the picture of one row; both are batches of one."""
        frame = self.load(row, view)
        return self.render_vertices(self.vertices(row), self.camera(view), frame.rgb), frame

    def render_vertices(self, vertices: Tensor, camera: Camera, background: Tensor | None) -> Rendering:
        """vertices (V, 3) seen by one camera before background (1, H, W, 3), black where None."""
        return self.render_heads(vertices[None], camera, background)

    def render_heads(self, vertices: Tensor, camera: Camera, background: Tensor | None) -> Rendering:
        """vertices (B, V, 3) seen by one camera or by one each before background (B, H, W, 3), black where None."""
        return render_head(
            self.backend,
            vertices,
            self.topology,
            self.model.uvs,
            self.texture,
            self.lights,
            camera,
            background,
        )

    def landmarks_px(self, row: int, view: int = 0, vertices: Tensor | None = None) -> Tensor:
        """(L, 2) pixels of the model's points, in the order of its landmark set; vertices: posed already, if known."""
        vertices = self.vertices(row) if vertices is None else vertices
        return self.heads_landmarks_px([row], vertices[None], self.camera(view).expand(1))[0]

    def heads_landmarks_px(self, rows: list[int], vertices: Tensor, cameras: Camera) -> Tensor:
        """As `landmarks_px`, (B, L, 2): of the heads of rows, posed as vertices (B, V, 3), each seen by a camera of its
        own."""
        yaw = yaw_in_camera(self.head_params(rows), cameras.T_camera_world[:, :3, :3])
        return cameras.project(landmark_points(self.model, vertices, self.capture.landmark_set, yaw))[0]


def result_texture(model: HeadModel, result: TrackResult) -> Tensor:
    """(1, R, R, 3) albedo of a result, else the head's own."""
    base = region_texture(model, PLAIN_TEXTURE_SIZE) if model.base_texture is None else model.base_texture
    albedo = albedo_of(result, base)
    return base[None] if albedo is None else albedo


def result_head_params(result: TrackResult, row: int | list[int], device: torch.device | str = "cpu") -> HeadParams:
    """One timestep of a result, without a leading axis, or several, with one."""

    def tensor(value) -> Tensor:
        return torch.as_tensor(value, dtype=torch.float32, device=device)

    offset = None
    if result.static_offset is not None:
        offset = tensor(result.static_offset[0])
    if result.dynamic_offset is not None:
        moving = tensor(result.dynamic_offset[row])
        offset = moving if offset is None else offset + moving
    per_frame = ("expr", "rotation", "translation", "neck_pose", "jaw_pose", "eyes_pose")
    return HeadParams(
        shape=tensor(result.shape),
        **{name: tensor(getattr(result, name)[row]) for name in per_frame},
        static_offset=offset,
        scale=None if result.scale is None else tensor(result.scale),
    )
