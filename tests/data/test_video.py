import tracemalloc
from fractions import Fraction

import numpy as np
import pytest

from vhap.data.video import exact_rate, extraction_rate, probe_video, read_frames
from vhap.util.errors import InputError


@pytest.mark.parametrize(
    ("printed", "exact"),
    [
        (29.97, Fraction(30000, 1001)),
        (23.98, Fraction(24000, 1001)),
        (59.94, Fraction(60000, 1001)),
        (25.0, Fraction(25)),
        (30.0, Fraction(30)),
        (73.0, Fraction(73)),
        (12.5, Fraction(25, 2)),
    ],
)
def test_exact_rate(printed, exact):
    assert exact_rate(printed) == exact


def test_broadcast_rate_is_exact(make_video):
    info = probe_video(make_video("ntsc.mp4", rate="30000/1001", duration=2))
    assert info.fps == Fraction(30000, 1001)
    assert info.size == (48, 64)
    assert info.duration_s == pytest.approx(2.0, abs=0.05)


def test_frame_counts(make_video):
    video = make_video("ntsc.mp4", rate="30000/1001", duration=2)
    info = probe_video(video)
    assert len(list(read_frames(video, extraction_rate(info, 25)))) == 50
    assert len(list(read_frames(video, extraction_rate(info, 60)))) == 60, "no frame is repeated"


def test_rotation_flag_gives_upright_frames(make_video, rotated):
    stored = make_video("plain.mp4", duration=0.2)
    upright, turned = next(read_frames(stored, Fraction(25))), next(read_frames(rotated(stored), Fraction(25)))
    assert turned.shape == (64, 48, 3)
    turns = [np.abs(np.rot90(upright, k).astype(int) - turned).mean() for k in (1, 3)]
    assert min(turns) * 5 < max(turns)


def test_wide_pixels_become_square(make_video):
    assert next(read_frames(make_video("wide.mp4", "-vf", "setsar=2/1"), Fraction(25))).shape == (48, 128, 3)


def test_variable_rate_is_resampled_by_time(make_video):
    # The first half second has every frame, the rest every fifth.
    video = make_video("vfr.mp4", "-vf", "select=lt(n\\,15)+not(mod(n\\,5))", "-fps_mode", "vfr", rate="30", duration=2)
    frames = list(read_frames(video, Fraction(10)))
    reference = list(read_frames(make_video("cfr.mp4", rate="30", duration=2), Fraction(10)))
    assert abs(len(frames) - len(reference)) <= 1
    differences = [np.abs(a.astype(int) - b).mean() for a, b in zip(frames[:5], reference)]
    assert max(differences) < 3


def test_missing_text_empty_and_folder(tmp_path):
    (tmp_path / "text.mp4").write_text("not a video")
    (tmp_path / "empty.mp4").write_text("")
    for name in ("missing.mp4", "text.mp4", "empty.mp4", "."):
        with pytest.raises(InputError, match="expected a video") as caught:
            probe_video(tmp_path / name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("options", [(), ("-movflags", "faststart")])
def test_truncated(make_video, options):
    video = make_video("cut.mp4", *options, duration=4)
    video.write_bytes(video.read_bytes()[: video.stat().st_size * 2 // 3])
    with pytest.raises(InputError, match="damage") as caught:
        list(read_frames(video, probe_video(video).fps))
    assert "\n" not in str(caught.value)


def test_memory_does_not_grow_with_length(make_video):
    video = make_video("long.mp4", size="320x240", duration=4)
    tracemalloc.start()
    count = sum(1 for _ in read_frames(video, Fraction(25)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 100
    assert peak < 5 * 320 * 240 * 3


def test_reader_can_stop_early(make_video):
    frames = read_frames(make_video("long.mp4", size="320x240", duration=4), Fraction(25))
    assert next(frames).shape == (240, 320, 3)
    frames.close()
    assert list(frames) == []
