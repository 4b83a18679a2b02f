"""Measures of pictures against scikit-image, and against what their definitions demand."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage.data import astronaut
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from vhap.evaluate.image_quality import gmsd, psnr_db, ssim


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    return astronaut()[:181, 100:301] / 255


def damaged(truth: np.ndarray) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    return {
        "noise": (truth + random.normal(0, 0.05, truth.shape)).clip(0, 1),
        "blur": gaussian_filter(truth, (2, 2, 0)),
        "brighter": (truth + 0.1).clip(0, 1),
    }


@pytest.mark.parametrize("kind", ["noise", "blur", "brighter"])
def test_psnr_and_ssim_agree_with_scikit_image(truth, kind):
    picture = damaged(truth)[kind]
    assert psnr_db(picture, truth) == pytest.approx(peak_signal_noise_ratio(truth, picture, data_range=1), abs=1e-9)
    expected = structural_similarity(
        truth, picture, data_range=1, channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    assert ssim(picture, truth) == pytest.approx(expected, abs=1e-9)


def test_equal_pictures_are_as_good_as_can_be(truth):
    assert psnr_db(truth, truth) == np.inf
    assert ssim(truth, truth) == pytest.approx(1)
    assert gmsd(truth, truth) == 0


def gmsd_by_loops(picture: np.ndarray, truth: np.ndarray) -> float:
    """As its authors describe it, in loops."""

    def magnitude(image: np.ndarray) -> np.ndarray:
        grey = image @ [0.299, 0.587, 0.114]
        padded = np.pad(grey, ((0, 1), (0, 1)))
        half = np.array(
            [[padded[r : r + 2, c : c + 2].sum() / 4 for c in range(0, grey.shape[1], 2)]
             for r in range(0, grey.shape[0], 2)]
        )  # fmt: skip
        around = np.pad(half, 1)
        found = np.zeros_like(half)
        for r in range(half.shape[0]):
            for c in range(half.shape[1]):
                window = around[r : r + 3, c : c + 3]
                dx, dy = window[:, 0].sum() - window[:, 2].sum(), window[0].sum() - window[2].sum()
                found[r, c] = np.hypot(dx, dy) / 3
        return found

    a, b, constant = magnitude(picture), magnitude(truth), 170 / 255**2
    return float(np.std((2 * a * b + constant) / (a * a + b * b + constant)))


@pytest.mark.parametrize("kind", ["noise", "blur"])
def test_gmsd_is_that_of_its_definition(truth, kind):
    picture = damaged(truth)[kind]
    assert gmsd(picture, truth) == pytest.approx(gmsd_by_loops(picture, truth), rel=1e-9)


def test_gmsd_does_not_mind_brightness_as_eyes_do_not(truth):
    dim, mask = truth * 0.8, np.zeros(truth.shape[:2])
    # By its definition what lies outside of a picture is black, so that the border sees brightness.
    mask[4:-4, 4:-4] = 1
    # By squared error the shift is the larger damage, by structure the blur is.
    assert psnr_db(dim + 0.1, dim) < psnr_db(damaged(dim)["blur"], dim)
    assert gmsd(dim + 0.1, dim, mask) < 0.01 * gmsd(damaged(dim)["blur"], dim, mask)


def test_only_what_the_mask_holds_counts(truth):
    picture, mask = truth.copy(), np.ones(truth.shape[:2])
    picture[:60], mask[:72] = 0, 0
    assert psnr_db(picture, truth, mask) == np.inf
    assert ssim(picture, truth, mask) == pytest.approx(1)
    assert gmsd(picture, truth, mask) == pytest.approx(0, abs=1e-12)
    assert psnr_db(picture, truth) < 20
    for measure in (psnr_db, ssim, gmsd):
        assert np.isnan(measure(picture, truth, np.zeros_like(mask)))


def test_wrong_inputs_are_refused(truth):
    with pytest.raises(ValueError, match="of one size"):
        ssim(truth[1:], truth)
    with pytest.raises(ValueError, match="uint8"):
        psnr_db((truth * 255).astype(np.uint8), truth)
