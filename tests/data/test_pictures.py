"""Reading and writing pictures: any name, any damage."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from vhap.data.pictures import list_pictures, picture_size, read_alpha, read_rgb, write_picture
from vhap.util.errors import InputError

PICTURE = np.random.default_rng(0).integers(0, 255, (12, 17, 3), np.uint8)


def png_of_declared_size(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(100))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("name", [b"plain.png", b"caf\xc3\xa9.png", b"caf\xe9.png", b"a b#%.png"])
def test_a_picture_of_any_name_comes_back(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    write_picture(path, PICTURE)
    np.testing.assert_array_equal(read_rgb(path), PICTURE)
    assert picture_size(path) == (12, 17)
    write_picture(path, PICTURE[..., 0])
    np.testing.assert_array_equal(read_alpha(path), PICTURE[..., 0])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        b"\xff\xd8\xff\xd9",
        png_of_declared_size(60_000, 60_000),
        png_of_declared_size(2_000_000_000, 2),
        png_of_declared_size(0, 0),
        cv2.imencode(".png", PICTURE)[1].tobytes()[:60],
    ],
    ids=["empty", "text", "bare jpeg", "bomb", "too wide", "no pixels", "cut"],
)
def test_what_is_no_whole_picture_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    for read in (read_rgb, read_alpha):
        with pytest.raises(InputError, match=r"readable picture .* at .*a\.png"):
            read(path)


def test_a_cut_jpeg_is_not_filled_with_grey(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    write_picture(path, cv2.resize(PICTURE, (400, 300), interpolation=cv2.INTER_NEAREST))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match="damaged"):
        picture_size(path)
    with pytest.raises(InputError, match="damaged"):
        read_rgb(path)


@pytest.mark.parametrize("suffix", [".bmp", ".BMP", ".tif", ".tiff", ".jpeg"])
def test_every_listed_format_comes_back_and_a_cut_file_does_not(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"00001{suffix}"
    write_picture(path, cv2.resize(PICTURE, (170, 120)))
    assert list_pictures(tmp_path) == {"00001": path}
    assert picture_size(path) == (120, 170)
    assert np.abs(read_rgb(path).astype(int) - cv2.resize(PICTURE, (170, 120))).mean() < (20 if "j" in suffix else 0.1)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    for read in (picture_size, read_rgb):
        with pytest.raises(InputError, match="damaged"):
            read(path)


def test_tiff_keeps_alpha_and_depth_and_turns_upright(tmp_path: Path) -> None:
    rgba = np.dstack([PICTURE, PICTURE[..., 0]])
    write_picture(tmp_path / "a.tif", rgba)
    np.testing.assert_array_equal(read_alpha(tmp_path / "a.tif"), rgba[..., 3])
    (tmp_path / "deep.tif").write_bytes(cv2.imencode(".tif", PICTURE.astype(np.uint16) * 257)[1].tobytes())
    np.testing.assert_array_equal(read_rgb(tmp_path / "deep.tif"), PICTURE[..., ::-1])
    Image.fromarray(PICTURE).save(tmp_path / "turned.tif", tiffinfo={274: 6})
    assert picture_size(tmp_path / "turned.tif") == read_rgb(tmp_path / "turned.tif").shape[:2] == (17, 12)


def test_numbers_that_are_no_colours_are_refused(tmp_path: Path) -> None:
    (tmp_path / "depth.tif").write_bytes(cv2.imencode(".tif", PICTURE.astype(np.float32))[1].tobytes())
    for read in (read_rgb, read_alpha):
        with pytest.raises(InputError, match=r"readable picture .* at .*depth\.tif"):
            read(tmp_path / "depth.tif")


def test_a_folder_of_formats_that_are_not_read_is_not_empty(tmp_path: Path) -> None:
    (tmp_path / "00000.webp").write_bytes(b"any")
    with pytest.raises(InputError, match=r"expected pictures as PNG.*found 1 of another format \(00000\.webp\)"):
        list_pictures(tmp_path)
    write_picture(tmp_path / "00001.png", PICTURE)
    assert list(list_pictures(tmp_path)) == ["00001"]
