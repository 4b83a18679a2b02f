"""Pictures written while tracking runs: which cameras or frames they show, and what of them."""

from __future__ import annotations

from dataclasses import replace

import cv2
import pytest
import torch
from tracked_heads import moving_params

from vhap.config.track import LogConfig
from vhap.data.sample import FrameBatch
from vhap.fit.callbacks import TrainPictures
from vhap.fit.energy import EnergyValue
from vhap.fit.events import StepEvent
from vhap.fit.stages import Stage

SIZE = (8, 6)
STAGE = Stage("rgb", (), True, True, True, 1, None, False, True)


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


def event_of(batch: FrameBatch, step: int = 1) -> StepEvent:
    """The render is darker than the picture by 0.05."""
    energy = EnergyValue(torch.zeros(()), {}, batch.rgb - 0.05)
    return StepEvent(STAGE, step, 1, 1, batch.timesteps.unique(), energy, moving_params(1), batch)


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
    TrainPictures(tmp_path, LogConfig(image_format="png", max_num_views=most)).on_step(
        event_of(batch_of(timesteps, cameras))
    )
    (path,) = tmp_path.iterdir()
    assert path.name == "rgb_000001.png"
    picture = torch.from_numpy(cv2.imread(str(path))).float() / 255
    rows = picture.unflatten(0, (-1, SIZE[0])).unflatten(2, (3, SIZE[1]))[:, 0, :, 0, 0]
    target = torch.tensor(shown) / 40
    expected = torch.stack([target, target - 0.05, torch.full_like(target, 0.2)], 1).clamp(0, 1)
    torch.testing.assert_close(rows, expected, atol=3e-3, rtol=0)


@pytest.mark.parametrize(("interval", "written"), [(1, [3, 4, 5, 6, 7]), (2, [3, 5, 7]), (500, [3])])
def test_pictures_are_written_every_so_many_steps_that_render(tmp_path, interval, written):
    callback, batch = TrainPictures(tmp_path, LogConfig(interval_media=interval)), batch_of(1, 3)
    for step in range(1, 8):
        event = event_of(batch, step)
        callback.on_step(event if step > 2 else replace(event, energy=replace(event.energy, picture=None)))
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"rgb_{step:06d}.jpg" for step in written]
