import errno
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from vhap.data import extraction
from vhap.data.extraction import downsample_pictures, extract_pictures
from vhap.data.pictures import list_pictures, read_rgb, write_picture
from vhap.data.video import read_frames
from vhap.util import threads
from vhap.util.errors import InputError


def files(folder: Path) -> dict[str, bytes]:
    """All but the hidden records of what was made from what."""
    found = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name[0] != "."]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


@pytest.fixture
def video(make_video):
    return make_video("clip.mp4", duration=0.4)


def test_layout(video, tmp_path):
    assert extract_pictures(video, tmp_path / "clip", 25, (2, 4)) == 10
    assert sorted(path.name for path in (tmp_path / "clip").iterdir()) == [
        ".made_from.jsonl", "extraction.json", "images", "images_2", "images_4",
    ]  # fmt: skip
    names = [f"{index:06d}.jpg" for index in range(10)]
    for folder, size in (("images", (48, 64)), ("images_2", (24, 32)), ("images_4", (12, 16))):
        assert sorted(path.name for path in (tmp_path / "clip" / folder).iterdir()) == names
        assert read_rgb(tmp_path / "clip" / folder / names[0]).shape[:2] == size


def test_png_is_exact(video, tmp_path):
    extract_pictures(video, tmp_path / "clip", 25, (), "png")
    paths = list_pictures(tmp_path / "clip" / "images").values()
    assert len(paths) == 10
    for path, frame in zip(paths, read_frames(video, Fraction(25)), strict=True):
        np.testing.assert_array_equal(read_rgb(path), frame)


def test_second_call_changes_nothing(video, tmp_path, monkeypatch):
    extract_pictures(video, tmp_path / "clip", 25, (2,))
    before = files(tmp_path / "clip")
    monkeypatch.setattr(extraction, "read_frames", lambda *_: pytest.fail("decoded again"))
    assert extract_pictures(video, tmp_path / "clip", 25, (2,)) == 10
    assert files(tmp_path / "clip") == before


@pytest.mark.parametrize("lost", ["images/000003.jpg", "images_2/000007.jpg", "images_2", "extraction.json"])
def test_completed_pass_equals_uninterrupted(video, tmp_path, lost):
    extract_pictures(video, tmp_path / "clip", 25, (2,))
    whole = files(tmp_path / "clip")
    target = tmp_path / "clip" / lost
    for path in list(target.iterdir()) if target.is_dir() else [target]:
        path.unlink()
    extract_pictures(video, tmp_path / "clip", 25, (2,))
    completed = files(tmp_path / "clip")
    assert completed.keys() == whole.keys()
    if not lost.startswith("images_2"):
        assert completed == whole


def test_killed_in_the_middle_leaves_nothing_that_looks_complete(video, tmp_path, monkeypatch):
    extract_pictures(video, tmp_path / "whole", 25)

    def dying(*arguments):
        yield from list(read_frames(*arguments))[:4]
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(extraction, "read_frames", dying)
        with pytest.raises(KeyboardInterrupt):
            extract_pictures(video, tmp_path / "clip", 25)
    assert not (tmp_path / "clip" / "images").exists()
    extract_pictures(video, tmp_path / "clip", 25)
    assert files(tmp_path / "clip") == files(tmp_path / "whole")


def test_pictures_do_not_depend_on_the_threads(video, tmp_path, monkeypatch):
    found = []
    for count in (1, 5):
        monkeypatch.setattr(threads, "_threads", count)
        folder = tmp_path / f"{count}"
        extract_pictures(video, folder, 25, (2, 8))
        found.append(files(folder))
        (folder / "images_2" / "000004.jpg").unlink()
        extract_pictures(video, folder, 25, (2, 4, 8))
        assert len(list_pictures(folder / "images_4")) == 10
    assert found[0] == found[1]
    assert len(found[0]) == 31


def test_a_disk_that_is_full_while_coding_is_one_line(video, tmp_path, monkeypatch):
    def full(path, picture):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(extraction, "write_picture", full)
    with pytest.raises(InputError, match="disk full"):
        extract_pictures(video, tmp_path / "clip", 25)
    assert not (tmp_path / "clip").exists()


def test_truncated_video_leaves_nothing(make_video, tmp_path):
    video = make_video("cut.mp4", "-movflags", "faststart", duration=4)
    video.write_bytes(video.read_bytes()[: video.stat().st_size * 2 // 3])
    with pytest.raises(InputError, match="damage"):
        extract_pictures(video, tmp_path / "clip", 25, (2,))
    assert not (tmp_path / "clip").exists()


def test_other_frame_rate_is_refused(video, tmp_path):
    extract_pictures(video, tmp_path / "clip", 25)
    before = files(tmp_path / "clip")
    with pytest.raises(InputError, match="remove the folder"):
        extract_pictures(video, tmp_path / "clip", 10)
    assert files(tmp_path / "clip") == before


def test_own_pictures_are_never_replaced(video, tmp_path):
    write_picture(tmp_path / "clip" / "images" / "holiday.jpg", np.zeros((8, 8, 3), np.uint8))
    before = files(tmp_path / "clip")
    with pytest.raises(InputError, match="holiday"):
        extract_pictures(video, tmp_path / "clip", 25)
    assert files(tmp_path / "clip") == before


def test_full_disk_is_seen_before_decoding(video, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(extraction.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match="free some space"):
        extract_pictures(video, tmp_path / "clip", 25)
    assert not (tmp_path / "clip").exists()


def test_downsampling_is_the_mean_of_each_block(sequence):
    picture = np.random.default_rng(0).integers(0, 256, (16, 24, 3), np.uint8)
    write_picture(sequence / "images" / "000000.png", picture)
    downsample_pictures(sequence, (4,))
    blocks = picture.reshape(4, 4, 6, 4, 3).astype(float).mean((1, 3))
    assert np.abs(read_rgb(sequence / "images_4" / "000000.png") - blocks).max() <= 0.51


def test_record_is_plain_json(video, tmp_path):
    extract_pictures(video, tmp_path / "clip", 25)
    assert json.loads((tmp_path / "clip" / "extraction.json").read_text())["pictures"] == 10


@pytest.mark.parametrize(
    "changes",
    [
        {"fps": 25},
        {"fps": "1/0"},
        {"fps": "-5"},
        {"fps": "many"},
        {"fps": "1e400"},
        {"pictures": -1},
        {"pictures": "10"},
        {"cameras": {"a": {"video": "a.mp4"}}},
    ],
)
def test_damaged_record_is_one_line(video, tmp_path, changes):
    extract_pictures(video, tmp_path / "clip", 25)
    path = tmp_path / "clip" / "extraction.json"
    record = json.loads(path.read_text())
    assert extraction.extracted_fps(tmp_path / "clip") == 25
    path.write_text(json.dumps({**record, **changes}))
    before = files(tmp_path / "clip")
    with pytest.raises(InputError, match=r"extraction\.json"):
        extraction.extracted_fps(tmp_path / "clip")
    with pytest.raises(InputError):
        extract_pictures(video, tmp_path / "clip", 25)
    assert files(tmp_path / "clip") == before


def test_record_without_a_count_is_one_line(video, tmp_path):
    extract_pictures(video, tmp_path / "clip", 25)
    path = tmp_path / "clip" / "extraction.json"
    record = json.loads(path.read_text())
    del record["pictures"]
    path.write_text(json.dumps(record))
    with pytest.raises(InputError, match="extract again"):
        extract_pictures(video, tmp_path / "clip", 25)
