"""Grey pictures are made once for each timestep and its cameras."""

from __future__ import annotations

import torch
from torch import Tensor

from vhap.data.sample import FrameBatch
from vhap.fit.photometric.pictures import Pictures, grey_pictures

HEIGHT, WIDTH, CAMERAS = 12, 16, 3


def batch_of(rows: Tensor) -> FrameBatch:
    """All cameras' pictures of timesteps, which differ."""
    timesteps = rows.repeat_interleave(CAMERAS)
    cameras = torch.arange(CAMERAS).repeat(len(rows))
    level = (0.1 * timesteps + 0.02 * cameras)[:, None, None, None].expand(-1, HEIGHT, WIDTH, 3)
    alpha = torch.ones(len(timesteps), HEIGHT, WIDTH)
    alpha[:, :, :5] = 0
    return FrameBatch(
        timesteps, cameras, level, alpha, torch.zeros(len(timesteps), 1, 2), torch.ones(len(timesteps), 1)
    )


def test_pictures_are_made_once_and_are_those_of_their_camera():
    loaded: list[int] = []

    def load(rows: Tensor) -> FrameBatch:
        loaded.extend(rows.tolist())
        return batch_of(rows)

    pictures = Pictures(load)
    rows, cameras = torch.tensor([1, 4]), [[0, 2], [1]]
    found = pictures.grey(rows, cameras)
    assert [[int(picture.cameras) for picture in shown] for shown in found] == cameras
    assert sorted(loaded) == [1, 4]
    again = pictures.grey(rows, cameras)
    assert sorted(loaded) == [1, 4]
    assert again[0][1] is found[0][1]
    expected = grey_pictures(batch_of(torch.tensor([1])), [2])[0]
    torch.testing.assert_close(found[0][1].planes, expected.planes)
    assert found[0][1].nbytes >= HEIGHT * WIDTH * (3 * 4 + 1 + 3 * 4)


def test_without_room_they_are_made_again():
    loaded: list[int] = []

    def load(rows: Tensor) -> FrameBatch:
        loaded.extend(rows.tolist())
        return batch_of(rows)

    pictures = Pictures(load, max_bytes=1)
    for _ in range(2):
        pictures.grey(torch.tensor([2]), [[0]])
    assert loaded == [2, 2]
