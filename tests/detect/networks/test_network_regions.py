"""Crops of rotated rectangles: what is where, what is averaged, what stands outside the picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from vhap.detect.networks.regions import Region, crop, crop_as_mediapipe, face_region, whole_picture

SIZE = (40, 60)


@pytest.mark.parametrize("scale", [0.7, 1.0, 2.3, 5.0])
@pytest.mark.parametrize("rotation", [0.0, 0.6, -2.5])
def test_a_crop_shows_what_its_region_says(scale: float, rotation: float) -> None:
    y, x = np.mgrid[:401, :503].astype(np.float32) + 0.5
    picture = np.stack([x, y, x + y], -1)
    region = Region(252.3, 197.8, SIZE[0] * scale, SIZE[1] * scale, rotation)
    found = crop(picture, region, SIZE, True)
    assert found.shape == (SIZE[1], SIZE[0], 3)
    y, x = np.mgrid[: SIZE[1], : SIZE[0]] + 0.5
    places = region.to_picture(np.stack([x / SIZE[0], y / SIZE[1]], -1))
    inside = ((places > 4) & (places < [499, 397])).all(-1)
    assert inside.mean() > 0.8
    # OpenCV rounds places to 1/32 px of what it looks at, which is shrunk by up to 4.
    assert np.abs(found[..., :2] - places)[inside].max() < 0.1
    assert np.abs((found[..., :2] - places)[inside].mean(0)).max() < 0.07


def test_pixels_are_averaged_in_small_crops_of_large_regions() -> None:
    picture = np.zeros((512, 512, 3), np.uint8)
    picture[::2] = 255
    region = Region(256.0, 256.0, 400.0, 400.0)
    assert np.abs(crop(picture, region, (40, 40), True).astype(int) - 127.5).max() < 2
    # Odd sides, so that a shrunk picture ends with a part of a pixel.
    at_border = crop(picture[:, :511], Region(500.0, 256.0, 400.0, 400.0), (40, 40), True)
    assert np.abs(at_border.astype(int) - 127.5).max() < 2


def test_outside_the_picture() -> None:
    picture = np.full((30, 50, 3), 200, np.uint8)
    for cut in (crop, crop_as_mediapipe):
        for region in (
            Region(0.0, 0.0, 40.0, 40.0),
            Region(-300.0, 900.0, 40.0, 40.0, 1.0),
            Region(49.0, 29.0, 9.0, 9.0),
        ):
            assert (cut(picture, region, (20, 20), True) == 200).all(), "as the border"
        black = cut(picture, Region(0.0, 0.0, 40.0, 40.0), (20, 20), False)
        assert (black[12:, 12:] == 200).all()
        assert not black[:8].any()
        assert not cut(picture, Region(-300.0, 900.0, 40.0, 40.0), (20, 20), False).any()


def test_mediapipes_crop_is_the_same_but_for_its_half_pixels() -> None:
    smooth = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (200, 200, 3)).astype(np.uint8), (0, 0), 4)
    region = Region(100.0, 95.0, 120.0, 120.0, 0.4)
    theirs = crop_as_mediapipe(smooth, region, (120, 120), True).astype(int)
    assert np.abs(theirs - crop(smooth, region, (120, 120), True)).max() > 1, "turned about a place half a pixel off"
    upright = Region(100.0, 95.0, 120.0, 120.0)
    same = crop_as_mediapipe(smooth, upright, (120, 120), True)
    np.testing.assert_array_equal(same, crop(smooth, upright, (120, 120), True))


def test_region_of_a_face_is_turned_by_its_eyes() -> None:
    box, left, right = np.array([10.0, 20.0, 50.0, 90.0]), np.array([20.0, 40.0]), np.array([40.0, 60.0])
    region = face_region(box, left, right)
    assert (region.x, region.y, region.width, region.height) == (30.0, 55.0, 105.0, 105.0)
    assert region.rotation == pytest.approx(np.pi / 4)
    line = region.to_picture(np.array([[0.5, 0.5], [1.0, 0.5]]))
    np.testing.assert_allclose(np.diff(line, axis=0)[0] / 52.5, np.sqrt([0.5, 0.5]))


def test_region_of_a_whole_picture() -> None:
    picture = np.zeros((30, 50, 3), np.uint8)
    assert whole_picture(picture) == Region(25.0, 15.0, 50, 30)
    assert whole_picture(picture, is_square=True) == Region(25.0, 15.0, 50, 50)
