"""PNG files, against readers that know nothing of how they were written."""

from __future__ import annotations

import io

import cv2
import numpy as np
import PIL.Image
import pytest

from vhap.data import png

SHAPES = [(1, 1), (7, 5), (64, 33), (1, 1, 3), (9, 4, 3), (40, 31, 3), (8, 6, 4)]


def pictures(shape: tuple[int, ...]) -> list[np.ndarray]:
    """Noise, one value, and a slope that goes round 255."""
    random = np.random.default_rng(0)
    slope = np.add.outer(3 * np.arange(shape[0]), 5 * np.arange(shape[1])) % 256
    slope = slope.reshape(slope.shape + (1,) * (len(shape) - 2)).astype(np.uint8) * np.ones(shape, np.uint8)
    return [random.integers(0, 256, shape, np.uint8), np.full(shape, 255, np.uint8), slope]


@pytest.mark.parametrize("shape", SHAPES)
def test_pixels_come_back_by_independent_readers(shape):
    pytest.importorskip("isal")
    for picture in pictures(shape):
        content = bytes(png.encode_png(picture))
        np.testing.assert_array_equal(np.asarray(PIL.Image.open(io.BytesIO(content))), picture)
        read = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        order = {2: ..., 3: (..., [2, 1, 0, 3][: shape[-1]])}[picture.ndim]
        np.testing.assert_array_equal(read[order], picture)


def test_parts_of_arrays_are_written_as_they_look():
    picture = pictures((20, 30, 3))[0]
    for part in (picture[3:9, 4:20], picture[..., ::-1], picture.transpose(1, 0, 2)):
        content = bytes(png.encode_png(part))
        np.testing.assert_array_equal(np.asarray(PIL.Image.open(io.BytesIO(content))), part)


def test_numbers_of_sixteen_bits_come_back():
    picture = np.random.default_rng(1).integers(0, 65536, (11, 13), np.uint16)
    read = cv2.imdecode(np.frombuffer(png.encode_png(picture), np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(read, picture)


@pytest.mark.parametrize("shape", [(20, 30), (20, 30, 3), (20, 30, 4)])
def test_without_the_library_the_pixels_are_the_same(shape, monkeypatch):
    picture = pictures(shape)[0]
    monkeypatch.setattr(png, "isal_zlib", None)
    content = bytes(png.encode_png(picture))
    np.testing.assert_array_equal(np.asarray(PIL.Image.open(io.BytesIO(content))), picture)


def test_files_are_about_as_small_as_those_of_opencv():
    pytest.importorskip("isal")
    random = np.random.default_rng(2)
    smooth = cv2.GaussianBlur(random.normal(128, 60, (128, 128, 3)), (0, 0), 6)
    picture = np.clip(smooth + random.normal(0, 2, smooth.shape), 0, 255).astype(np.uint8)
    mask = (smooth[..., 0] > 128).astype(np.uint8) * 255
    for content in (picture, mask):
        assert len(png.encode_png(content)) < 1.25 * len(cv2.imencode(".png", content)[1])
