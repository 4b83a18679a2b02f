"""Finished runs made without tracking, exported in every layout: a head in FLAME's files, and the built-in one."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from vhap.config.data import DataConfig
from vhap.config.loading import save_config
from vhap.config.track import ExperimentConfig, ModelConfig, TrackConfig
from vhap.data.results import TrackResult, save_result
from vhap.export.centred_result import centre, tracked_cameras
from vhap.export.mask import Silhouettes
from vhap.head.model import HeadModel
from vhap.pipeline.heads import configured_head
from vhap.render.backend import get_backend
from vhap.render.topology import build_topology

SIZE, COUNT, FOCAL = (120, 160), 12, 1.9
RUN = "2026-01-02_03-04-05"
NECK_RAD = 0.03


def moved_result(head: HeadModel, count: int = COUNT) -> TrackResult:
    """A head that turns, nods, talks and looks about, well inside the picture; eyes that differ."""
    rng, time = np.random.default_rng(4), np.linspace(0, 2 * np.pi, count)

    def rows(*columns: np.ndarray) -> np.ndarray:
        return np.stack(columns, 1).astype(np.float32)

    zero = np.zeros(count)
    return TrackResult(
        rotation=rows(0.15 * np.sin(time), 0.3 * np.cos(time), 0.05 * np.sin(2 * time)),
        translation=rows(0.02 * np.sin(time), -0.01 + 0.01 * np.cos(time), -0.1 + 0.02 * np.sin(time)),
        neck_pose=rows(NECK_RAD * np.cos(time), zero, zero),
        jaw_pose=rows(0.1 + 0.1 * np.sin(3 * time), zero, zero),
        eyes_pose=rows(zero, 0.1 * np.sin(time), zero, zero, 0.2 * np.sin(time), 0.1 * np.cos(time)),
        shape=(0.5 * rng.standard_normal(head.n_shape)).astype(np.float32),
        expr=(0.2 * rng.standard_normal((count, head.n_expr))).astype(np.float32),
        timestep_id=np.array([f"{k:06d}" for k in range(count)]),
        timestep_index=np.arange(count),
        n_processed_frames=np.array(count),
        image_size=np.array(SIZE),
        head_model=np.array(head.identity),
        focal_length=np.float32([FOCAL]),
    )


def write_run(root: Path, model: ModelConfig, count: int = COUNT, **changes: object) -> Path:
    """The output folder of a run whose pictures show the head, in another shade of red in every frame. changes: of the
    result."""
    torch.set_num_threads(1)
    head = configured_head(model)
    result = moved_result(head, count)
    for name, value in changes.items():
        object.__setattr__(result, name, value)
    camera = tracked_cameras(result, None, SIZE)[0]
    track = centre(head, result, [camera], to_origin=False)
    silhouettes = Silhouettes(get_backend("auto"), build_topology(head.faces, head.uv_faces))
    for name in ("images", "alpha_maps"):
        (root / "person" / name).mkdir(parents=True)
    for row in range(count):
        mask = silhouettes.draw(track.vertices(row), camera)
        picture = np.full((*SIZE, 3), (40, 150, 60), np.uint8)
        picture[mask > 0.02] = (shade(row), 120, 100)
        cv2.imwrite(str(root / f"person/images/{row:06d}.png"), picture[..., ::-1])
        cv2.imwrite(str(root / f"person/alpha_maps/{row:06d}.png"), np.rint(mask * 255).astype(np.uint8))
    run = root / "out" / RUN
    run.mkdir(parents=True)
    data = DataConfig(root, "person", use_landmark=False, landmark_source="face-alignment")
    save_config(run / "config.yml", TrackConfig(data, ExperimentConfig(root / "out"), model))
    save_result(run / "tracked_flame_params_0.npz", result)
    return root / "out"


def shade(row: int) -> int:
    return 140 + 8 * (row % 12)


def shown_row(red: float) -> int:
    """Which frame a picture is, by its shade (of 12)."""
    return round((red - 140) / 8)


def filled(points_px: np.ndarray, faces: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool: the projected triangles."""
    drawn = np.zeros(size, np.uint8)
    for triangle in np.round((points_px - 0.5) * 16).astype(np.int32)[faces]:
        cv2.fillConvexPoly(drawn, triangle, 1, shift=4)
    return drawn > 0


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union."""
    return float((first & second).sum() / (first | second).sum())
