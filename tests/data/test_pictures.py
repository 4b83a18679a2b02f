"""Reading and writing pictures: any name, any damage."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from vhap.data.pictures import picture_size, read_alpha, read_rgb, write_picture
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
        with pytest.raises(InputError, match=r"readable PNG or JPEG at .*a\.png"):
            read(path)


def test_a_cut_jpeg_is_not_filled_with_grey(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    write_picture(path, cv2.resize(PICTURE, (400, 300), interpolation=cv2.INTER_NEAREST))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match="damaged"):
        picture_size(path)
    with pytest.raises(InputError, match="damaged"):
        read_rgb(path)
