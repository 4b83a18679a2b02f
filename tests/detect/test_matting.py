"""Matting networks: stand-ins of the published TorchScript interfaces, and the edges drawn by colour."""

import dataclasses
import hashlib
import os
import re
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from vhap.data.pictures import list_pictures, read_alpha, write_picture
from vhap.data.video import read_frames
from vhap.detect import robust_video_matting
from vhap.detect.background_matting import BackgroundMatting
from vhap.detect.matting import make_matting, matte_pictures
from vhap.detect.mediapipe_matting import MediapipeMatting, draw_to_edges, guided, without_specks
from vhap.detect.robust_video_matting import RobustVideoMatting
from vhap.detect.weights import BACKGROUND_MATTING, ROBUST_VIDEO_MATTING
from vhap.util.errors import InputError


class RecurrentStandIn(torch.nn.Module):
    """RVM's interface. Alpha = half the red of this picture and half the state, which then is this picture's red."""

    def forward(
        self, src: Tensor, r1: Tensor | None, r2: Tensor | None, r3: Tensor | None, r4: Tensor | None, ratio: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        red = src[:, :1]
        before = torch.zeros_like(red) if r1 is None else r1
        return src, (red + before) / 2 * ratio, red, red, red, red


class DifferenceStandIn(torch.nn.Module):
    """BMv2's interface: alpha = how far the picture is from the background."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone_scale: float = 0.5
        self.refine_mode: str = "full"
        self.refine_sample_pixels: int = 1

    def forward(self, src: Tensor, bgr: Tensor) -> tuple[Tensor, Tensor]:
        return (src - bgr).abs().amax(1, keepdim=True), src


@pytest.fixture
def pictures(tmp_path):
    """Eight pictures of 12 x 8 whose red differs."""
    for index in range(8):
        picture = np.zeros((8, 12, 3), np.uint8)
        picture[..., 0] = 30 * index + 20
        write_picture(tmp_path / "person" / "images" / f"{index:06d}.png", picture)
    return list_pictures(tmp_path / "person" / "images")


@pytest.fixture
def rvm(tmp_path):
    path = tmp_path / "rvm.torchscript"
    torch.jit.script(RecurrentStandIn()).save(str(path))
    return path


@pytest.fixture
def bmv2(tmp_path):
    path = tmp_path / "bmv2.pth"
    torch.jit.script(DifferenceStandIn()).save(str(path))
    return path


def test_recurrent_network_is_warmed_and_carries_its_state(pictures, rvm, tmp_path):
    assert matte_pictures(pictures, tmp_path / "alpha_maps", RobustVideoMatting(rvm, "cpu", True)) == 8
    values = [int(read_alpha(path)[0, 0]) for path in list_pictures(tmp_path / "alpha_maps").values()]
    assert values == pytest.approx([20, *(30 * index + 5 for index in range(1, 8))], abs=1)


@pytest.mark.parametrize("lost", [[3], [0], [7], [2, 5]])
def test_completed_pass_equals_uninterrupted(pictures, rvm, tmp_path, lost):
    folder = tmp_path / "alpha_maps"
    matte_pictures(pictures, folder, RobustVideoMatting(rvm, "cpu", True))
    whole = {path.name: path.read_bytes() for path in folder.iterdir()}
    for index in lost:
        (folder / f"{index:06d}.png").unlink()
    assert matte_pictures(pictures, folder, RobustVideoMatting(rvm, "cpu", True)) == len(lost)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == whole
    assert matte_pictures(pictures, folder, RobustVideoMatting(rvm, "cpu", True)) == 0


def test_large_pictures_are_matted_from_a_coarse_copy(rvm):
    alpha = RobustVideoMatting(rvm, "cpu", True).alpha(np.full((8, 1024, 3), 200, np.uint8))
    assert int(alpha[0, 0]) == pytest.approx(100, abs=1)


def test_background_network(pictures, bmv2, tmp_path):
    scene = np.zeros((16, 24, 3), np.uint8)
    scene[..., 0] = 20
    write_picture(tmp_path / "BACKGROUND" / "image.jpg", scene)
    network = BackgroundMatting(tmp_path / "BACKGROUND", bmv2, "cpu", True)
    assert (network._model.backbone_scale, network._model.refine_mode) == (0.25, "sampling")
    matte_pictures(pictures, tmp_path / "alpha_maps", network)
    values = [int(read_alpha(path)[0, 0]) for path in list_pictures(tmp_path / "alpha_maps").values()]
    assert values == pytest.approx([30 * index for index in range(8)], abs=3)


def test_background_of_another_shape_or_none(bmv2, tmp_path):
    with pytest.raises(InputError, match="empty scene"):
        BackgroundMatting(tmp_path / "BACKGROUND", bmv2, "cpu", True)
    write_picture(tmp_path / "BACKGROUND" / "image.png", np.zeros((10, 40, 3), np.uint8))
    with pytest.raises(InputError, match="40x10"):
        BackgroundMatting(tmp_path / "BACKGROUND", bmv2, "cpu", True).alpha(np.zeros((20, 20, 3), np.uint8))


@pytest.mark.parametrize(("method", "variable"), [("robust_video_matting", "RVM"), ("background_matting_v2", "BMV2")])
def test_missing_weights_say_where_to_get_and_put_them(method, variable, tmp_path, monkeypatch):
    monkeypatch.setenv("VHAP_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(f"VHAP_{variable}_WEIGHTS", raising=False)
    with pytest.raises(InputError) as caught:
        make_matting(method, None, tmp_path, "cpu")
    for part in ("https://", str(tmp_path / "cache" / "weights"), f"VHAP_{variable}_WEIGHTS"):
        assert part in str(caught.value)


def test_weights_by_option_then_variable_then_cache(rvm, tmp_path, monkeypatch):
    monkeypatch.setenv("VHAP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("VHAP_RVM_WEIGHTS", str(tmp_path / "nowhere"))
    assert make_matting("robust_video_matting", rvm, tmp_path, "cpu", True) is not None
    with pytest.raises(InputError, match="VHAP_RVM_WEIGHTS"):
        make_matting("robust_video_matting", None, tmp_path, "cpu")
    monkeypatch.delenv("VHAP_RVM_WEIGHTS")
    (tmp_path / "cache" / "weights").mkdir(parents=True)
    rvm.rename(tmp_path / "cache" / "weights" / "rvm_mobilenetv3_fp32.torchscript")
    assert make_matting("robust_video_matting", None, tmp_path, "cpu", True) is not None


@pytest.mark.parametrize("method", ["robust_video_matting", "background_matting_v2"])
@pytest.mark.parametrize("named", [False, True])
def test_missing_weights_name_the_method_that_needs_none(method, named, tmp_path, monkeypatch):
    monkeypatch.setenv("VHAP_CACHE", str(tmp_path / "cache"))
    weights = tmp_path / "nowhere.pth" if named else None
    with pytest.raises(InputError, match="--matting_method mediapipe_video, which needs no weights"):
        make_matting(method, weights, tmp_path / "BACKGROUND", "cpu")
    write_picture(tmp_path / "BACKGROUND" / "image.jpg", np.zeros((8, 8, 3), np.uint8))
    for plate in (tmp_path / "BACKGROUND", tmp_path / "BACKGROUND" / "image.jpg"):
        with pytest.raises(InputError, match="--matting_method background_difference, which needs no weights"):
            make_matting(method, weights, plate, "cpu")


def test_unknown_weights_are_not_even_loaded(rvm, bmv2, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.jit, "load", lambda *rest, **options: pytest.fail("the file was loaded"))
    write_picture(tmp_path / "BACKGROUND" / "image.png", np.zeros((8, 8, 3), np.uint8))
    for method, path in (("robust_video_matting", rvm), ("background_matting_v2", bmv2)):
        with pytest.raises(InputError, match=r"write files.*--allow_unknown_weights") as caught:
            make_matting(method, path, tmp_path / "BACKGROUND", "cpu")
        assert hashlib.sha256(path.read_bytes()).hexdigest() in str(caught.value)
    assert "of torchscript_resnet101_fp32.pth is not known" in str(caught.value)


def test_published_weights_are_loaded_whatever_their_name(rvm, monkeypatch):
    published = {"a.torchscript": hashlib.sha256(rvm.read_bytes()).hexdigest()}
    known = dataclasses.replace(robust_video_matting.ROBUST_VIDEO_MATTING, published=published)
    monkeypatch.setattr(robust_video_matting, "ROBUST_VIDEO_MATTING", known)
    assert RobustVideoMatting(rvm, "cpu").alpha(np.full((8, 8, 3), 200, np.uint8)).shape == (8, 8)
    rvm.write_bytes(rvm.read_bytes() + b"x")
    with pytest.raises(InputError, match="SHA-256"):
        RobustVideoMatting(rvm, "cpu")


def test_published_weights_are_whole_digests_of_accepted_names():
    for weights in (ROBUST_VIDEO_MATTING, BACKGROUND_MATTING):
        assert set(weights.published) <= set(weights.files)
        assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in weights.published.values())


def test_file_that_is_no_network(tmp_path):
    path = tmp_path / "weights.torchscript"
    path.write_text("nonsense")
    with pytest.raises(InputError, match="TorchScript"):
        RobustVideoMatting(path, "cpu", True)


def disc(radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:160, :160]
    return np.hypot(rows - 80, columns - 80) < radius


def coarse(truth: np.ndarray) -> np.ndarray:
    """As a network gives it: too wide and soft."""
    wide = cv2.dilate(truth.astype(np.float32), np.ones((5, 5)))
    return cv2.GaussianBlur(wide, (0, 0), 2)


def test_colours_correct_a_wide_and_soft_mask():
    truth, random = disc(45), np.random.default_rng(0)
    picture = np.where(truth[..., None], [0.6, 0.4, 0.3], [0.5, 0.6, 0.6]).astype(np.float32)
    picture += random.normal(0, 0.02, picture.shape).astype(np.float32)
    wrong_before = (coarse(truth) > 0.5) != truth
    wrong_after = (draw_to_edges(picture, coarse(truth)) > 0.5) != truth
    assert wrong_after.mean() < 0.2 * wrong_before.mean()


def test_the_guided_filter_keeps_the_picture_s_edges():
    truth = disc(45).astype(np.float32)
    picture = np.where(truth[..., None] > 0, [0.6, 0.4, 0.3], [0.5, 0.6, 0.6]).astype(np.float32)
    blurred = cv2.blur(truth, (13, 13))
    assert np.abs(guided(picture, truth, 6) - truth).mean() < 0.1 * np.abs(blurred - truth).mean()


def test_one_colour_everywhere_leaves_the_mask():
    picture = np.full((160, 160, 3), 0.5, np.float32)
    mask = coarse(disc(45))
    inside = draw_to_edges(picture, mask) > 0.5
    assert (inside != (mask > 0.5)).mean() < 0.01


def test_specks_go_and_gaps_stay():
    truth = disc(60)
    gap = disc(20)
    person = truth & ~gap
    dirty = person.copy()
    dirty[30:34, 78:82] = False
    dirty[2:6, 2:6] = True
    np.testing.assert_array_equal(without_specks(dirty), person)


def test_real_clip_is_split_at_the_head():

    folder = os.environ.get("VHAP_TEST_VIDEOS")
    if not folder:
        pytest.skip("VHAP_TEST_VIDEOS names no folder of clips")

    frame = next(read_frames(Path(folder) / "man_greenscreen.mp4", Fraction(1)))
    alpha = MediapipeMatting().alpha(frame) / 255
    green = (frame[..., 1].astype(int) - frame[..., [0, 2]].max(-1)) > 40
    assert alpha[200:300, 220:300].min() > 0.95, "the face"
    assert alpha[green].mean() < 0.02
