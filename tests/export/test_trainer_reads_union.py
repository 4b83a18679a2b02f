"""An avatar trainer's reader, written from the contract alone: angle of view, parameters by timestep, masks."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from vhap.config.export import ExportConfig
from vhap.export.centred_result import centre
from vhap.export.nerf_dataset import ExportSource, export_dataset
from vhap.export.union import combine_exports
from vhap.head.model import HeadParams, pose


def write_sequence(stage, parent: Path, name: str, head, seed: int, **options) -> None:
    result = stage.make_result(head, 4)
    generator = np.random.default_rng(seed)
    result = replace(
        result,
        translation=result.translation + generator.uniform(-0.02, 0.02, 3).astype(np.float32),
        expr=generator.standard_normal(result.expr.shape).astype(np.float32),
        static_offset=np.full((1, head.n_vertices, 3), 0.002, np.float32),
    )
    camera = replace(stage.camera(), cx=stage.camera().cx + 5, cy=stage.camera().cy - 3)
    track = centre(head, result, [camera])
    shots = [stage.film(track.vertices(row).numpy(), head.faces.numpy(), track.cameras[0]) for row in range(4)]
    capture = stage.MemoryCapture(
        rgb=np.stack([shot[0] for shot in shots])[:, None],
        alpha=np.stack([shot[1] for shot in shots])[:, None],
        timestep_ids=[str(name) for name in result.timestep_id],
        camera_ids=["0"],
    )
    config = ExportConfig(Path("run"), parent / name, create_mask_from_mesh=False, **options)
    export_dataset(
        ExportSource(head, result, capture, [camera], [0], [0]), config, parent / name, stage.NoRenderer(), name
    )


class TrainerReader:
    """Reads one dataset folder as trainers do: w, h and camera_angle_x, the principal point taken as the centre."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.frames = {s: self.read(f"transforms_{s}.json")["frames"] for s in ("train", "val", "test")}
        heads = {f["timestep_index"]: f["flame_param_path"] for frames in self.frames.values() for f in frames}
        loaded = {t: dict(np.load(folder / path)) for t, path in heads.items()}
        self.timesteps = sorted(loaded)
        names = ("expr", "rotation", "translation", "neck_pose", "jaw_pose", "eyes_pose")
        stacked = {n: torch.from_numpy(np.concatenate([loaded[t][n] for t in self.timesteps])) for n in names}
        shape, offset = (torch.from_numpy(loaded[0][name]) for name in ("shape", "static_offset"))
        self.params = HeadParams(shape=shape, **stacked, static_offset=offset)

    def read(self, name: str) -> dict:
        return json.loads((self.folder / name).read_text())

    def project(self, vertices: np.ndarray, frame: dict) -> np.ndarray:
        world_to_camera = np.linalg.inv(np.array(frame["transform_matrix"]))
        x, y, z = (vertices @ world_to_camera[:3, :3].T + world_to_camera[:3, 3]).T
        focal = frame["w"] / (2 * math.tan(frame["camera_angle_x"] / 2))
        return np.stack([frame["w"] / 2 - focal * x / z, frame["h"] / 2 + focal * y / z], -1)

    def picture(self, frame: dict, background: int) -> tuple[np.ndarray, np.ndarray]:
        picture = cv2.imread(str(self.folder / frame["file_path"]))[..., ::-1].astype(np.float32)
        mask = cv2.imread(str(self.folder / frame["fg_mask_path"]), cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255
        return picture * mask[..., None] + background * (1 - mask[..., None]), mask


@pytest.mark.parametrize("mode", ["last", "none"])
def test_posed_heads_land_on_the_masks_of_every_sequence(tmp_path: Path, stage, mode: str) -> None:
    head = stage.make_head()
    for number, name in enumerate(("074_A", "074_B", "074_C")):
        write_sequence(stage, tmp_path, name, head, number, center_principal_point=True, background_color="black")
    sources = [tmp_path / name for name in ("074_A", "074_B", "074_C")]
    reader = TrainerReader(combine_exports(sources, tmp_path / "074_UNION", mode))
    assert reader.timesteps == list(range(12))
    vertices = pose(head, reader.params).numpy()
    frames = [frame for part in reader.frames.values() for frame in part]
    assert len(frames) == 12
    for frame in frames:
        picture, mask = reader.picture(frame, 255)
        drawn = stage.fill(
            reader.project(vertices[frame["timestep_index"]], frame), head.faces.numpy(), (frame["h"], frame["w"])
        )
        assert picture.shape == (frame["h"], frame["w"], 3)
        inside, seen = drawn > 0.5, mask > 0.5
        assert (inside & seen).sum() / (inside | seen).sum() > 0.97
        assert (picture[mask == 0] == 255).all()
        assert np.abs(np.median(picture[mask == 1], axis=0) - stage.filmed).max() <= 1
