"""What derived files were made from: stale ones are found, copies of a folder and a user's own files are not."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from vhap.data import provenance
from vhap.data.extraction import downsample_pictures, extract_pictures
from vhap.data.pictures import list_pictures, read_alpha, read_rgb, write_picture
from vhap.data.provenance import RECORD, Origin, Provenance, content_digest
from vhap.detect.matting import matte_pictures
from vhap.util.errors import InputError


class Brightness:
    """A matting whose alpha is the red channel, plus a constant."""

    is_recurrent = False

    def __init__(self, plus: int = 0) -> None:
        self.plus, self.calls = plus, 0

    def alpha(self, picture: np.ndarray) -> np.ndarray:
        self.calls += 1
        return picture[..., 0] + np.uint8(self.plus)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("VHAP_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def video(make_video) -> Path:
    return make_video("clip.mp4", duration=0.4)


@pytest.fixture
def folder(tmp_path) -> Path:
    for index in range(4):
        paint(tmp_path / "take", index, 10 * index)
    return tmp_path / "take"


def paint(folder: Path, index: int, value: int) -> None:
    write_picture(folder / "images" / f"{index:06d}.png", np.full((8, 12, 3), value, np.uint8))


def matte(folder: Path, matting: Brightness | None = None, **options: str) -> int:
    return matte_pictures(
        list_pictures(folder / "images"), folder / "alpha_maps", matting or Brightness(), folder, options
    )


def values(folder: Path) -> list[int]:
    return [int(read_alpha(path)[0, 0]) for path in list_pictures(folder / "alpha_maps").values()]


def test_only_maps_of_changed_pictures_are_made_again(folder):
    assert (matte(folder), matte(folder)) == (4, 0)
    paint(folder, 2, 99)
    assert matte(folder) == 1
    assert values(folder) == [0, 10, 99, 30]


def test_a_picture_of_the_same_size_and_time_is_told_by_its_content(folder):
    path = folder / "images" / "000001.png"
    matte(folder)
    before, status = path.read_bytes(), path.stat()
    paint(folder, 1, 77)
    path.write_bytes(path.read_bytes()[: len(before)].ljust(len(before), b"\0"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert matte(folder) == 1


def test_a_copied_folder_is_not_stale(folder, tmp_path):
    matte(folder)
    shutil.copytree(folder, tmp_path / "copy", copy_function=shutil.copy)
    assert matte(tmp_path / "copy") == 0


def test_options_that_differ_make_maps_again(folder):
    matte(folder, method="a", person="1")
    assert matte(folder, method="a", person="1") == 0
    assert matte(folder, method="a", person="2") == 4


def test_automatic_choice_keeps_what_another_method_made(folder):
    matte(folder, method="a")
    pictures = list_pictures(folder / "images")
    keep = partial(matte_pictures, pictures, folder / "alpha_maps", Brightness(), folder, {"method": "b"}, True)
    assert keep() == 0
    paint(folder, 0, 50)
    assert keep() == 1


@pytest.mark.parametrize("record", [True, False])
def test_a_users_own_maps_stay(folder, record):
    """Without any record, and edited ones that ours stood in place of."""
    if record:
        matte(folder)
    own = np.full((8, 12), 200, np.uint8)
    for index in range(4):
        write_picture(folder / "alpha_maps" / f"{index:06d}.png", own + np.uint8(index))
    for index in range(4):
        paint(folder, index, 90)
    assert matte(folder) == 0
    assert values(folder) == [200, 201, 202, 203]


def test_of_a_recurrent_network_all_later_maps_are_made_again(folder):
    recurrent = Brightness()
    recurrent.is_recurrent = True
    matte(folder, recurrent)
    paint(folder, 1, 55)
    assert matte(folder, recurrent) == 3


@pytest.mark.parametrize("before_move", [True, False])
def test_a_kill_leaves_record_and_file_consistent(folder, monkeypatch, before_move):
    matte(folder)
    paint(folder, 2, 99)
    replace = os.replace

    def dies(source, target):
        if Path(target).name != "000002.png":
            return replace(source, target)
        if not before_move:
            replace(source, target)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", dies)
    with pytest.raises(KeyboardInterrupt):
        matte(folder)
    monkeypatch.undo()
    assert matte(folder) == int(before_move)
    assert values(folder) == [0, 10, 99, 30]


def test_a_line_cut_short_and_rubbish_count_as_none(folder):
    matte(folder)
    path = folder / RECORD
    path.write_bytes(b"[]\n{}\nnull\n\xff\n" + b"[" * 5000 + path.read_bytes() + b'{"file": "alpha_maps/0000')
    paint(folder, 0, 44)
    assert matte(folder) == 1
    assert matte(folder) == 0


def test_digests_of_files_at_rest_are_kept(folder, monkeypatch):
    monkeypatch.setattr(provenance, "SETTLED_S", 0.0)
    matte(folder)
    paths = list(list_pictures(folder / "images").values())
    expected = Provenance(folder).digests(paths)
    read: list[Path] = []
    monkeypatch.setattr(provenance, "content_digest", lambda path: read.append(path) or content_digest(path))
    assert Provenance(folder).digests(paths) == expected
    assert read == []
    paint(folder, 3, 1)
    assert Provenance(folder).digests(paths) != expected
    assert read == [paths[3]]


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"images/000000.png": [1]}', b'{"images/000000.png": null}', b"\xff"]
)
def test_a_damaged_cache_is_none(folder, content):
    cache = provenance._cache_file(folder)
    cache.parent.mkdir(parents=True)
    cache.write_bytes(content)
    paths = list(list_pictures(folder / "images").values())
    assert Provenance(folder).digests(paths) == {path: content_digest(path) for path in paths}


def test_parts_of_a_large_file_tell_it_apart(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "WHOLE_BYTES", 1 << 12)
    path = tmp_path / "video"
    path.write_bytes(bytes(1 << 16))
    before = content_digest(path)
    assert content_digest(path) == before
    for place in (0, (1 << 16) - 1):
        content = bytearray(1 << 16)
        content[place] = 1
        path.write_bytes(content)
        assert content_digest(path) != before


def test_smaller_copies_follow_their_pictures(folder):
    downsample_pictures(folder, (2,))
    paint(folder, 1, 200)
    downsample_pictures(folder, (2,))
    assert [int(read_rgb(path)[0, 0, 0]) for path in list_pictures(folder / "images_2").values()] == [0, 200, 20, 30]


def test_smaller_copies_of_another_format_are_replaced(folder):
    downsample_pictures(folder, (2,))
    (folder / "images" / "000001.png").unlink()
    write_picture(folder / "images" / "000001.jpg", np.full((8, 12, 3), 200, np.uint8))
    downsample_pictures(folder, (2,))
    assert [path.name for path in list_pictures(folder / "images_2").values()][1] == "000001.jpg"


def test_own_smaller_copies_stay(folder):
    write_picture(folder / "images_2" / "000000.png", np.full((4, 6, 3), 3, np.uint8))
    downsample_pictures(folder, (2,))
    paint(folder, 0, 200)
    downsample_pictures(folder, (2,))
    assert int(read_rgb(folder / "images_2" / "000000.png")[0, 0, 0]) == 3


def test_extraction_records_its_smaller_copies(video, tmp_path):
    extract_pictures(video, tmp_path / "clip", 25, (2,))
    copies, pictures = (list_pictures(tmp_path / "clip" / name) for name in ("images_2", "images"))
    made = Provenance(tmp_path / "clip")
    assert made.origins(copies).keys() == pictures.keys()
    assert made.stale(copies, pictures) == []
    write_picture(pictures["000003"], np.zeros_like(read_rgb(pictures["000003"])))
    assert Provenance(tmp_path / "clip").stale(copies, pictures) == ["000003"]


def test_another_video_of_the_same_name_and_size_is_refused(video, tmp_path):
    extract_pictures(video, tmp_path / "clip", 25)
    content = bytearray(video.read_bytes())
    content[-1] ^= 1
    video.write_bytes(content)
    with pytest.raises(InputError, match="digest"):
        extract_pictures(video, tmp_path / "clip", 25)


def test_what_was_made_of_pictures_that_are_gone_is_kept(folder):
    """Only smaller copies are left: the maps were made of the pictures at full size."""
    matte(folder)
    (folder / "images").rename(folder / "images_2")
    for index in range(4):
        write_picture(folder / "images_2" / f"{index:06d}.png", np.full((4, 6, 3), 10 * index, np.uint8))
    maps, copies = (list_pictures(folder / name) for name in ("alpha_maps", "images_2"))
    assert Provenance(folder).stale(maps, copies) == []


def test_origin_is_read_back(folder):
    target, made = folder / "alpha_maps" / "000000.png", Provenance(folder)
    origin = Origin(made.sources(list_pictures(folder / "images"))["000000"], {"method": "a"})
    made.write(target, origin, lambda path: path.write_bytes(b"content"))
    assert Provenance(folder).origins({"000000": target}) == {"000000": origin}


def test_threads_that_write_at_the_same_time_leave_whole_lines(folder):
    made = Provenance(folder)

    def write(index: int) -> None:
        made.write(
            folder / "alpha_maps" / f"{index:06d}.png", Origin("x y", {"n": f"{index}"}), partial(paint_one, index)
        )

    def paint_one(index: int, path: Path) -> None:
        write_picture(path, np.full((8, 12), index, np.uint8))

    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(write, range(60)))) == 60
    found = Provenance(folder).origins(list_pictures(folder / "alpha_maps"))
    assert {name: origin.options for name, origin in found.items()} == {f"{i:06d}": {"n": f"{i}"} for i in range(60)}
