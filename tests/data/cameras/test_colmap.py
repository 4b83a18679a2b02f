"""COLMAP models, text and binary, written by the test as the format's documentation says."""

from __future__ import annotations

import numpy as np
import pytest
import rig_files as files
import torch

from vhap.data.cameras.colmap import read_colmap
from vhap.util.errors import InputError

WRITERS = [files.write_colmap_text, files.write_colmap_binary]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("pictures", [1, 4])
def test_cameras_see_a_point_where_the_formula_puts_it(tmp_path, write, pictures):
    write(tmp_path, files.colmap_images(pictures))
    rig = read_colmap(tmp_path)
    assert rig.names == files.NAMES
    np.testing.assert_array_equal(rig.sizes, files.SIZES)
    np.testing.assert_array_equal(rig.distortion, 0)
    for k in range(3):
        camera = rig.camera(k, torch.float64)
        seen, depth = camera.project(torch.from_numpy(files.POINT)[None])
        np.testing.assert_allclose(seen[0], files.pixels(k), atol=1e-9)
        assert depth > 0
        assert (camera.height, camera.width) == files.SIZES[k]


@pytest.mark.parametrize("write", WRITERS)
def test_lenses(tmp_path, write):
    lenses = [
        (0, "SIMPLE_PINHOLE", [700, 300, 260]),
        (3, "RADIAL", [650, 170, 230, 0.1, -0.02]),
        (4, "OPENCV", [2000, 2010, 530, 820, 0.1, -0.02, 0.003, 0.004]),
    ]
    write(tmp_path, lenses=lenses)
    rig = read_colmap(tmp_path)
    np.testing.assert_array_equal(rig.K[:, 0, 0], [700, 650, 2000])
    np.testing.assert_array_equal(rig.K[:, 1, 1], [700, 650, 2010])
    np.testing.assert_array_equal(rig.K[:, :2, 2], [[300, 260], [170, 230], [530, 820]])
    expected = [[0, 0, 0, 0, 0], [0.1, -0.02, 0, 0, 0], [0.1, -0.02, 0.003, 0.004, 0]]
    np.testing.assert_array_equal(rig.distortion, expected)


@pytest.mark.parametrize("write", WRITERS)
def test_one_coefficient(tmp_path, write):
    lenses = files.colmap_lenses()
    lenses[1] = (2, "SIMPLE_RADIAL", [650, 170, 230, -0.07])
    write(tmp_path, lenses=lenses)
    np.testing.assert_array_equal(read_colmap(tmp_path).distortion[1], [-0.07, 0, 0, 0, 0])


@pytest.mark.parametrize("write", WRITERS)
def test_other_lenses_are_refused(tmp_path, write):
    lenses = files.colmap_lenses()
    lenses[1] = (5, "OPENCV_FISHEYE", [650, 650, 170, 230, 0, 0, 0, 0])
    write(tmp_path, lenses=lenses)
    with pytest.raises(InputError, match=r"SIMPLE_PINHOLE.*found (OPENCV_FISHEYE|model number 5)"):
        read_colmap(tmp_path)


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize(
    ("moved", "turned_deg", "message"),
    [((0.02, 0, 0), 0, "cam02 .* found pictures up to 0.02 apart"), ((0, 0, 0), 2, "turned by up to 2 degrees")],
)
def test_a_camera_that_moves_is_refused(tmp_path, write, moved, turned_deg, message):
    images = files.colmap_images(3)
    name, k, pose = images[4]
    pose = pose.copy()
    angle = np.radians(turned_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    centre = -pose[:3, :3].T @ pose[:3, 3] + moved
    pose[:3, :3] = turn @ pose[:3, :3]
    pose[:3, 3] = -pose[:3, :3] @ centre
    images[4] = (name, k, pose)
    write(tmp_path, images)
    with pytest.raises(InputError, match=message):
        read_colmap(tmp_path)


def test_small_differences_are_averaged(tmp_path):
    images = files.colmap_images(2)
    for index, shift in ((2, 0.0005), (3, -0.0005)):
        name, k, pose = images[index]
        pose = pose.copy()
        pose[:3, 3] += shift
        images[index] = (name, k, pose)
    files.write_colmap_text(tmp_path, images)
    expected = np.diag([1, -1, -1, 1]) @ files.POSES[1]
    np.testing.assert_allclose(read_colmap(tmp_path).T_camera_world[1], expected, atol=1e-12)


def test_one_size_a_camera(tmp_path):
    images = [("a/0.jpg", 0, files.POSES[0]), ("b/0.jpg", 2, files.POSES[2]), ("b/1.jpg", 2, files.POSES[2])]
    files.write_colmap_text(tmp_path, images)
    assert read_colmap(tmp_path).names == ("a", "b")
    files.write_colmap_text(tmp_path, [*images, ("b/2.jpg", 0, files.POSES[2])])
    with pytest.raises(InputError, match=r"still camera b .*several sizes"):
        read_colmap(tmp_path)


@pytest.mark.parametrize("name", ["cameras.bin", "images.bin"])
def test_every_cut_of_a_binary_file_is_noticed(tmp_path, name):
    files.write_colmap_binary(tmp_path)
    whole = (tmp_path / name).read_bytes()
    for length in range(len(whole)):
        (tmp_path / name).write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"expected more after byte .* export the model again"):
            read_colmap(tmp_path)


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("cameras.txt", "PINHOLE 640 480 700.0", "PINHOLE 640 480 -700.0", "positive focal lengths.*-700"),
        ("cameras.txt", "PINHOLE 640 480 700.0", "PINHOLE 640 480 nan", "finite numbers"),
        ("cameras.txt", "PINHOLE 640 480 700.0", "PINHOLE 640 480", "fx fy cx cy of shape .*found shape"),
        ("cameras.txt", "PINHOLE 640 480", "PINHOLE 640 big", "CAMERA_ID MODEL WIDTH HEIGHT"),
        ("cameras.txt", "PINHOLE 640 480", "PINHOLE 640 0", "positive height and width"),
        ("images.txt", " 1 cam01.jpg", " 9 cam01.jpg", "camera_id of cameras.txt.*found 9"),
        ("images.txt", "1 cam01.jpg", "", "IMAGE_ID QW QX"),
        ("images.txt", "12.5 30.25 -1 40.0 50.5 7\n", "", "points X Y POINT3D_ID"),
    ],
)
def test_wrong_text(tmp_path, name, old, new, message):
    files.write_colmap_text(tmp_path)
    text = (tmp_path / name).read_text()
    assert old in text
    (tmp_path / name).write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=message) as error:
        read_colmap(tmp_path)
    assert "\n" not in str(error.value)


def test_quaternions_are_of_unit_length(tmp_path):
    files.write_colmap_text(tmp_path)
    lines = (tmp_path / "images.txt").read_text().splitlines()
    words = lines[1].split()
    lines[1] = " ".join([words[0], *(str(2 * float(word)) for word in words[1:5]), *words[5:]])
    (tmp_path / "images.txt").write_text("\n".join(lines))
    with pytest.raises(InputError, match=r"unit quaternion .*found one of length 2"):
        read_colmap(tmp_path)


def test_half_a_model(tmp_path):
    files.write_colmap_text(tmp_path)
    (tmp_path / "cameras.txt").unlink()
    with pytest.raises(InputError, match=r"cameras.txt in .*found none"):
        read_colmap(tmp_path)
