"""A small head, a track of it and a capture in memory whose pictures show it."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from vhap.data.frame_cache import Frame
from vhap.data.results import TrackResult
from vhap.data.sample import FrameBatch
from vhap.geometry.cameras import Camera, camera_from_focal
from vhap.head.model import HeadModel

SIZE = (96, 128)
FOCAL = 1.2
FILMED_RGB = np.array([200, 120, 90], np.uint8)
BEHIND_RGB = np.array([30, 160, 60], np.uint8)


def make_head(name: str = "flame-small", has_jaw: bool = True) -> HeadModel:
    """An ellipsoid with two shape and three expression modes, whose lower third follows the jaw."""
    rows, columns = 15, 20
    polar, azimuth = np.meshgrid(
        np.linspace(0.15, np.pi - 0.15, rows),
        np.linspace(0, 2 * np.pi, columns, endpoint=False),
        indexing="ij",
    )
    unit = np.stack([np.sin(polar) * np.sin(azimuth), np.cos(polar), np.sin(polar) * np.cos(azimuth)], -1)
    template = torch.from_numpy((unit * [0.08, 0.12, 0.09]).reshape(-1, 3)).float()
    template = torch.cat([template, torch.tensor([[0, 0.12, 0], [0, -0.12, 0]])])
    faces = []
    for row in range(rows - 1):
        for column in range(columns):
            a, b = row * columns + column, row * columns + (column + 1) % columns
            faces += [[a, a + columns, b + columns], [a, b + columns, b]]
    top, last = rows * columns, (rows - 1) * columns
    for column in range(columns):
        right = (column + 1) % columns
        faces += [[top, column, right], [top + 1, last + right, last + column]]
    generator = torch.Generator().manual_seed(3)
    count = len(template)
    uvs = torch.rand(count, 2, generator=generator)
    weights = torch.zeros(count, 5)
    weights[:, 0] = 1
    if has_jaw:
        jaw = ((-template[:, 1] - 0.02) / 0.06).clamp(0, 1)
        weights[:, 0], weights[:, 2] = 1 - jaw, jaw

    def nearest(*point: float) -> torch.Tensor:
        return (template - torch.tensor(point)).norm(dim=1).argmin()[None]

    return HeadModel(
        name=name,
        asset_hash="0123",
        template=template,
        faces=torch.tensor(faces),
        shape_basis=torch.randn(count, 3, 2, generator=generator) * 0.001,
        expr_basis=torch.randn(count, 3, 3, generator=generator) * 0.001,
        pose_basis=None,
        joint_template=torch.zeros(5, 3),
        joint_shape_basis=torch.zeros(5, 3, 2),
        weights=weights,
        uvs=uvs,
        uv_faces=torch.tensor(faces),
        regions={
            "neck_left_point": nearest(0.06, -0.07, 0),
            "neck_right_point": nearest(-0.06, -0.07, 0),
            "front_middle_bottom_point_boundary": nearest(0, -0.09, 0.06),
        },
        has_jaw=has_jaw,
        open_mouth={} if has_jaw else {1: 0.7},
    )


def make_result(head: HeadModel, count: int, first_index: int = 0, **changes: object) -> TrackResult:
    generator = np.random.default_rng(5)

    def small(*shape: int, scale: float = 0.1) -> np.ndarray:
        return (generator.standard_normal(shape) * scale).astype(np.float32)

    values = {
        "rotation": small(count, 3, scale=0.05),
        "translation": small(count, 3, scale=0.02) + np.float32([0.03, 0.01, 0.05]),
        "neck_pose": small(count, 3, scale=0.02),
        "jaw_pose": np.abs(small(count, 3)) * np.float32([1, 0, 0]),
        "eyes_pose": small(count, 6),
        "shape": small(head.n_shape, scale=1.0),
        "expr": small(count, head.n_expr, scale=1.0),
        "timestep_id": np.array([f"frame_{first_index + 2 * k:03d}" for k in range(count)]),
        "timestep_index": np.arange(count) * 2 + first_index,
        "n_processed_frames": np.array(count),
        "image_size": np.array(SIZE),
        "head_model": np.array(head.identity),
        "focal_length": np.array([FOCAL], np.float32),
    }
    return TrackResult(**{**values, **changes})


def project(vertices: np.ndarray, frame: dict) -> np.ndarray:
    """(V, 3) -> (V, 2) px by the keys of a transforms frame, as instant-ngp reads them."""
    camera_to_world = np.array(frame["transform_matrix"])
    local = (vertices - camera_to_world[:3, 3]) @ camera_to_world[:3, :3]
    x = frame["fl_x"] * local[:, 0] / -local[:, 2] + frame["cx"]
    y = -frame["fl_y"] * local[:, 1] / -local[:, 2] + frame["cy"]
    return np.stack([x, y], -1)


def fill(points_px: np.ndarray, faces: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) float mask of projected triangles."""
    mask = np.zeros(size, np.uint8)
    for triangle in points_px[faces]:
        cv2.fillConvexPoly(mask, np.round((triangle - 0.5) * 16).astype(np.int32), 255, shift=4)
    return mask.astype(np.float32) / 255


@dataclass
class MemoryCapture:
    """Pictures from arrays: rgb (T, C, H, W, 3) and alpha (T, C, H, W) or None, float in [0, 1]."""

    rgb: np.ndarray
    alpha: np.ndarray | None
    timestep_ids: list[str]
    camera_ids: list[str]
    camera: Camera | None = None
    landmark_set: str = "ibug"
    background_rgb: tuple[float, float, float] | None = None
    loads: list[tuple[int, int]] = field(default_factory=list)

    @property
    def timestep_indices(self) -> list[int]:
        return list(range(len(self.timestep_ids)))

    @property
    def size(self) -> tuple[int, int]:
        return self.rgb.shape[2], self.rgb.shape[3]

    def load(self, timesteps: list[int], cameras: list[int] | None = None) -> FrameBatch:
        pairs = [(t, c) for t in timesteps for c in (cameras or range(len(self.camera_ids)))]
        self.loads += pairs
        alpha = None if self.alpha is None else torch.from_numpy(np.stack([self.alpha[p] for p in pairs]))
        empty = torch.zeros(len(pairs), 0)
        numbers = torch.tensor(pairs)
        rgb = torch.from_numpy(np.stack([self.rgb[p] for p in pairs]))
        return FrameBatch(numbers[:, 0], numbers[:, 1], rgb, alpha, empty[..., None].expand(-1, -1, 2), empty)

    def frame(self, timestep: int, camera: int = 0) -> Frame:
        self.loads.append((timestep, camera))
        found = (None if values is None else values[timestep, camera] for values in (self.rgb, self.alpha))
        rgb, alpha = (None if values is None else np.rint(values * 255).astype(np.uint8) for values in found)
        assert rgb is not None
        return Frame(rgb, alpha)

    def load_landmarks(self) -> tuple[torch.Tensor, torch.Tensor]:
        raise AssertionError("export reads no landmarks")

    def given_camera(self) -> Camera | None:
        return self.camera


class NoRenderer:
    """Stands where no silhouette may be drawn."""

    name = "none"

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"the renderer's {name} was asked for")


def film(vertices: np.ndarray, faces: np.ndarray, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Picture (H, W, 3) and alpha (H, W): a flat head before a flat background, mixed at a soft edge."""
    points, _ = camera.project(torch.from_numpy(vertices).to(camera.fx.dtype))
    alpha = cv2.GaussianBlur(fill(points.numpy(), faces, (camera.height, camera.width)), (3, 3), 0)
    share = alpha[..., None]
    picture = np.rint(FILMED_RGB * share + BEHIND_RGB * (1 - share)).astype(np.float32) / 255
    return picture, np.rint(alpha * 255).astype(np.float32) / 255


def uncalibrated_camera() -> Camera:
    return camera_from_focal(torch.tensor(FOCAL, dtype=torch.float64), *SIZE)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture
def stage() -> SimpleNamespace:
    """The helpers above, for tests that build their own scene."""
    return SimpleNamespace(
        make_head=make_head,
        make_result=make_result,
        MemoryCapture=MemoryCapture,
        NoRenderer=NoRenderer,
        camera=uncalibrated_camera,
        film=film,
        fill=fill,
        project=project,
        size=SIZE,
        focal=FOCAL,
        filmed=FILMED_RGB,
        behind=BEHIND_RGB,
    )
