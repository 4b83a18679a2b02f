"""Matrices of the data managers: what they answer, with the official kit's package of matrices and without."""

from __future__ import annotations

import enum
import pickle
import sys
import types

import cv2
import numpy as np
import pytest

from vhap.data.nersemble.matrices import Intrinsics, Pose, intrinsics, world_to_camera

CAMERA = np.array([[8200.5, 0, 1103.25], [0, 8199.0, 1604], [0, 0, 1]])


def rigid() -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = cv2.Rodrigues(np.array([0.3, -1.1, 0.4]))[0]
    matrix[:3, 3] = 0.2, -0.5, 1.25
    return matrix


@pytest.fixture
def without_dreifus(monkeypatch):
    for name in ("dreifus", "dreifus.camera", "dreifus.matrix"):
        monkeypatch.setitem(sys.modules, name, None)


def test_a_pose(without_dreifus):
    pose = world_to_camera(rigid())
    assert isinstance(pose, Pose)
    assert pose.dtype == np.float32
    np.testing.assert_allclose(pose.invert(), np.linalg.inv(rigid()), atol=1e-6)
    assert isinstance(pose.invert(), Pose)
    np.testing.assert_allclose(pose, rigid(), atol=1e-6)
    np.testing.assert_allclose(pose.get_rotation_matrix(), rigid()[:3, :3], atol=1e-6)
    np.testing.assert_allclose(pose.get_translation(), rigid()[:3, 3], atol=1e-6)
    product = pose @ pose.invert()
    assert isinstance(product, Pose)
    np.testing.assert_allclose(product, np.eye(4), atol=1e-6)
    point = pose @ np.array([0, 0, 0, 1.0])
    assert type(point) is np.ndarray
    np.testing.assert_allclose(point[:3], rigid()[:3, 3], atol=1e-6)
    assert type(np.eye(4) @ pose) is np.ndarray
    assert pose.invert(inplace=True) is pose
    np.testing.assert_allclose(pose, np.linalg.inv(rigid()), atol=1e-6)


def test_intrinsics(without_dreifus):
    camera = intrinsics(CAMERA)
    assert isinstance(camera, Intrinsics)
    assert (camera.fx, camera.fy, camera.cx, camera.cy, camera.s) == (8200.5, 8199, 1103.25, 1604, 0)
    assert camera.get_fovx(2200) == pytest.approx(2 * np.arctan(1100 / 8200.5))
    assert camera.get_fovy(3208) == pytest.approx(2 * np.arctan(1604 / 8199))
    half = camera.rescale(0.5, inplace=False)
    np.testing.assert_allclose(half, [[4100.25, 0, 551.625], [0, 4099.5, 802], [0, 0, 1]])
    assert camera.fx == 8200.5
    np.testing.assert_allclose(camera.crop(100, 4, inplace=False)[:2, 2], [1003.25, 1600])
    np.testing.assert_allclose(camera.homogenize(invert=True) @ camera.homogenize(), np.eye(4), atol=1e-9)
    np.testing.assert_allclose(camera.invert() @ CAMERA, np.eye(3), atol=1e-4)
    assert type(camera @ np.ones(3)) is np.ndarray
    assert type(camera.numpy()) is np.ndarray
    assert camera.rescale(2, 3) is camera
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == (16401, 24597, 2206.5, 4812)


def test_copies_keep_their_kind(without_dreifus):
    for matrix in (world_to_camera(rigid()), intrinsics(CAMERA)):
        for copy in (matrix.copy(), pickle.loads(pickle.dumps(matrix))):
            assert type(copy) is type(matrix)
            np.testing.assert_array_equal(copy, matrix)


def test_types_of_dreifus_where_it_is_installed(monkeypatch):
    made = []
    camera, matrix = types.ModuleType("dreifus.camera"), types.ModuleType("dreifus.matrix")
    camera.CameraCoordinateConvention = enum.Enum("CameraCoordinateConvention", ["OPEN_CV", "OPEN_GL"])
    camera.PoseType = enum.Enum("PoseType", ["WORLD_2_CAM", "CAM_2_WORLD"])
    matrix.Pose = lambda rows, **options: made.append((rows, options)) or "pose"
    matrix.Intrinsics = lambda rows: made.append((rows, {})) or "intrinsics"
    for module in (types.ModuleType("dreifus"), camera, matrix):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    assert world_to_camera(rigid()) == "pose"
    assert intrinsics(CAMERA) == "intrinsics"
    np.testing.assert_array_equal(made[0][0], rigid())
    assert {key: value.name for key, value in made[0][1].items()} == {
        "camera_coordinate_convention": "OPEN_CV",
        "pose_type": "WORLD_2_CAM",
    }


def test_same_as_dreifus(monkeypatch):
    """Where it is installed, our own types give what its types give."""
    kit = pytest.importorskip("dreifus.matrix", exc_type=ImportError)
    theirs, ours = kit.Pose(rigid()), Pose(rigid())
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    np.testing.assert_allclose(ours.invert(), theirs.invert(), atol=1e-6)
    theirs, ours = kit.Intrinsics(CAMERA), Intrinsics(CAMERA)
    for change in (lambda m: m.rescale(0.5), lambda m: m.rescale(2, 3), lambda m: m.crop(3, 4)):
        np.testing.assert_allclose(change(ours), change(theirs))
    for name in ("fx", "fy", "cx", "cy", "s"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert ours.get_fovx(2200) == theirs.get_fovx(2200)
    np.testing.assert_allclose(ours.homogenize(True), theirs.homogenize(True))
    np.testing.assert_allclose(ours.invert(), theirs.invert(), rtol=1e-5)
