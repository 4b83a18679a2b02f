"""Cameras of a static avatar, read out of files that are right, and of files with one thing wrong."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from vhap.data.cameras.camera_info import focal_px, read_camera_info
from vhap.data.pictures import write_picture
from vhap.util.errors import InputError

SIDE, FOCAL = 64, 2.5
NAME = "0000_original.png"


def entry(**changes) -> dict:
    """A camera at (1, 2, 3) that looks along +x, its pictures' right side towards +z."""
    pose = np.eye(4)
    pose[:3, :3] = np.stack([[0, 0, 1], [0, -1, 0], [1, 0, 0]], 1)
    pose[:3, 3] = [1, 2, 3]
    fov = math.degrees(2 * math.atan(0.5 / FOCAL))
    return {"camera_params": [pose.flatten().tolist()], "focal_length": FOCAL, "fov": fov, **changes}


def read(folder: Path, content, size: tuple[int, int] = (SIDE, SIDE)):
    path, picture = folder / "camera_info.json", folder / NAME
    path.write_text(json.dumps(content))
    write_picture(picture, np.zeros((*size, 3), np.uint8))
    return read_camera_info(path, {picture.stem: picture})


def test_a_point_before_the_camera_lies_where_opencv_axes_say(tmp_path):
    rig = read(tmp_path, {NAME: entry()})
    assert rig.names == ("0000_original",)
    assert rig.sizes.tolist() == [[SIDE, SIDE]]
    points_px, depth = rig.camera(0, torch.float64).project(torch.tensor([[5.0, 2, 3], [5, 3, 3], [5, 2, 4]]).double())
    focal, middle = FOCAL * SIDE, SIDE / 2
    assert depth.tolist() == pytest.approx([4, 4, 4])
    expected = [[middle, middle], [middle, middle - focal / 4], [middle + focal / 4, middle]]
    np.testing.assert_allclose(points_px.numpy(), expected, atol=1e-9)


def test_sixteen_numbers_may_stand_without_an_outer_list(tmp_path):
    flat = entry()["camera_params"][0]
    np.testing.assert_array_equal(
        read(tmp_path, {NAME: entry(camera_params=flat)}).T_camera_world, read(tmp_path, {NAME: entry()}).T_camera_world
    )


@pytest.mark.parametrize("unit", [1, 512, 256])
@pytest.mark.parametrize("side", [512, 512 * math.sqrt(2)])
def test_focal_lengths_in_any_unit_agree_with_angles_along_side_or_diagonal(unit, side):
    focal = 2180.0
    fov = math.degrees(2 * math.atan(side / 2 / focal))
    assert focal_px(focal / unit, fov, (512, 512)) == pytest.approx(focal)
    assert focal_px(focal / unit, 1.1 * fov, (512, 512)) is None


def test_unequal_sides_need_a_focal_length_in_pixels():
    fov = math.degrees(2 * math.atan(0.5 / FOCAL))
    assert focal_px(FOCAL * 400, fov, (300, 400)) == pytest.approx(1000)
    assert focal_px(FOCAL, fov, (300, 400)) is None


BAD = {
    "no entries": ({}, "entry for each picture"),
    "a list": ([entry()], "entry for each picture"),
    "an entry that is a number": ({NAME: 3}, "an object for 0000_original"),
    "a picture that is not there": ({NAME: entry(), "0007_original.png": entry()}, "no 0007_original"),
    "no fov": ({NAME: {k: v for k, v in entry().items() if k != "fov"}}, "found no fov"),
    "twelve numbers": ({NAME: entry(camera_params=[[0.0] * 12])}, r"shape \(16,\)"),
    "text for a number": ({NAME: entry(focal_length="long")}, "a number focal_length"),
    "infinity": ({NAME: entry(fov=math.inf)}, "is not finite"),
    "a mirroring": ({NAME: entry(camera_params=np.diag([1.0, 1, -1, 1]).flatten().tolist())}, "mirroring"),
    "a stretched rotation": ({NAME: entry(camera_params=np.diag([2.0, 2, 2, 1]).flatten().tolist())}, "a rotation"),
    "a negative focal length": ({NAME: entry(focal_length=-2.5)}, "positive focal_length"),
    "an angle in radians": ({NAME: entry(fov=0.3948)}, "agree for pictures of 64x64"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_told_in_one_line(tmp_path, name):
    content, match = BAD[name]
    with pytest.raises(InputError, match=match) as error:
        read(tmp_path, content)
    assert "\n" not in str(error.value)
    assert "camera_info.json" in str(error.value)
