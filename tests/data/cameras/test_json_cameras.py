"""transforms.json and camera_params.json."""

from __future__ import annotations

import math

import numpy as np
import pytest
import rig_files as files
import torch

from vhap.data.cameras.camera_params import read_camera_params
from vhap.data.cameras.transforms import read_transforms
from vhap.data.pictures import write_picture
from vhap.util.errors import InputError


def assert_the_rig(rig) -> None:
    assert rig.names == files.NAMES
    for k in range(3):
        seen, depth = rig.camera(k, torch.float64).project(torch.from_numpy(files.POINT)[None])
        np.testing.assert_allclose(seen[0], files.pixels(k), atol=1e-9)
        assert depth > 0


@pytest.mark.parametrize("key", ["camera_id", "camera_index", None])
@pytest.mark.parametrize("pictures", [1, 3])
def test_transforms(tmp_path, key, pictures):
    rig = read_transforms(files.write_json(tmp_path / "transforms.json", files.transforms(pictures, key)))
    assert_the_rig(rig)
    np.testing.assert_array_equal(rig.sizes, files.SIZES)


def test_camera_indices_are_counted(tmp_path):
    content = files.transforms()
    for frame, index in zip(content["frames"], (10, 9, 1)):
        del frame["camera_id"]
        frame["camera_index"] = index
    rig = read_transforms(files.write_json(tmp_path / "t.json", content))
    assert rig.names == ("1", "9", "10")
    np.testing.assert_allclose(rig.K[0], files.INTRINSICS[2])


def test_intrinsics_at_the_top_and_what_a_frame_says_itself(tmp_path):
    content = files.transforms()
    for frame in content["frames"]:
        for key in ("fl_x", "fl_y", "cx", "cy", "w", "h"):
            del frame[key]
    content |= {"camera_angle_x": 0.8, "w": 640, "h": 480, "k1": 0.1, "k2": -0.2, "p1": 0.01, "p2": 0.02}
    content["frames"][1] |= {"fl_x": 900, "cx": 300, "k1": 0.3}
    rig = read_transforms(files.write_json(tmp_path / "t.json", content))
    by_angle = 320 / math.tan(0.4)
    np.testing.assert_allclose(rig.K[0], [[by_angle, 0, 320], [0, by_angle, 240], [0, 0, 1]])
    np.testing.assert_allclose(rig.K[1], [[900, 0, 300], [0, 900, 240], [0, 0, 1]])
    np.testing.assert_allclose(rig.distortion[:2], [[0.1, -0.2, 0.01, 0.02, 0], [0.3, -0.2, 0.01, 0.02, 0]])


@pytest.mark.parametrize("name", ["../r_0.png", "/r_0.png", 3])
def test_no_picture_elsewhere_is_measured(tmp_path, name):
    content = {"camera_angle_x": 0.8, "frames": files.transforms()["frames"][:1]}
    frame = content["frames"][0]
    del frame["w"], frame["h"]
    frame["file_path"] = name
    write_picture(tmp_path / "r_0.png", np.zeros((480, 640, 3), np.uint8))
    (tmp_path / "rig").mkdir()
    with pytest.raises(InputError, match=r"names of files below .*t\.json"):
        read_transforms(files.write_json(tmp_path / "rig/t.json", content))


def test_sizes_are_measured_where_the_file_has_none(tmp_path):
    content = {"camera_angle_x": 0.8, "frames": files.transforms()["frames"][:1]}
    frame = content["frames"][0]
    for key in ("fl_x", "fl_y", "cx", "cy", "w", "h", "camera_id"):
        del frame[key]
    frame["file_path"] = "./train/r_0"
    path = files.write_json(tmp_path / "transforms.json", content)
    with pytest.raises(InputError, match="w and h, or the picture"):
        read_transforms(path)
    write_picture(tmp_path / "train" / "r_0.png", np.zeros((20, 30, 3), np.uint8))
    rig = read_transforms(path)
    assert rig.names == ("r_0",)
    np.testing.assert_array_equal(rig.sizes, [[20, 30]])
    np.testing.assert_allclose(rig.K[0, :2, 2], [15, 10])


def test_camera_params(tmp_path):
    content = files.camera_params()
    path = files.write_json(tmp_path / "camera_params.json", content)
    rig = read_camera_params(path)
    assert_the_rig(rig)
    np.testing.assert_array_equal(rig.sizes, [(3208, 2200)] * 3)
    content |= {"intrinsics": files.INTRINSICS[0].tolist(), "height": 802, "width": 550}
    rig = read_camera_params(files.write_json(path, content))
    np.testing.assert_array_equal(rig.sizes, [(802, 550)] * 3)
    np.testing.assert_array_equal(rig.K, [files.INTRINSICS[0]] * 3)


def test_camera_params_keep_the_order_of_the_file(tmp_path):
    content = files.camera_params()
    content["world_2_cam"] = dict(reversed(content["world_2_cam"].items()))
    rig = read_camera_params(files.write_json(tmp_path / "camera_params.json", content))
    assert rig.names == files.NAMES[::-1]
    np.testing.assert_array_equal(rig.K, files.INTRINSICS[::-1])


def changed(content: dict, place: tuple, value) -> dict:
    *parents, last = place
    for key in parents:
        content = content[key]
    if value is None:
        del content[last]
    else:
        content[last] = value
    return content


SCALED = (np.diag([1.1, 1.1, 1.1, 1]) @ files.POSES[0]).tolist()
MIRRORED = (np.diag([-1, 1, 1, 1]) @ files.POSES[0]).tolist()


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("world_2_cam",), None, "expected world_2_cam .*found none"),
        (("world_2_cam",), {}, "expected world_2_cam .*found none"),
        (("intrinsics",), None, "expected intrinsics"),
        (("intrinsics", "cam02"), None, "intrinsics for camera cam02.*2 other cameras only"),
        (("intrinsics", "cam02", 0, 0), -5, "positive focal .*camera cam02.*found -5"),
        (("intrinsics", "cam02", 0, 1), 3.0, "no skew.*650 3 170.5"),
        (("intrinsics", "cam02"), [[1, 2], [3, 4]], r"shape \(3, 3\) for camera cam02.*found shape \(2, 2\)"),
        (("world_2_cam", "cam10"), np.eye(3, 4).tolist()[:2], r"shape \(4, 4\)"),
        (("world_2_cam", "cam10"), [[1, 0, 0], [1, 0]], r"world_2_cam of shape \(4, 4\)"),
        (("world_2_cam", "cam10", 0, 3), float("nan"), "is not finite"),
        (("world_2_cam", "cam10", 1), "text", r"world_2_cam of shape \(4, 4\)"),
        (("world_2_cam", "cam01"), SCALED, "rotation in world_2_cam .*one that is 0.21 off"),
        (("world_2_cam", "cam01"), MIRRORED, "mirroring"),
        (("world_2_cam", "cam01", 3), [0, 0, 0.5, 1], "last row of 0 0 0 1.*found 0 0 0.5 1"),
        (("height",), 10.5, "whole positive height and width .*found 10.5"),
        (("width",), -1, "whole positive"),
    ],
)
def test_wrong_camera_params(tmp_path, place, value, message):
    content = files.camera_params()
    changed(content, place, value)
    with pytest.raises(InputError, match=message) as error:
        read_camera_params(files.write_json(tmp_path / "camera_params.json", content))
    assert "\n" not in str(error.value)
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("frames",), [], "list `frames`"),
        (("frames", 1), 7, "list `frames`"),
        (("frames", 1, "transform_matrix"), None, "transform_matrix for frame 1"),
        (("frames", 1, "transform_matrix"), SCALED, "rotation in transform_matrix .*frame 1.*0.21 off"),
        (("frames", 1, "transform_matrix"), [1, 2], "transform_matrix of shape"),
        (("frames", 1, "w"), None, "w and h"),
        (("frames", 1, "fl_x"), 0, "positive focal"),
        (("frames", 1, "fl_x"), "wide", "a number fl_x for frame 1"),
        (("frames", 1, "is_fisheye"), True, "camera_model"),
        (("camera_model",), "OPENCV_FISHEYE", "camera_model of .*found OPENCV_FISHEYE"),
        (("k4",), 0.1, "no k4"),
        (("frames", 2, "camera_id"), "cam02", "still camera cam02 .*several sizes; give each camera its own"),
    ],
)
def test_wrong_transforms(tmp_path, place, value, message):
    content = files.transforms()
    changed(content, place, value)
    with pytest.raises(InputError, match=message) as error:
        read_transforms(files.write_json(tmp_path / "transforms.json", content))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"fl_x": 690}, "intrinsics differ by up to 10 pixels"), ({"k1": 0.05}, "distortion differs by up to 0.05")],
)
def test_lenses_of_one_camera_have_to_agree(tmp_path, changes, message):
    content = files.transforms(2)
    content["frames"][3] |= changes
    with pytest.raises(InputError, match=rf"still camera cam01 .*{message}"):
        read_transforms(files.write_json(tmp_path / "transforms.json", content))


@pytest.mark.parametrize("angle", [0, -1, 3.2])
def test_angles_of_view(tmp_path, angle):
    content = files.transforms()
    frame = content["frames"][0]
    del frame["fl_x"], frame["fl_y"]
    with pytest.raises(InputError, match="fl_x or camera_angle_x for frame 0"):
        read_transforms(files.write_json(tmp_path / "t.json", content))
    frame["camera_angle_x"] = angle
    with pytest.raises(InputError, match="between 0 and pi for frame 0"):
        read_transforms(files.write_json(tmp_path / "t.json", content))


def test_frames_that_do_not_say_their_camera(tmp_path):
    content = files.transforms(key=None)
    del content["frames"][2]["file_path"]
    with pytest.raises(InputError, match="camera_id, camera_index or file_path for frame 2"):
        read_transforms(files.write_json(tmp_path / "t.json", content))
