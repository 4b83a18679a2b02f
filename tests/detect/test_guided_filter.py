"""The guided filter of plain OpenCV against its definition, that of opencv-contrib-python, and in closed form."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from vhap.detect.guided_filter import guided_filter


def pictures(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A smooth random colour picture in [0, 255] and a binary mask, float32."""
    rng = np.random.default_rng(0)
    guide = cv2.GaussianBlur(rng.random((*size, 3)).astype(np.float32), (0, 0), 3)
    mask = cv2.GaussianBlur(rng.random(size).astype(np.float32), (0, 0), 8) > 0.5
    return 255 * (guide - guide.min()) / (guide.max() - guide.min()), mask.astype(np.float32)


def by_windows(guide: np.ndarray, values: np.ndarray, radius: int, epsilon: float) -> np.ndarray:
    """As the paper has it: a linear function of the colour for each window, and the mean of all windows' at a pixel."""

    def windows(plane: np.ndarray) -> np.ndarray:
        padded = np.pad(plane.astype(float), radius, "symmetric")
        return np.lib.stride_tricks.sliding_window_view(padded, (2 * radius + 1,) * 2).reshape(*plane.shape, -1)

    colours, wanted = np.stack([windows(plane) for plane in np.moveaxis(guide, -1, 0)], -1), windows(values)
    centred = colours - colours.mean(2, keepdims=True)
    covariance = np.einsum("hwki,hwkj->hwij", centred, centred) / centred.shape[2] + epsilon * np.eye(3)
    along = np.einsum("hwki,hwk->hwi", centred, wanted) / centred.shape[2]
    slopes = np.linalg.solve(covariance, along[..., None])[..., 0]
    offsets = wanted.mean(-1) - (slopes * colours.mean(2)).sum(-1)
    mean_slopes = [windows(slopes[..., channel]).mean(-1) for channel in range(3)]
    return sum(slope * guide[..., channel] for channel, slope in enumerate(mean_slopes)) + windows(offsets).mean(-1)


@pytest.mark.parametrize(("size", "radius"), [((60, 45), 3), ((32, 32), 9), ((12, 40), 8)])
@pytest.mark.parametrize("epsilon", [1.0, 65.0])
def test_equals_its_definition(size: tuple[int, int], radius: int, epsilon: float) -> None:
    guide, values = pictures(size)
    found = guided_filter(guide, values, radius, epsilon)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, by_windows(guide, values, radius, epsilon), atol=1e-4)


@pytest.mark.skipif(not hasattr(cv2, "ximgproc"), reason="this OpenCV wheel is without ximgproc, the oracle")
@pytest.mark.parametrize(("size", "radius"), [((120, 90), 3), ((64, 64), 9), ((12, 40), 8)])
@pytest.mark.parametrize("epsilon", [1.0, 65.0])
def test_equals_the_filter_of_contrib(size: tuple[int, int], radius: int, epsilon: float) -> None:
    guide, values = pictures(size)
    oracle = cv2.ximgproc.guidedFilter(guide, values, radius, epsilon)
    found = guided_filter(guide, values, radius, epsilon)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, oracle, atol=2e-5)


def test_a_linear_function_of_the_guide_stays() -> None:
    guide, _ = pictures((60, 80))
    values = (guide @ np.array([0.2, -0.1, 0.5], np.float32) + 7).astype(np.float32)
    np.testing.assert_allclose(guided_filter(guide, values, 4, 1e-3), values, atol=0.02)


def test_a_grey_guide_without_edges_means_twice() -> None:
    _, values = pictures((60, 80))
    twice = values
    for _ in range(2):
        twice = cv2.blur(twice, (7, 7), borderType=cv2.BORDER_REFLECT)
    flat = np.full((60, 80, 3), 40, np.float32)
    np.testing.assert_allclose(guided_filter(flat, values, 3, 65.0), twice, atol=1e-5)
