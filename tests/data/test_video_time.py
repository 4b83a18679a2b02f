"""Time counts from the first video frame, and frames are those that decoding gives."""

import logging
from fractions import Fraction

import numpy as np
import pytest

from vhap.data.extraction import extract_pictures
from vhap.data.rig_extraction import extract_rig_pictures, find_videos
from vhap.data.video import count_frames, frame_times, read_frames
from vhap.util.errors import InputError
from vhap.util.log import get_logger


@pytest.fixture
def said():
    """The lines of the log with their levels."""
    lines = []

    class Listener(logging.Handler):
        def emit(self, record):
            lines.append((record.levelname, record.getMessage()))

    listener = Listener()
    get_logger().addHandler(listener)
    yield lines
    get_logger().removeHandler(listener)


@pytest.mark.parametrize("offset_s", [0.12, 0.72])
@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_video_that_begins_after_its_sound(late_video, offset_s, suffix):
    video, plain = late_video(f"late.{suffix}", offset_s), late_video(f"plain.{suffix}", 0)
    for rate, count in ((25, 10), (10, 4)):
        frames = list(read_frames(video, Fraction(rate)))
        assert len(frames) == count
        for frame, expected in zip(frames, read_frames(plain, Fraction(rate))):
            np.testing.assert_array_equal(frame, expected)
    times, _ = frame_times(video)
    np.testing.assert_allclose(times, np.arange(10) / 25, atol=1e-3)
    assert count_frames(video, Fraction(10)).pictures == 4


def test_a_rig_whose_videos_begin_at_different_times_after_their_sound(late_video, tmp_path):
    (tmp_path / "take").mkdir()
    for name, offset_s in (("left", 0.0), ("right", 0.36)):
        late_video(f"take/{name}.mp4", offset_s)
    assert extract_rig_pictures(find_videos(tmp_path / "take"), tmp_path / "take", 25) == 10
    assert [len(list((tmp_path / "take/images" / name).iterdir())) for name in ("left", "right")] == [10, 10]


@pytest.mark.parametrize("target_fps", [0.001, 1, 1.2])
def test_a_clip_shorter_than_the_time_between_pictures_gives_its_first_frame(make_video, tmp_path, target_fps):
    video = make_video("short.mp4", duration=0.4)
    assert extract_pictures(video, tmp_path / "clip", target_fps, suffix="png") == 1
    (frame,) = read_frames(video, Fraction(1, 1000))
    np.testing.assert_array_equal(frame, next(read_frames(video, Fraction(25))))
    assert count_frames(video, Fraction(1, 1000)).pictures == 1


@pytest.fixture
def begun_late(make_video, tmp_path):
    """A transport stream that was cut in the middle of a group of pictures: its first frames have no key frame."""
    data = make_video("whole.ts", "-c:v", "libx264", "-g", "25", "-bf", "2", duration=4).read_bytes()
    (tmp_path / "cut.ts").write_bytes(data[188 * (len(data) // 188 // 6) :])
    return tmp_path / "cut.ts"


def test_frames_that_cannot_be_decoded_are_named_with_both_numbers(begun_late, make_video, said, tmp_path):
    count = extract_pictures(begun_late, tmp_path / "clip", 25)
    assert count == 75
    (warning,) = [line for level, line in said if level == "WARNING"]
    contained = count_frames(begun_late, Fraction(25)).contained
    assert contained > 75
    assert f"cut.ts: 75 of the {contained} frames" in warning
    said.clear()
    extract_pictures(make_video("whole.mp4", duration=0.4), tmp_path / "whole", 25)
    assert not [line for level, line in said if level == "WARNING"]


def test_a_rigs_count_is_that_of_decoding(begun_late, make_video, tmp_path):
    (tmp_path / "take").mkdir()
    begun_late.rename(tmp_path / "take" / "b.mkv")
    contained = count_frames(tmp_path / "take" / "b.mkv", Fraction(25)).contained
    make_video("take/a.mp4", duration=contained / 25)
    make_video("take/c.mp4", duration=contained / 25)
    with pytest.raises(InputError, match=f"of {contained} frames.*found 75 from camera b"):
        extract_rig_pictures(find_videos(tmp_path / "take"), tmp_path / "take", 25)
    assert not (tmp_path / "take" / "images").exists()
