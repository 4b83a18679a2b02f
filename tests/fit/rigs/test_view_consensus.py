"""Faces that a detector finds where there are none must not move the head."""

import pytest
import torch
from filmed_rigs import film

from vhap.fit.rigs.view_consensus import agreeing_views


def moment(cameras: int = 8):
    """Detections of one moment: points (C, L, 2), weight (C, L), cameras."""
    rig = film(cameras, wrong=0.0, timesteps=1)
    return rig.points_px[0], rig.weight[0], rig.camera


def test_all_views_of_a_head_agree():
    points, weight, camera = moment()
    assert agreeing_views(points, weight, camera).all()


@pytest.mark.parametrize("wrong", [(2,), (0, 3, 7)])
def test_faces_found_elsewhere_are_left_out(wrong):
    points, weight, camera = moment()
    points = points.clone()
    for view in wrong:
        points[view] = points[view].flip(0) * 0.7 + 40 * view
    kept = agreeing_views(points, weight, camera)
    assert [view for view in range(8) if not kept[view]] == list(wrong)


def test_views_without_a_face_take_no_part():
    points, weight, camera = moment()
    weight = weight.clone()
    weight[4] = 0
    assert agreeing_views(points, weight, camera).tolist() == [view != 4 for view in range(8)]
    assert not agreeing_views(points, torch.zeros_like(weight), camera).any()


def test_cameras_that_are_wrong_altogether_leave_all_views():
    """Which convention the file was written in is found out with all of them."""
    points, weight, camera = moment()
    noise = torch.rand(points.shape, generator=torch.Generator().manual_seed(0))
    assert agreeing_views(noise * 500, weight, camera).all()
