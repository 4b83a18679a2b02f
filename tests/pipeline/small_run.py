"""A finished run of a few small frames, made without tracking."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from vhap.config.data import DataConfig
from vhap.config.loading import save_config
from vhap.config.track import ExperimentConfig, ModelConfig, TrackConfig
from vhap.data.results import TrackResult, save_result
from vhap.export.centred_result import centre, tracked_cameras
from vhap.export.mask import Silhouettes
from vhap.render.backend import get_backend
from vhap.render.topology import build_topology

SIZE = (120, 160)
COUNT = 5
OFFSETS = (0.0, 0.02, -0.02, 0.03, 0.01)


def make_run(root: Path, head, result: TrackResult) -> Path:
    """Pictures with alpha maps of a result, and its run folder; the head's shade of red tells the frames apart."""
    folder = root / "person"
    for name in ("images", "alpha_maps"):
        (folder / name).mkdir(parents=True)
    camera = tracked_cameras(result, None, SIZE)[0]
    track = centre(head, result, [camera])
    silhouettes = Silhouettes(get_backend("auto"), build_topology(head.faces, head.uv_faces))
    for row in range(COUNT):
        mask = silhouettes.draw(track.vertices(row), track.cameras[0])
        picture = np.full((*SIZE, 3), (40, 150, 60), np.uint8)
        picture[mask > 0.5] = (100 + 20 * row, 90, 80)
        cv2.imwrite(str(folder / f"images/{row:06d}.png"), picture[..., ::-1])
        cv2.imwrite(str(folder / f"alpha_maps/{row:06d}.png"), np.rint(mask * 255).astype(np.uint8))
    return write_run(root / "out", root, result)


def make_result(head) -> TrackResult:
    def rows(width: int, *values: float) -> np.ndarray:
        return np.tile(np.float32([*values, *[0] * (width - len(values))]), (COUNT, 1))

    translation = rows(3, 0, -0.02, -0.1)
    translation[:, 0] = OFFSETS
    return TrackResult(
        rotation=rows(3, 0.1, 0.2),
        translation=translation,
        neck_pose=rows(3),
        jaw_pose=rows(3, 0.05),
        eyes_pose=rows(6),
        shape=np.linspace(-0.5, 0.5, head.n_shape).astype(np.float32),
        expr=rows(head.n_expr),
        timestep_id=np.array([f"{k:06d}" for k in range(COUNT)]),
        timestep_index=np.arange(COUNT),
        n_processed_frames=np.array(COUNT),
        image_size=np.array(SIZE),
        head_model=np.array(head.identity),
        focal_length=np.float32([1.9]),
    )


def write_run(output: Path, root: Path, result: TrackResult, subset: str | None = None) -> Path:
    run = output / "2026-01-02_03-04-05"
    run.mkdir(parents=True)
    data = DataConfig(root, "person", subset=subset, use_landmark=False, landmark_source="face-alignment")
    save_config(run / "config.yml", TrackConfig(data, ExperimentConfig(output), ModelConfig(head="builtin")))
    save_result(run / "tracked_flame_params_0.npz", result)
    return output
