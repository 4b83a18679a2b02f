"""Pictures written while tracking runs: which cameras or frames they show, and what of them."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest
import torch
from tracked_heads import moving_params

from vhap.config.track import LogConfig
from vhap.data.sample import FrameBatch
from vhap.fit.callbacks import TrainPictures
from vhap.fit.events import StepEvent
from vhap.fit.stages import Stage

SIZE = (8, 6)
STAGE = Stage("rgb", "surface", (), True, 1)


def batch_of(timesteps: int, cameras: int) -> FrameBatch:
    """Picture k is of grey level k / 40."""
    count = timesteps * cameras
    grey = torch.arange(count) / 40
    return FrameBatch(
        timesteps=torch.arange(timesteps).repeat_interleave(cameras),
        cameras=torch.arange(cameras).repeat(timesteps),
        rgb=grey.view(-1, 1, 1, 1).expand(count, *SIZE, 3).contiguous(),
        alpha=None,
        landmarks_px=torch.zeros(count, 1, 2),
        confidence=torch.zeros(count, 1),
    )


def written_by(folder: Path, batch: FrameBatch, config: LogConfig, stage: Stage = STAGE, steps: int = 1) -> list[str]:
    """Names of what a stage of so many rounds leaves. The render is darker than the picture by 0.05."""

    def load(rows: torch.Tensor) -> FrameBatch:
        return batch.select(torch.isin(batch.timesteps, rows).nonzero().flatten())

    callback = TrainPictures(folder, config, load, lambda params, shown: shown.rgb - 0.05)
    params = moving_params(len(batch.timesteps.unique()))
    for step in range(1, steps + 1):
        callback.on_step(StepEvent(stage, step, step, steps, batch.timesteps.unique(), 1.0, params))
    callback.on_stage_end(stage, params)
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("timesteps", "cameras", "most", "shown"),
    [
        (1, 16, 3, [0, 8, 15]),
        (2, 16, 3, [0, 8, 15]),
        (2, 5, 3, [0, 2, 4]),
        (1, 2, 3, [0, 1]),
        (16, 1, 3, [0, 8, 15]),
        (1, 1, 3, [0]),
        (1, 16, 1, [8]),
    ],
)
def test_first_middle_and_last_camera_of_a_timestep_are_shown(tmp_path, timesteps, cameras, most, shown):
    config = LogConfig(image_format="png", max_num_views=most)
    assert written_by(tmp_path, batch_of(timesteps, cameras), config) == ["rgb_000001.png"]
    (path,) = tmp_path.iterdir()
    picture = torch.from_numpy(cv2.imread(str(path))).float() / 255
    rows = picture.unflatten(0, (-1, SIZE[0])).unflatten(2, (3, SIZE[1]))[:, 0, :, 0, 0]
    target = torch.tensor(shown) / 40
    expected = torch.stack([target, target - 0.05, torch.full_like(target, 0.2)], 1).clamp(0, 1)
    torch.testing.assert_close(rows, expected, atol=3e-3, rtol=0)


def test_each_photometric_stage_ends_with_one_picture_unless_none_are_wanted(tmp_path):
    batch, landmarks = batch_of(2, 1), Stage("lmk", "landmark_all", (), True, 1)
    assert written_by(tmp_path, batch, LogConfig(), steps=3) == ["rgb_000003.jpg"]
    assert written_by(tmp_path, batch, LogConfig(), landmarks, steps=4) == ["rgb_000003.jpg"]
    assert written_by(tmp_path, batch, LogConfig(interval_media=0), steps=5) == ["rgb_000003.jpg"]
    assert written_by(tmp_path, batch, LogConfig(), steps=0) == ["rgb_000003.jpg"]
