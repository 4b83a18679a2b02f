from __future__ import annotations

import numpy as np
import pytest
import torch

from vhap.evaluate.window import Window, head_windows, seen_through
from vhap.geometry.cameras import camera_from_focal

SIZE = (60, 80)


def test_windows_hold_the_points_with_a_margin_and_are_of_one_size() -> None:
    points = torch.tensor([[[10.2, 20.0], [30.0, 25.5]], [[70.0, 50.0], [79.5, 59.5]]])
    windows = head_windows(points, torch.ones(2, 2), SIZE)
    assert windows == [Window(18, 8, 12, 24), Window(48, 56, 12, 24)]


@pytest.mark.parametrize("place", [-500.0, 500.0])
def test_a_head_beside_its_picture_has_a_window_within(place) -> None:
    window = head_windows(torch.full((1, 4, 2), place), torch.ones(1, 4), SIZE)[0]
    assert window.of(np.zeros(SIZE)).size >= 1
    assert window.top + window.height <= SIZE[0]
    assert window.left + window.width <= SIZE[1]


@pytest.mark.parametrize(("spoilt", "depth"), [(np.nan, 1.0), (5.0, -1.0), (5.0, np.nan)])
def test_windows_are_whole_pictures_where_it_is_not_known_where_a_head_is(spoilt, depth) -> None:
    points, depths = torch.full((2, 3, 2), 10.0), torch.ones(2, 3)
    points[1, 2, 0], depths[1, 2] = spoilt, depth
    assert head_windows(points, depths, SIZE) == [Window(0, 0, *SIZE)] * 2


def test_cameras_of_windows_see_points_at_the_same_places() -> None:
    cameras = camera_from_focal(torch.tensor([1.5, 2.0]), *SIZE)
    points = torch.randn(2, 9, 3, generator=torch.Generator().manual_seed(0)) * 0.1
    windows = [Window(3, 5, 20, 30), Window(7, 0, 20, 30)]
    seen = seen_through(cameras, windows)
    assert (seen.height, seen.width) == (20, 30)
    moved = cameras.project(points)[0] - torch.tensor([[[5, 3]], [[0, 7]]])
    torch.testing.assert_close(seen.project(points)[0], moved)
