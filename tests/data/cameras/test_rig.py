"""What can be done with a rig: finding its file, aligning it, choosing cameras, undoing distortion."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import rig_files as files
import torch

from vhap.data.cameras.camera_params import read_camera_params
from vhap.data.cameras.find import read_rig_cameras
from vhap.data.cameras.rig import RigCameras, align_to_axes, mean_rotation, undistort_maps
from vhap.data.cameras.shots import camera_names
from vhap.util.errors import InputError


@pytest.fixture
def rig(tmp_path) -> RigCameras:
    return read_camera_params(files.write_json(tmp_path / "camera_params.json", files.camera_params()))


def test_all_formats_give_one_rig(tmp_path, rig):
    for place in ("", "sparse", "sparse/0", "colmap/sparse/0"):
        root = tmp_path / f"colmap_{place.replace('/', '_')}"
        files.write_colmap_binary(root / place)
        assert_same(read_rig_cameras(root), rig)
    other = tmp_path / "other"
    files.write_colmap_text(other / "sparse" / "0")
    assert_same(read_rig_cameras(other), rig)
    assert_same(read_rig_cameras(other / "sparse" / "0" / "images.txt"), rig)
    path = files.write_json(other / "any_name.json", files.transforms(2))
    assert_same(read_rig_cameras(path), rig)
    path.rename(other / "transforms.json")
    with pytest.raises(InputError, match=r"one description .*transforms.json and sparse/0; give the path"):
        read_rig_cameras(other)
    assert_same(read_rig_cameras(tmp_path), rig)


def assert_same(one: RigCameras, other: RigCameras) -> None:
    assert one.names == other.names
    np.testing.assert_allclose(one.K, other.K, atol=1e-12)
    np.testing.assert_allclose(one.T_camera_world, other.T_camera_world, atol=1e-12)


def test_nothing_to_read(tmp_path):
    with pytest.raises(InputError, match=r"camera_params.json, transforms.json or a COLMAP model .*found none"):
        read_rig_cameras(tmp_path)
    with pytest.raises(InputError, match="found none"):
        read_rig_cameras(tmp_path / "missing")
    with pytest.raises(InputError, match="found neither"):
        read_rig_cameras(files.write_json(tmp_path / "other.json", {"cameras": 3}))


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (["cam01.jpg", "cam02.png"], ["cam01", "cam02"]),
        (["images/cam01.jpg", "images/cam02.jpg"], ["cam01", "cam02"]),
        (["cam01/0.jpg", "cam02/0.jpg", "cam01/1.jpg"], ["cam01", "cam02", "cam01"]),
        (["./images/a/0.jpg", "./images/b/0.jpg"], ["a", "b"]),
        (["a/images/0.jpg", "b/images/0.jpg"], ["a", "b"]),
        (["s/a/x/images/0.jpg", "s/b/y/images/0.jpg"], ["a_x", "b_y"]),
        (["cam01\\0.jpg", "cam02\\0.jpg"], ["cam01", "cam02"]),
        (["a/0.jpg", "front.jpg"], ["a", "front"]),
        ([], []),
    ],
)
def test_names(paths, expected):
    assert camera_names(paths) == expected


def test_aligned_rigs_look_down_minus_z(rig):
    T_world_any = np.eye(4)
    T_world_any[:3, :3] = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    T_world_any[:3, :3] *= np.linalg.det(T_world_any[:3, :3])
    T_world_any[:3, 3] = 1, 2, 3
    turned = RigCameras(rig.names, rig.K, rig.T_camera_world @ T_world_any, rig.sizes, rig.distortion)
    aligned, T_aligned_world = align_to_axes(turned)
    np.testing.assert_allclose(
        mean_rotation(aligned.T_camera_world[:, :3, :3].transpose(0, 2, 1)), np.eye(3), atol=1e-12
    )
    np.testing.assert_allclose(aligned.T_camera_world @ T_aligned_world, turned.T_camera_world, atol=1e-12)
    np.testing.assert_allclose(T_aligned_world[:3, :3] @ T_aligned_world[:3, :3].T, np.eye(3), atol=1e-12)
    np.testing.assert_array_equal(T_aligned_world[:, 3], [0, 0, 0, 1])
    point = np.linalg.inv(T_world_any) @ [*files.POINT, 1]
    for k in range(3):
        seen, _ = aligned.camera(k, torch.float64).project(torch.from_numpy((T_aligned_world @ point)[None, :3]))
        np.testing.assert_allclose(seen[0], files.pixels(k), atol=1e-9)


def test_the_identity_is_aligned_already(rig):
    single = RigCameras(rig.names[:1], rig.K[:1], np.eye(4)[None], rig.sizes[:1], rig.distortion[:1])
    np.testing.assert_array_equal(align_to_axes(single)[1], np.eye(4))


def test_cameras_all_around_have_no_average(rig):
    around = np.stack([files.look_at((np.sin(a), 0, np.cos(a))) for a in np.linspace(0, 2 * np.pi, 9)[:-1]])
    rig = RigCameras(("x",) * 8, np.stack([rig.K[0]] * 8), around, np.stack([rig.sizes[0]] * 8), np.zeros((8, 5)))
    with pytest.raises(InputError, match="cameras around one side"):
        align_to_axes(rig)


def test_selection_follows_the_pictures(rig):
    kept = rig.select(["cam10", "cam01"])
    assert kept.names == ("cam10", "cam01")
    np.testing.assert_array_equal(kept.K, rig.K[[2, 0]])
    np.testing.assert_array_equal(kept.T_camera_world, rig.T_camera_world[[2, 0]])
    with pytest.raises(InputError, match="found none for cam03 among cam01, cam02, cam10"):
        rig.select(["cam01", "cam03"])


@pytest.mark.parametrize("by", [1, 2])
def test_undistorted_pixels_lie_where_the_pinhole_sees_them(rig, by):
    k1, k2, p1, p2 = -0.2, 0.05, 0.01, -0.004
    bent = RigCameras(rig.names, rig.K, rig.T_camera_world, np.array(files.SIZES), np.tile([k1, k2, p1, p2, 0], (3, 1)))
    height, width = files.SIZES[1]
    map_x, map_y = undistort_maps(bent, 1, (height // by, width // by))
    assert map_x.shape == map_y.shape == (height // by, width // by)
    # The formula of the OpenCV lens, at the centre of a pixel of the undistorted picture.
    column, row = 40 // by, 90 // by
    fx, fy, cx, cy = files.pinhole(1)
    x, y = ((column + 0.5) * by - cx) / fx, ((row + 0.5) * by - cy) / fy
    r2 = x * x + y * y
    radial = 1 + k1 * r2 + k2 * r2**2
    seen_x = fx * (x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)) + cx
    seen_y = fy * (y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y) + cy
    np.testing.assert_allclose(
        [map_x[row, column], map_y[row, column]], [seen_x / by - 0.5, seen_y / by - 0.5], atol=2e-4
    )


def test_no_distortion_changes_no_picture(rig):
    sized = RigCameras(rig.names, rig.K, rig.T_camera_world, np.array(files.SIZES), rig.distortion)
    picture = np.random.default_rng(0).integers(0, 256, (*files.SIZES[1], 3), dtype=np.uint8)
    remapped = cv2.remap(picture, *undistort_maps(sized, 1), cv2.INTER_LINEAR)
    np.testing.assert_array_equal(remapped[1:-1, 1:-1], picture[1:-1, 1:-1])
