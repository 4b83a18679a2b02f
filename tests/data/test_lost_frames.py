from __future__ import annotations

import numpy as np
import pytest

from vhap.data.lost_frames import (
    CONSTANT,
    LONG,
    LONG_AT_ENDS,
    NO_MATTE,
    OUTSIDE,
    SIDE,
    head_in_picture,
    picture_reason,
    small_picture,
    without_face,
)
from vhap.data.pictures import shrink

HEIGHT, WIDTH = 270, 480
HEAD = np.stack(np.meshgrid(np.linspace(0.4, 0.6, 9), np.linspace(0.3, 0.7, 9)), -1).reshape(-1, 2)
BEFORE = np.ones(len(HEAD))


def picture(*, level: float = 0.5, noise: float = 0.0, face: int = 0) -> np.ndarray:
    """Flat, with noise, and a lighter square of so many pixels where the head is."""
    rgb = np.full((HEIGHT, WIDTH, 3), level, np.float32)
    rgb += np.random.default_rng(0).normal(0, noise, rgb.shape).astype(np.float32)
    rows, columns = (slice(side // 2 - face // 2, side // 2 + face // 2) for side in (HEIGHT, WIDTH))
    rgb[rows, columns, 0] += 0.4
    return rgb.clip(0, 1)


def matte(left: float, right: float) -> np.ndarray:
    """The columns between two shares of the width."""
    alpha = np.zeros((HEIGHT, WIDTH), np.float32)
    alpha[:, round(left * WIDTH) : round(right * WIDTH)] = 1
    return alpha


def moved(shift: float) -> np.ndarray:
    """The head to the right, in widths of the picture."""
    return HEAD + np.array([shift, 0])


def reason(rgb: np.ndarray, alpha: np.ndarray | None, points: np.ndarray = HEAD, depth: np.ndarray = BEFORE) -> str:
    small = small_picture(rgb, alpha)
    return picture_reason(small, head_in_picture(small, points, depth))


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_pictures_of_one_colour_show_nothing_also_with_noise(level):
    assert reason(picture(level=level), None) == CONSTANT
    assert reason(picture(level=level, noise=0.01), matte(0, 1)) == CONSTANT


def test_a_small_face_is_something_also_in_one_channel():
    assert reason(picture(face=14), None) == ""
    assert reason(picture(level=0.0, face=14), None) == ""


def test_the_head_must_be_in_view():
    busy = picture(face=100)
    assert reason(busy, None, moved(0.6)) == OUTSIDE
    assert reason(busy, None, HEAD, -BEFORE) == OUTSIDE
    assert reason(busy, None, np.full_like(HEAD, np.nan)) == OUTSIDE
    assert reason(busy, None, moved(0.45)) == ""


def test_a_matte_is_kept_small_and_whole():
    noise = np.random.default_rng(0).random((HEIGHT, WIDTH)).astype(np.float32)
    for alpha in (matte(0.35, 0.65), noise):
        kept = small_picture(picture(), alpha)
        expected = np.rint(shrink(alpha, (SIDE * HEIGHT // WIDTH, SIDE)) * 255).astype(np.uint8)
        np.testing.assert_array_equal(kept.alpha, expected)
    assert len(small_picture(picture(), matte(0.35, 0.65)).packed) < expected.size // 10
    assert small_picture(picture(), None).alpha is None


def test_the_matte_must_cover_some_of_the_head():
    busy = picture(face=100)
    assert reason(busy, matte(0, 0)) == NO_MATTE
    assert reason(busy, matte(0.7, 1)) == NO_MATTE
    assert reason(busy, matte(0.35, 0.65)) == ""
    assert reason(busy, matte(0.35, 0.45)) == ""
    assert reason(busy, matte(0, 1), moved(0.45)) == ""


def test_a_matte_of_a_head_of_a_few_pixels_covers_it():
    points = 0.5 + (HEAD - 0.5) * [0.1, 0.2]
    alpha = np.zeros((HEIGHT, WIDTH), np.float32)
    alpha[124:147, 235:245] = 1
    assert reason(picture(face=14), alpha, points) == ""
    assert reason(picture(face=14), np.zeros_like(alpha), points) == NO_MATTE


def lost_by(text: str, covered: bool, strange: bool | None) -> str:
    """One letter a frame: f a face, - none; the same with x where the frame is lost."""
    found = np.array([letter == "f" for letter in text])
    everywhere = np.ones(len(text), bool)
    lost = without_face(found, everywhere & covered, None if strange is None else everywhere & strange)
    return "".join("x" if gone else letter for letter, gone in zip(text, lost, strict=True))


def test_short_misses_of_a_head_that_the_matte_covers_are_kept():
    for strange in (None, False, True):
        assert lost_by("ff---ff-f", covered=True, strange=strange) == "ff---ff-f"


def test_frames_that_look_like_the_head_are_kept_however_many():
    assert lost_by("-" * 40 + "f" + "-" * 40, covered=False, strange=False) == "-" * 40 + "f" + "-" * 40


def test_frames_that_do_not_look_like_the_head_are_lost_at_the_ends_in_long_rows_and_without_a_matte():
    assert lost_by("--ff-", covered=True, strange=True) == "xxffx"
    assert lost_by("f--f", covered=False, strange=True) == "fxxf"
    long = "-" * (LONG + 1)
    assert lost_by(f"f{long}f", covered=True, strange=True) == f"f{'x' * len(long)}f"


def test_without_an_albedo_long_rows_are_lost_that_no_matte_covers():
    before, between = "-" * (LONG_AT_ENDS + 1), "-" * (LONG + 1)
    clip = f"{before}ff{between}f--f-"
    assert lost_by(clip, covered=False, strange=None) == f"{'x' * len(before)}ff{'x' * len(between)}f--f-"
    assert lost_by(clip, covered=True, strange=None) == clip
