"""Matting by a clean plate: alpha known exactly, scenes and cameras changed between plate and picture."""

import cv2
import numpy as np
import pytest

from vhap.data.pictures import write_picture
from vhap.detect.background_difference import BackgroundDifference, clean_up
from vhap.detect.clean_plate import CleanPlate
from vhap.detect.graph_cut import cut_out
from vhap.detect.matting import make_matting
from vhap.detect.plate_difference import match_exposure, shading, squared_distance
from vhap.synthetic.background import make_background, smooth_noise
from vhap.util.errors import InputError

HEIGHT, WIDTH = 160, 120


@pytest.fixture(scope="module")
def plate():
    return make_background(HEIGHT, WIDTH, 3).numpy().astype(np.float64)


@pytest.fixture(scope="module")
def truth():
    """A head on a neck, (H, W) in [0, 1], antialiased."""
    large = np.zeros((8 * HEIGHT, 8 * WIDTH), np.uint8)
    cv2.ellipse(large, (8 * 60, 8 * 70), (8 * 34, 8 * 46), 0, 0, 360, 255, -1)
    cv2.rectangle(large, (8 * 42, 8 * 100), (8 * 78, 8 * HEIGHT), 255, -1)
    return cv2.resize(large, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA) / 255


@pytest.fixture(scope="module")
def person():
    """Colours of a textured head, (H, W, 3)."""
    blotches = smooth_noise(HEIGHT, WIDTH, 1, (6, 20), np.random.default_rng(0))
    return np.array([0.55, 0.38, 0.3]) * (1 + 0.15 * blotches)


def as_bytes(picture):
    return (255 * picture.clip(0, 1) + 0.5).astype(np.uint8)


def filmed(person, plate, truth):
    return truth[..., None] * person + (1 - truth[..., None]) * plate


def errors(alpha, truth):
    """Mean over the picture and over 10 px along the border."""
    error, inside = np.abs(alpha / 255 - truth), (truth > 0.5).astype(np.uint8)
    distance = np.maximum(*(cv2.distanceTransform(side, cv2.DIST_L2, 5) for side in (inside, 1 - inside)))
    return error.mean(), error[distance <= 5].mean()


def matte(tmp_path, picture, plate):
    write_picture(tmp_path / "plate.png", as_bytes(plate))
    return BackgroundDifference(tmp_path / "plate.png").alpha(as_bytes(picture))


def soft_shadow(truth):
    return cv2.GaussianBlur(np.roll(truth, (6, 6), (0, 1)), (0, 0), 10)[..., None]


@pytest.mark.parametrize("change", ["none", "exposure", "noise", "shadow"])
def test_errors_stay_within_bounds(tmp_path, person, plate, truth, change):
    picture, random = filmed(person, plate, truth), np.random.default_rng(1)
    if change == "exposure":
        picture = picture * (0.85, 0.9, 0.97) + 0.01
    elif change == "noise":
        picture = picture + random.normal(0, 3 / 255, picture.shape)
    elif change == "shadow":
        picture = filmed(person, plate * (1 - 0.2 * soft_shadow(truth)), truth)
    whole, band = errors(matte(tmp_path, picture, plate), truth)
    assert whole <= 0.005
    assert band <= 0.08


def test_an_empty_scene_has_nobody_in_it(tmp_path, plate):
    assert matte(tmp_path, plate + np.random.default_rng(2).normal(0, 2 / 255, plate.shape), plate).max() == 0


def test_a_larger_plate_is_brought_to_the_pictures(tmp_path, person, plate, truth):
    large = cv2.resize(plate, (2 * WIDTH, 2 * HEIGHT), interpolation=cv2.INTER_CUBIC)
    picture = filmed(person, cv2.resize(large, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), truth)
    assert errors(matte(tmp_path, picture, large), truth)[0] <= 0.005
    small = as_bytes(plate)[::2, ::2]
    write_picture(tmp_path / "small.png", small)
    assert CleanPlate(tmp_path / "small.png").at((HEIGHT, WIDTH)).shape == (HEIGHT, WIDTH, 3)


def test_gain_and_offset_are_found_although_a_person_fills_half_the_picture(person, plate, truth):
    gain, offset = np.array([0.7, 0.8, 0.9]), 0.02
    picture = filmed(person, plate, truth) * gain + offset + np.random.default_rng(3).normal(0, 0.01, plate.shape)
    matched, noise = match_exposure(picture.astype(np.float32), plate.astype(np.float32))
    assert np.abs(matched - (plate * gain + offset)).mean() < 0.003
    assert noise == pytest.approx(0.01, rel=0.25)


def test_distance_is_of_noise_where_the_scene_is_seen(plate):
    picture = plate + np.random.default_rng(4).normal(0, 0.01, plate.shape)
    flat = np.full_like(plate, 0.5).astype(np.float32)
    assert squared_distance((flat + picture - plate).astype(np.float32), flat, 0.01, 0).mean() == pytest.approx(3, 0.02)


def test_shading_follows_a_soft_shadow(plate, truth):
    dark = 1 - 0.3 * soft_shadow(truth)
    found = shading((plate * dark).astype(np.float32), plate.astype(np.float32), 1 / 255)
    assert np.abs(found - dark[..., 0]).max() < 0.06


def test_the_cut_is_the_cheapest_of_all():
    random = np.random.default_rng(5)
    odds, picture = random.normal(0, 6, (3, 3)), random.uniform(0, 0.15, (3, 3, 3))
    plate = np.zeros_like(picture)

    def cost(mask):
        total = np.maximum(odds, 0)[~mask].sum() + np.maximum(-odds, 0)[mask].sum()
        for axis in (0, 1):
            step = (np.diff(picture, axis=axis) ** 2).sum(-1)
            total += ((16 * np.exp(-step / (2 * 0.04**2)) + 0.8) * (np.diff(mask, axis=axis) != 0)).sum()
        return total

    masks = [np.array([(number >> bit) & 1 for bit in range(9)], bool).reshape(3, 3) for number in range(512)]
    assert cost(cut_out(odds, picture, plate)) == pytest.approx(min(map(cost, masks)), abs=0.02)


def test_parts_and_holes():
    whole = np.zeros((60, 60), bool)
    whole[10:50, 10:40] = True
    dirty = whole.copy()
    dirty[20:23, 20:23] = False
    dirty[5:8, 50:53] = True
    np.testing.assert_array_equal(clean_up(dirty), whole)
    at_edge = np.zeros((60, 60), bool)
    at_edge[10:, 10:40] = True
    at_edge[58:, 20:24] = False
    np.testing.assert_array_equal(clean_up(at_edge), at_edge)
    gap = whole.copy()
    gap[20:30, 20:30] = False
    np.testing.assert_array_equal(clean_up(gap), gap)


def test_plate_that_is_missing_or_of_another_shape(tmp_path):
    with pytest.raises(InputError, match="empty scene"):
        make_matting("background_difference", None, tmp_path / "BACKGROUND")
    write_picture(tmp_path / "plate.png", np.zeros((10, 40, 3), np.uint8))
    with pytest.raises(InputError, match="40x10"):
        BackgroundDifference(tmp_path / "plate.png").alpha(np.zeros((20, 20, 3), np.uint8))
