"""Pictures with their masks: bytes where they are exact, exact values where picture and background are mixed."""

import numpy as np
import pytest

from vhap.export.mask import NeckLine, fade_below
from vhap.export.masked_picture import MaskedPicture, as_bytes, of_bytes, of_floats
from vhap.export.meshes import vertex_lines
from vhap.export.recentre import Padding

SIZE = (60, 80)


def filmed() -> tuple[np.ndarray, np.ndarray]:
    """Picture and alpha of a disc with a soft rim, uint8."""
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    alpha = np.clip((20 - np.hypot(rows - 30, columns - 40)) / 8 + 0.5, 0, 1)
    return random.integers(0, 256, (*SIZE, 3), np.uint8), as_bytes(alpha)


def whole_fade() -> np.ndarray:
    """(H, W): of a slanted line below the middle, written out."""
    fade = fade_below(SIZE, line(), 12.0)
    whole = np.ones(SIZE, np.float32)
    whole[fade.rows] = fade.values
    return whole


def line() -> NeckLine:
    return NeckLine(np.array([40.0, 40.0]), np.array([0.28, 0.96]))


def over(picture: np.ndarray, mask: np.ndarray, background: int) -> np.ndarray:
    """As `MaskedPicture.over`, of floats, pixel by pixel."""
    share = mask[..., None]
    return np.rint(picture * 255 * share + background * (1 - share)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("is_faded", [False, True])
@pytest.mark.parametrize("background", [0, 255])
def test_bytes_and_floats_give_the_same_picture(is_faded: bool, background: int) -> None:
    picture, alpha = filmed()
    fade = fade_below(SIZE, line(), 12.0) if is_faded else None
    found = of_bytes(picture, alpha, fade, is_rim_own=False)
    exact, mask = picture.astype(np.float32) / 255, alpha.astype(np.float32) / 255
    if is_faded:
        mask = mask * whole_fade()
        assert 0 < (mask < alpha / 256).sum() < (alpha > 0).sum()
    expected = of_floats(exact, mask)
    for value in (found, expected):
        np.testing.assert_array_equal(value.over(background), over(exact, mask, background))
        np.testing.assert_array_equal(value.mask, as_bytes(mask))
        np.testing.assert_array_equal(value.exact_mask(), mask)
        np.testing.assert_array_equal(value.mixed, np.flatnonzero((mask > 0) & (mask < 1)))


def test_a_rim_of_its_own_colours_stays_exact_below_the_neck() -> None:
    picture, alpha = filmed()
    plain = of_bytes(picture, alpha, None, is_rim_own=True)
    faded = of_bytes(picture, alpha, fade_below(SIZE, line(), 12.0), is_rim_own=True)
    shared, here, there = np.intersect1d(plain.mixed, faded.mixed, return_indices=True)
    assert 100 < len(shared) < len(plain.mixed)
    np.testing.assert_array_equal(plain.colours[here], faded.colours[there])
    np.testing.assert_array_equal(plain.picture, faded.picture)
    assert np.all(np.diff(faded.mixed) > 0)
    assert not np.array_equal(plain.picture, picture)


@pytest.mark.parametrize(("size", "shift"), [((90, 100), (7, 12)), ((40, 50), (-13.0, -9.0)), ((70, 30), (-20, 5))])
def test_whole_shifts_move_mixed_pixels_along(size: tuple[int, int], shift: tuple[float, float]) -> None:
    picture, alpha = filmed()
    padding = Padding(size, shift)
    found = of_bytes(picture, alpha, None, is_rim_own=False).padded(padding)
    floats = (padding.apply(values.astype(np.float32) / 255) for values in (picture, alpha))
    expected = of_floats(*floats)
    assert found.picture.shape == (*size, 3)
    for name in ("picture", "mask", "mixed", "colours", "shares"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
    np.testing.assert_array_equal(found.over(255), expected.over(255))


def test_nothing_shows_where_nothing_of_the_person_is() -> None:
    picture, alpha = filmed()
    cut = np.zeros(SIZE, bool)
    cut[:, :40] = True
    shown: MaskedPicture = of_bytes(picture, alpha, None, is_rim_own=False)
    whole, part = shown.rgba(), shown.rgba(without=cut)
    np.testing.assert_array_equal(whole[..., 3], alpha)
    assert not whole[alpha == 0].any()
    assert not part[cut].any()
    np.testing.assert_array_equal(part[~cut], whole[~cut])


@pytest.mark.parametrize("decimals", [0, 3, 6, 7])
@pytest.mark.parametrize("scale", [1e-7, 0.1, 30.0, 5000.0])
@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_lines_of_vertices_are_those_of_printf(decimals: int, scale: float, precision: type) -> None:
    vertices = np.random.default_rng(0).normal(0, scale, (500, 3)).astype(precision).astype(np.float64)
    vertices[:4] = [[0, -0.0, 1e-9], [-1e-9, 0.5, 0.0625], [1.5, 2.5, 0.0000005], [0.9999999, 9.9999999, -0.9999996]]
    form = "v " + " ".join([f"%.{decimals}f"] * 3)
    expected = "".join(form % tuple(row) + "\n" for row in vertices.tolist())
    assert vertex_lines(vertices, decimals).decode() == expected
