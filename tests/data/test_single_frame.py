"""A static avatar's folder as a capture."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from vhap.config.data import SingleFrameDataConfig
from vhap.data.pictures import write_picture
from vhap.data.single_frame import SingleFrameCapture
from vhap.synthetic.rig import look_from
from vhap.util.errors import InputError
from vhap.util.files import write_npz

VIEWS, SIDE = 4, 32
OPENCV = np.diag([1.0, -1, -1, 1])


def brightness(view: int) -> int:
    return 40 * (view + 1)


def write_avatar(folder: Path) -> Path:
    """Four cameras all around, whose average direction is nowhere; a face in all views but the one from behind."""
    info = {}
    for view in range(VIEWS):
        angle = 2 * math.pi * view / VIEWS
        pose = np.linalg.inv(OPENCV @ look_from(3 * np.array([math.sin(angle), 0, math.cos(angle)])))
        fov = math.degrees(2 * math.atan(0.25))
        info[f"{view:04d}_original.png"] = {"camera_params": [pose.flatten().tolist()], "focal_length": 2, "fov": fov}
        write_picture(
            folder / "images" / f"{view:04d}_original.png", np.full((SIDE, SIDE, 3), brightness(view), np.uint8)
        )
        write_picture(folder / "images" / f"{view:04d}_matting.png", np.full((SIDE, SIDE), 51, np.uint8))
        points = np.full((68, 3), 0.5) if view != 2 else np.tile([-1.0, -1, 0], (68, 1))
        path = folder / "landmark2d" / "face-alignment" / f"{view:04d}_original.npz"
        write_npz(path, {"face_landmark_2d": points, "bounding_box": np.zeros((1, 5))})
    (folder / "camera_info.json").write_text(json.dumps(info))
    return folder


@pytest.fixture
def avatar(tmp_path) -> Path:
    return write_avatar(tmp_path / "root" / "anna")


def open_avatar(root: Path, sequence: str = "anna", **options) -> SingleFrameCapture:
    data = SingleFrameDataConfig(
        root_folder=root,
        sequence=sequence,
        **{"landmark_source": "face-alignment", "background_color": None, **options},
    )
    return SingleFrameCapture(data)


def test_views_are_cameras_of_one_moment(avatar):
    capture = open_avatar(avatar.parent)
    assert capture.camera_ids == [f"{view:04d}_original" for view in range(VIEWS)]
    assert capture.timestep_ids == ["000000"]
    batch = capture.load([0])
    torch.testing.assert_close(batch.rgb[:, 3, 3, 0], torch.tensor([brightness(v) / 255 for v in range(VIEWS)]))
    torch.testing.assert_close(batch.alpha, torch.full((VIEWS, SIDE, SIDE), 0.2))
    points, confidence = capture.load_landmarks()
    torch.testing.assert_close(points[0, 0, 0], torch.tensor([SIDE / 2, SIDE / 2]))
    assert (confidence[0] > 0).any(1).tolist() == [True, True, False, True]
    camera = capture.calibrated_camera()
    assert camera is not None
    origin_px, depth = camera.project(torch.zeros(1, 3, dtype=torch.float64))
    torch.testing.assert_close(origin_px, torch.full((VIEWS, 1, 2), SIDE / 2, dtype=torch.float64))
    torch.testing.assert_close(depth, torch.full((VIEWS, 1), 3.0, dtype=torch.float64))


def test_the_root_may_be_the_avatar_itself(avatar):
    assert open_avatar(avatar, "any name").folder == avatar
    assert open_avatar(avatar.parent, "ann").folder == avatar


def test_views_can_be_chosen_and_mattings_left_away(avatar):
    assert open_avatar(avatar.parent, cameras=("0003_original", "0000_original")).camera_ids == [
        "0000_original", "0003_original"
    ]  # fmt: skip
    for path in (avatar / "images").glob("*_matting.png"):
        path.unlink()
    assert open_avatar(avatar.parent).load([0]).alpha is None


def test_smaller_pictures_keep_the_mattings_of_the_large_ones(avatar):
    for view in range(VIEWS):
        half = np.full((SIDE // 2, SIDE // 2, 3), 7, np.uint8)
        write_picture(avatar / "images_2" / f"{view:04d}_original.png", half)
    batch = open_avatar(avatar.parent, n_downsample_rgb=2).load([0])
    assert batch.size == (SIDE // 2, SIDE // 2)
    torch.testing.assert_close(batch.alpha, torch.full((VIEWS, SIDE // 2, SIDE // 2), 0.2))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda folder: (folder / "camera_info.json").unlink(), "camera_info.json, found nothing"),
        (lambda folder: shutil.rmtree(folder / "images"), "expected pictures NAME_original.png"),
        (lambda folder: (folder / "images/0002_original.png").unlink(), "found no 0002_original"),
        (lambda folder: (folder / "images/0002_matting.png").unlink(), "found none for 0002_original"),
        (lambda folder: (folder / "landmark2d/face-alignment/0001_original.npz").unlink(), "0001_original.npz"),
        (
            lambda folder: write_picture(folder / "images/0009_original.png", np.zeros((SIDE, SIDE, 3), np.uint8)),
            "0009_original",
        ),
    ],
)
def test_what_is_missing_is_named_in_one_line(avatar, change, match):
    change(avatar)
    with pytest.raises(InputError, match=match) as error:
        open_avatar(avatar.parent)
    assert "\n" not in str(error.value)
