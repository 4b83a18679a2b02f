"""DECA's codes: a perspective camera far away is the weak-perspective one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vhap.geometry.cameras import camera_from_focal
from vhap.geometry.rotations import axis_angle_to_matrix
from vhap.head.builtin import load_builtin
from vhap.head.model import HeadParams, landmark_head, landmark_points, pose, zero_params
from vhap.relightable.deca_codes import deca_code, face_square


@pytest.fixture(scope="module")
def head():
    return landmark_head(load_builtin(), "ibug")


def params_of(head, distance_m: float, beside: float) -> HeadParams:
    params = zero_params(head)
    params.shape[:3] = torch.tensor([1.0, -0.5, 0.7])
    params.rotation[:] = torch.tensor([0.1, 0.3, -0.05])
    params.neck_pose[:] = torch.tensor([-0.05, 0.15, 0.02])
    params.jaw_pose[0] = 0.1
    params.translation[:] = torch.tensor([beside * distance_m, 0.05 * distance_m, 1 - distance_m])
    return params


def gaps_px(head, distance_m: float, beside: float = 0.0) -> np.ndarray:
    """(51,): between the pixels and where the code places the points in the face's square."""
    params = params_of(head, distance_m, beside)
    camera = camera_from_focal(torch.tensor(2.4 * distance_m), 512, 512)
    code = deca_code(head, params, camera)
    neutral = zero_params(head)
    values = {"rotation": code.pose[:3], "jaw_pose": code.pose[3:]}
    for name, value in values.items():
        getattr(neutral, name)[:] = torch.from_numpy(value).float()
    neutral.shape[:] = params.shape
    points = landmark_points(head, pose(head, neutral)[None], "ibug")[0].numpy()
    placed = code.cam[0] * (points[:, :2] + code.cam[1:]) * (1, -1)
    pixels = camera.project(landmark_points(head, pose(head, params)[None], "ibug")[0])[0].numpy()
    centre, side = face_square(pixels[:68])
    return np.linalg.norm(placed * side / 2 + centre - pixels, axis=1)[17:68]


def test_the_gap_falls_with_the_distance(head) -> None:
    near, far = (gaps_px(head, distance).mean() for distance in (1.0, 10.0))
    assert near < 3
    assert far < 0.15 * near


def test_beside_the_axis_the_head_is_seen_along_its_ray(head) -> None:
    # Without turning the view onto the axis, 0.15 rad would leave 0.15 of the face's depth.
    assert gaps_px(head, 10.0, 0.15).mean() < 1.2


def test_the_neck_is_in_the_head_s_rotation(head) -> None:
    params = params_of(head, 1000.0, 0.0)
    params.translation[:2] = 0
    code = deca_code(head, params, camera_from_focal(torch.tensor(2400.0), 512, 512))
    wanted = axis_angle_to_matrix(params.rotation) @ axis_angle_to_matrix(params.neck_pose)
    found = axis_angle_to_matrix(torch.from_numpy(code.pose[:3]).float())
    torch.testing.assert_close(found, wanted, atol=1e-3, rtol=0)
    np.testing.assert_allclose(code.pose[3:], params.jaw_pose)
    assert code.shape.shape == (100,)
    assert code.exp.shape == (50,)
    np.testing.assert_array_equal(code.shape[head.n_shape :], 0)
