"""Several recordings as one: order, names, gaps, sizes, and what does not belong together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vhap.data.frame_cache import Frame
from vhap.data.joined import FewFrames, JoinedCapture, rig_of
from vhap.data.sample import FrameBatch
from vhap.geometry.cameras import Camera, camera_from_focal
from vhap.util.errors import InputError


class FakeCapture:
    """Pictures of one colour a frame, with a landmark at a quarter of the width."""

    def __init__(self, colours: list[float], size: tuple[int, int] = (8, 12), **changes: object) -> None:
        self.folder, self.size = Path("data/one"), size
        self.timestep_ids = [f"{row:06d}" for row in range(len(colours))]
        self.timestep_indices = list(range(len(colours)))
        self.camera_ids, self.landmark_set, self.background_rgb = ["0"], "ibug", None
        self.alpha, self.camera = True, None
        self.colours = torch.tensor(colours)
        vars(self).update(changes)

    def load(self, timesteps: list[int], cameras: list[int] | None = None) -> FrameBatch:
        rows = torch.tensor(timesteps)
        points, confidence = self.load_landmarks()
        alpha = torch.ones(len(rows), *self.size) if self.alpha else None
        rgb = self.colours[rows].view(-1, 1, 1, 1).expand(-1, *self.size, 3)
        return FrameBatch(rows, torch.zeros_like(rows), rgb, alpha, points[rows, 0], confidence[rows, 0])

    def frame(self, timestep: int, camera: int = 0) -> Frame:
        value = round(255 * float(self.colours[timestep]))
        return Frame(np.full((*self.size, 3), value, np.uint8), np.full(self.size, 255, np.uint8))

    def load_landmarks(self) -> tuple[torch.Tensor, torch.Tensor]:
        count, (height, width) = len(self.timestep_ids), self.size
        point = torch.tensor([width / 4, height / 2])
        return point.expand(count, 1, 1, 2), torch.ones(count, 1, 1)

    def given_camera(self) -> Camera | None:
        return self.camera


def joined(*captures: FakeCapture) -> JoinedCapture:
    return JoinedCapture([f"s{number}" for number in range(len(captures))], captures)


def test_recordings_follow_each_other_with_a_gap() -> None:
    whole = joined(FakeCapture([0.1, 0.2]), FakeCapture([0.3, 0.4, 0.5]))
    assert whole.timestep_ids == ["s0/000000", "s0/000001", "s1/000000", "s1/000001", "s1/000002"]
    assert whole.timestep_indices == [0, 1, 3, 4, 5]
    assert whole.recordings().tolist() == [0, 0, 1, 1, 1]
    batch = whole.load([4, 0, 1, 2])
    assert batch.timesteps.tolist() == [4, 0, 1, 2]
    torch.testing.assert_close(batch.rgb[:, 0, 0, 0], torch.tensor([0.5, 0.1, 0.2, 0.3]))
    assert batch.alpha is not None
    assert batch.alpha.shape == (4, 8, 12)
    assert whole.load_landmarks()[0].shape == (5, 1, 1, 2)
    assert rig_of(whole) is None


def test_pictures_of_one_shape_come_at_the_smallest_size() -> None:
    whole = joined(FakeCapture([0.1], (16, 24)), FakeCapture([0.2]))
    assert whole.size == (8, 12)
    batch = whole.load([0, 1])
    assert batch.size == (8, 12)
    for row, value in ((0, 26), (1, 51)):
        frame = whole.frame(row)
        assert frame.alpha is not None
        assert (frame.rgb.shape, frame.alpha.shape) == ((8, 12, 3), (8, 12))
        assert (frame.rgb == value).all()
    assert (FewFrames(whole, [1]).frame(0).rgb == 51).all()
    torch.testing.assert_close(batch.landmarks_px[:, 0], torch.tensor([[3.0, 4.0], [3.0, 4.0]]))
    torch.testing.assert_close(whole.load_landmarks()[0][:, 0, 0], torch.tensor([[3.0, 4.0], [3.0, 4.0]]))


def test_known_cameras_are_compared_at_one_size() -> None:
    def camera(focal: float, *size: int) -> Camera:
        return camera_from_focal(torch.tensor(float(focal)), *size).expand(1)

    large, small = FakeCapture([0.1], (16, 24), camera=camera(2, 16, 24)), FakeCapture([0.2], camera=camera(2, 8, 12))
    given = joined(large, small).given_camera()
    assert given is not None
    assert float(given.fx) == pytest.approx(24)
    with pytest.raises(InputError, match="expected one calibration, that of s0, found other cameras in s1"):
        joined(large, FakeCapture([0.2], camera=camera(2.1, 8, 12)))
    with pytest.raises(InputError, match="found other cameras in s1"):
        joined(large, FakeCapture([0.2]))


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (FakeCapture([0.1], (8, 8)), "expected pictures of one shape, 12x8 as in s0, found 8x8 in s1; leave s1 out"),
        (FakeCapture([0.1], camera_ids=["7"]), r"expected the cameras of s0 \(0\) in all sequences, found 7 in s1"),
        (FakeCapture([0.1], alpha=False), "expected alpha maps of all sequences or of none, found none of s1"),
    ],
)
def test_what_does_not_belong_together_is_refused(other: FakeCapture, said: str) -> None:
    with pytest.raises(InputError, match=said):
        joined(FakeCapture([0.1]), other)


def test_few_frames_of_several_recordings() -> None:
    few = FewFrames(joined(FakeCapture([0.1, 0.2]), FakeCapture([0.3, 0.4])), [1, 2])
    assert few.timestep_ids == ["s0/000001", "s1/000000"]
    batch = few.load([1, 0])
    assert batch.timesteps.tolist() == [1, 0]
    torch.testing.assert_close(batch.rgb[:, 0, 0, 0], torch.tensor([0.3, 0.2]))
    assert few.load_landmarks()[1].shape == (2, 1, 1)
