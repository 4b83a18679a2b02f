from dataclasses import replace

import numpy as np
import pytest
import torch
from filmed_rigs import FilmedRig, film, in_world

from vhap.fit.rigs.alignment import RigFit, fit_rig
from vhap.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle


def fitted(rig: FilmedRig, keep_axes: bool = False) -> RigFit:
    fit = fit_rig(rig.head, rig.name, rig.points_px, rig.weight, rig.camera, keep_axes)
    assert fit is not None
    return fit


def scale_error(rig: FilmedRig, fit: RigFit) -> float:
    """Relative, since the world's units are world.scale to the metre."""
    return abs(fit.metres_per_unit * rig.world.scale - 1)


@pytest.mark.parametrize("name", ["ibug", "mediapipe"])
@pytest.mark.parametrize("cameras", [2, 4, 8, 16])
def test_scale_is_found_with_noise_and_wrong_points(name: str, cameras: int) -> None:
    rig = film(cameras, name, seed=cameras)
    fit = fitted(rig)
    assert scale_error(rig, fit) < 0.003
    assert fit.reprojection_px < 1.2
    assert fit.reprojection < 0.008
    assert float(fit.camera_error.max()) < 0.01
    assert fit.template_error < 0.03


@pytest.mark.parametrize("name", ["ibug", "mediapipe"])
def test_cameras_close_together_give_the_scale_less_sharply(name: str) -> None:
    errors = []
    for cameras in (2, 4, 8):
        rig = film(cameras, name, arc_deg=20, seed=cameras)
        errors.append(scale_error(rig, fitted(rig)))
    assert max(errors) < 0.008


def test_another_face_shape_changes_the_scale_by_no_more_than_heads_differ() -> None:
    rigs = [film(8, seed=seed, shape=1.0) for seed in range(4)]
    errors = [scale_error(rig, fitted(rig)) for rig in rigs]
    assert max(errors) < 0.05


def test_the_mean_head_is_upright_near_the_origin() -> None:
    rig = film(8, seed=3)
    fit = fitted(rig)
    T = fit.T_tracked_given
    turn = T[:3, :3] / torch.linalg.det(T[:3, :3]) ** (1 / 3)
    poses = turn @ torch.from_numpy(rig.world.rotation) @ axis_angle_to_matrix(rig.params.rotation.double())
    left, _, right = torch.linalg.svd(poses.mean(0))
    assert np.degrees(float(matrix_to_axis_angle(left @ right).norm())) < 1
    root = rig.head.joint_template[0].double()
    places = in_world(rig.world, root + rig.params.translation.double()) @ T[:3, :3].T + T[:3, 3]
    assert float((places.quantile(0.5, dim=0) - root).norm()) < 0.003


def test_moved_cameras_see_the_tracked_points_in_metres() -> None:
    rig = film(4, noise_px=0, wrong=0)
    fit = fitted(rig)
    tracked = rig.points @ fit.T_tracked_given[:3, :3].T + fit.T_tracked_given[:3, 3]
    pixels, depth = rig.camera.moved(fit.T_tracked_given).project(tracked[:, None])
    sliding = 17
    torch.testing.assert_close(pixels[:, :, sliding:], rig.clean_px[:, :, sliding:], rtol=0, atol=0.01)
    assert 0.8 < float(depth.median()) < 1.2


def test_single_precision_is_enough_for_what_comes_in() -> None:
    rig = film(4)
    fit = fit_rig(rig.head, rig.name, rig.points_px.float(), rig.weight.float(), rig.camera.to(torch.float32))
    assert fit is not None
    assert fit.T_tracked_given.dtype == torch.float64
    torch.testing.assert_close(fit.T_tracked_given, fitted(rig).T_tracked_given, rtol=0, atol=1e-3)


def test_kept_axes_change_the_unit_only() -> None:
    rig = film(4)
    fit, moved = fitted(rig, keep_axes=True), fitted(rig)
    expected = torch.diag(torch.tensor([fit.metres_per_unit] * 3 + [1.0], dtype=torch.float64))
    torch.testing.assert_close(fit.T_tracked_given, expected)
    assert fit.metres_per_unit == moved.metres_per_unit


def test_points_that_were_not_detected_do_not_count() -> None:
    rig = film(6, wrong=0)
    weight = rig.weight.clone()
    weight[:, :2, 30:50] = 0
    weight[3] = 0
    weight[4, 1:] = 0
    weight[:, 5] = 0
    garbage = torch.where(weight[..., None] > 0, rig.points_px, torch.zeros_like(rig.points_px))
    fit = fitted(replace(rig, points_px=garbage, weight=weight))
    assert scale_error(rig, fit) < 0.003
    assert bool(torch.isnan(fit.camera_error[5]))
    assert float(fit.camera_error[:5].max()) < 0.01


def test_nothing_is_solved_where_no_two_cameras_see_the_head() -> None:
    rig = film(2)
    one = replace(rig.camera, **{n: getattr(rig.camera, n)[:1] for n in ("fx", "fy", "cx", "cy", "T_camera_world")})
    assert fit_rig(rig.head, rig.name, rig.points_px[:, :1], rig.weight[:, :1], one) is None
    weight = rig.weight.clone()
    weight[::2, 0] = 0
    weight[1::2, 1] = 0
    assert fit_rig(rig.head, rig.name, rig.points_px, weight, rig.camera) is None
