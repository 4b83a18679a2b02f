"""Matting of rigs that have a picture of the empty scene for each camera."""

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from vhap.config.preprocess import PreprocessConfig
from vhap.config.synthetic import SyntheticConfig
from vhap.data.pictures import read_alpha, write_picture
from vhap.pipeline import preprocess_rig, preprocess_video
from vhap.pipeline.make_synthetic_capture import run as make_capture
from vhap.util.errors import InputError
from vhap.util.log import get_logger


class DifferenceStandIn(torch.nn.Module):
    """BackgroundMattingV2's interface: alpha = how far the picture is from the background."""

    def forward(self, src: Tensor, bgr: Tensor) -> tuple[Tensor, Tensor]:
        return (src - bgr).abs().amax(1, keepdim=True), src


@pytest.fixture(scope="module")
def captured(tmp_path_factory) -> Path:
    """A rig's sequence with its true alpha maps in truth/."""
    root = tmp_path_factory.mktemp("nersemble")
    folder = make_capture(
        SyntheticConfig(
            root, layout="nersemble_v1", frames=1, cameras=2, width=132, height=192, landmark_source="face-alignment"
        )
    )
    (folder / "alpha_maps").rename(folder / "truth")
    return folder


@pytest.fixture
def folder(captured, tmp_path) -> Path:
    shutil.copytree(captured.parent, tmp_path / "001")
    return tmp_path / "001" / captured.name


@pytest.fixture
def plain_rig(tmp_path) -> Path:
    """Cameras a and b before walls of their own, in pictures of different sizes; the person adds 100 in a square."""
    folder = tmp_path / "rig" / "take"
    for camera, wall, (height, width) in (("a", 40, (12, 16)), ("b", 120, (24, 18))):
        write_picture(
            tmp_path / "rig" / "BACKGROUND" / f"image_{camera}.png", np.full((2 * height, 2 * width, 3), wall, np.uint8)
        )
        picture = np.full((height, width, 3), wall, np.uint8)
        picture[4:8, 4:8] += 100
        for t in range(2):
            write_picture(folder / "images" / camera / f"{t:06d}.png", picture)
    return folder


@pytest.fixture
def said():
    """The lines of the log."""
    lines = []

    class Listener(logging.Handler):
        def emit(self, record):
            lines.append(record.getMessage())

    listener = Listener()
    get_logger().addHandler(listener)
    yield lines
    get_logger().removeHandler(listener)


def run(folder, method="auto", **options) -> Path:
    return preprocess_video.run(
        PreprocessConfig(folder, matting_method=method, landmark_source="none", device="cpu", **options)
    )


def test_clean_plates_are_used_unasked_and_well(folder, said):
    run(folder)
    assert len([line for line in said if "background_difference" in line]) == 1
    truth = sorted((folder / "truth").iterdir())
    found = sorted((folder / "alpha_maps").iterdir())
    assert [path.name for path in found] == [path.name for path in truth]
    for pair in zip(found, truth):
        alpha, true = (read_alpha(path) / 255 for path in pair)
        # Pixels are large beside the border here; 0.005 is held at 275 x 401 by bench/matting.py.
        assert np.abs(alpha - true).mean() <= 0.008


def test_mediapipe_where_a_plate_is_missing(folder, monkeypatch, said):
    next((folder.parent / "BACKGROUND").iterdir()).unlink()
    asked = []
    monkeypatch.setattr(preprocess_rig, "make_matting", lambda method, *rest: asked.append(method))
    run(folder)
    assert set(asked) == {"mediapipe_video"}
    (line,) = [line for line in said if "matting by mediapipe_video" in line]
    assert "empty scene" in line


def test_background_network_takes_the_plate_of_each_camera(plain_rig, tmp_path):
    weights = tmp_path / "network.pth"
    torch.jit.script(DifferenceStandIn()).save(str(weights))
    run(plain_rig, "background_matting_v2", matting_weights=weights, allow_unknown_weights=True)
    for camera in ("a", "b"):
        for t in range(2):
            alpha = read_alpha(plain_rig / "alpha_maps" / camera / f"{t:06d}.png")
            expected = np.zeros_like(alpha)
            expected[4:8, 4:8] = 100
            np.testing.assert_array_equal(alpha, expected)


@pytest.mark.parametrize("method", ["background_difference", "background_matting_v2"])
@pytest.mark.parametrize("wrong", ["missing", "size"])
def test_plates_that_do_not_fit_are_one_line_before_anything_is_written(plain_rig, method, wrong):
    plate = plain_rig.parent / "BACKGROUND" / "image_b.png"
    plate.unlink()
    if wrong == "size":
        write_picture(plate, np.zeros((24, 30, 3), np.uint8))
    with pytest.raises(
        InputError, match="image_b.jpg" if wrong == "missing" else "18x24.*image_b.png.*30x24"
    ) as caught:
        run(plain_rig, method)
    assert "\n" not in str(caught.value)
    assert not (plain_rig / "alpha_maps").exists()
