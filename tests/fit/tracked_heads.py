"""A built-in head in motion before a camera, its exact landmarks and its pictures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from vhap.data.sample import FrameBatch
from vhap.fit.params import TrackParams, initial_params
from vhap.fit.residuals.landmark_problem import LandmarkProblem
from vhap.fit.scene import Scene
from vhap.fit.texture import resize_texture
from vhap.geometry.cameras import Camera, camera_from_focal
from vhap.head.load import load_head
from vhap.head.model import HeadModel, landmark_head, landmark_points, map_tensors, pose, yaw_in_camera
from vhap.head.regions import faces_of_region
from vhap.render.backend import get_backend
from vhap.render.scene import render_head
from vhap.render.shading import uniform_lights
from vhap.render.topology import build_topology
from vhap.render.types import Backend, Raster, Topology

POINTS = 70


@cache
def builtin_head() -> HeadModel:
    return load_head("builtin")


def in_double(head: HeadModel) -> HeadModel:
    return map_tensors(head, lambda tensor: tensor.double() if tensor.is_floating_point() else tensor)


def still_params(frames: int, texture_size: int = 1, focal: float = 2.0) -> TrackParams:
    """The neutral head at the origin, in every frame."""
    params = initial_params(builtin_head(), frames, texture_size, uniform_lights())
    return replace(params, focal_length=torch.full((1,), focal))


def moving_params(frames: int, texture_size: int = 1, seed: int = 0, focal: float = 2.0) -> TrackParams:
    """A person who turns from one side to the other, nods, talks and blinks."""
    random = torch.Generator().manual_seed(seed)
    still = still_params(frames, texture_size, focal)
    time = torch.linspace(-1, 1, frames)
    turn = torch.stack([0.15 * torch.cos(3 * time), 0.5 * time, 0.1 * torch.sin(2 * time)], -1)
    shift = torch.stack([0.02 * time, 0.01 * torch.cos(2 * time), 0.03 * torch.sin(time)], -1)
    wave = torch.sin(2 * time[:, None] + torch.arange(still.expr.shape[1]))
    return replace(
        still,
        rotation=turn,
        translation=shift,
        jaw_pose=torch.stack([0.1 + 0.1 * torch.sin(4 * time), 0 * time, 0 * time], -1),
        expr=0.4 * wave,
        shape=0.7 * torch.randn(still.shape.shape, generator=random),
    )


def landmarks_px(params: TrackParams, size: tuple[int, int], head: HeadModel | None = None) -> Tensor:
    """(B, 70, 2) exact landmarks."""
    head = builtin_head() if head is None else head
    camera = camera_from_focal(params.focal_length[0], *size)
    yaw = yaw_in_camera(params.head(), camera.T_camera_world[:3, :3])
    return camera.project(landmark_points(head, pose(head, params.head()), "ibug", yaw))[0]


def in_picture(params: TrackParams, size: tuple[int, int]) -> Tensor:
    """(B, V, 2) px of the built-in head's vertices before the one, uncalibrated camera."""
    camera = params.cameras(None, size, torch.zeros(params.n_timesteps))
    return camera.project(pose(builtin_head(), params.head()))[0]


def exact_problem(params: TrackParams, size: tuple[int, int], given: Camera | None = None) -> LandmarkProblem:
    return problem_of(builtin_head(), landmarks_px(params, size), size, given)


def problem_of(
    head: HeadModel, points_px: Tensor, size: tuple[int, int], given: Camera | None = None
) -> LandmarkProblem:
    """Points (B, L, 2) of one camera, frames one after the other."""
    pixels, times = points_px[:, None], torch.arange(len(points_px))
    return LandmarkProblem(
        landmark_head(head, "ibug"), "ibug", pixels, torch.ones(pixels.shape[:3]), times, size, given
    )


@cache
def scene(size: tuple[int, int] = (96, 96), texture_size: int = 64) -> Scene:
    head, backend = builtin_head(), get_backend("warp")
    topology = build_topology(head.faces, head.uv_faces)
    assert head.base_texture is not None
    return Scene(
        head=head,
        landmark_set="ibug",
        size=size,
        given=None,
        backend=backend,
        topology=topology,
        base_texture=resize_texture(head.base_texture[None], texture_size),
    )


def pictures(params: TrackParams, size: tuple[int, int], background: float = 0.4) -> tuple[Tensor, Tensor]:
    """(B, H, W, 3) the head with its own texture before a plain background, and (B, H, W) its matte."""
    texels = params.residual_texture.shape[1]
    stage = scene(size, texels) if texels > 1 else scene(size)
    camera = camera_from_focal(params.focal_length[0], *size)
    behind = torch.full((params.n_timesteps, *size, 3), background)
    vertices = pose(stage.head, params.head())
    with torch.no_grad():
        albedo = stage.albedo(params.residual_texture)
        rendering = render_head(
            stage.backend, vertices, stage.topology, stage.head.uvs, albedo, params.lights, camera, behind
        )
    return rendering.picture, rendering.raster.mask.float()


def frame_batch(params: TrackParams, size: tuple[int, int]) -> FrameBatch:
    count = params.n_timesteps
    rgb, alpha = pictures(params, size)
    return FrameBatch(
        timesteps=torch.arange(count),
        cameras=torch.zeros(count, dtype=torch.long),
        rgb=rgb,
        alpha=alpha,
        landmarks_px=landmarks_px(params, size),
        confidence=torch.ones(count, POINTS),
    )


@dataclass
class FilmedCapture:
    """A capture in memory, as vhap.data.sample.Capture describes it."""

    batch: FrameBatch
    camera: Camera | None = None

    def __post_init__(self) -> None:
        count = len(self.batch.timesteps)
        self.timestep_ids = [f"{index:06d}" for index in range(count)]
        self.timestep_indices = list(range(count))
        self.camera_ids = ["0"]
        self.size = self.batch.size
        self.landmark_set = "ibug"
        self.folder = Path("film")
        self.background_rgb: tuple[float, float, float] | None = None

    def load(self, timesteps: list[int], cameras: list[int] | None = None) -> FrameBatch:
        names = ("timesteps", "cameras", "rgb", "alpha", "landmarks_px", "confidence")
        return replace(self.batch, **{name: getattr(self.batch, name)[timesteps] for name in names})

    def load_landmarks(self) -> tuple[Tensor, Tensor]:
        return self.batch.landmarks_px[:, None], self.batch.confidence[:, None]

    def given_camera(self) -> Camera | None:
        return self.camera


def texel_mask(backend: Backend, head: HeadModel, topology: Topology, regions: tuple[str, ...], size: int) -> Tensor:
    """(size, size) float, 1 where a texel belongs to one of the regions (those the head has), row 0 on top."""
    chosen = [faces_of_region(head, name) for name in regions if name in head.regions]
    if not chosen:
        return torch.zeros(size, size, device=head.template.device)
    inside = torch.stack(chosen).any(0).float()
    raster = rasterize_uv(backend, head, topology, size)
    return inside[raster.face_id[0].clamp(min=0).long()] * raster.mask[0]


def rasterize_uv(backend: Backend, head: HeadModel, topology: Topology, size: int) -> Raster:
    """The mesh unfolded into its texture: a raster of one size x size picture."""
    unfolded = torch.cat([head.uvs * 2 - 1, torch.zeros_like(head.uvs[:, :1]), torch.ones_like(head.uvs[:, :1])], -1)
    flat = replace(topology, faces=topology.uv_faces)
    return backend.rasterize(unfolded[None].contiguous(), flat, size, size)
