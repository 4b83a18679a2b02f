import math
from dataclasses import replace

import pytest
import torch
from tracked_heads import builtin_head

from vhap.evaluate import eyes_and_mouth as measures
from vhap.geometry.rotations import axis_angle_to_matrix
from vhap.head.model import HeadParams, landmark_points, pose, zero_params


def head_points(params: HeadParams) -> torch.Tensor:
    head = builtin_head()
    return landmark_points(head, measures.in_head_space(pose(head, params), params), "ibug")


def with_expression(**values: float) -> HeadParams:
    head = builtin_head()
    params = zero_params(head)
    for name, value in values.items():
        params.expr[head.expr_names.index(name)] = value
    return params


def turned(params: HeadParams) -> HeadParams:
    rotation, neck = torch.tensor([0.3, -0.8, 0.2]), torch.tensor([-0.2, 0.1, 0.3])
    return replace(params, rotation=rotation, neck_pose=neck, translation=torch.tensor([0.1, 2.0, -1.0]))


@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_lid_gap_is_in_eye_widths_and_negative_where_lids_cross(scale):
    upper = torch.tensor([[0.0, 3.0, 1.0], [1.0, -1.0, 0.0]]) * scale
    lower = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]) * scale
    gaps = measures.eyelid_gap(upper, lower, torch.tensor(10.0) * scale)
    torch.testing.assert_close(gaps, torch.tensor([0.2, -0.1]))


def test_lids_of_each_eye_close_with_its_blink_only():
    open_eyes = measures.eyelid_gaps(head_points(with_expression()))
    right, left = measures.eyelid_gaps(head_points(with_expression(eyeBlink_R=1)))
    assert open_eyes.min() > 0.25
    assert abs(right) < 0.01
    assert left == pytest.approx(float(open_eyes[1]), abs=1e-4)


def test_gaps_do_not_depend_on_where_the_head_is_or_on_the_batch():
    params = replace(with_expression(eyeBlink_L=0.4), jaw_pose=torch.tensor([0.2, 0.0, 0.0]))
    points, moved = head_points(params), head_points(turned(params))
    both = torch.stack([points, moved])
    for measure in (measures.eyelid_gaps, measures.mouth_gap):
        torch.testing.assert_close(measure(both)[1], measure(points), atol=1e-4, rtol=0)


def test_mouth_opens_with_the_jaw():
    gaps = [
        float(measures.mouth_gap(head_points(replace(with_expression(), jaw_pose=torch.tensor([angle, 0.0, 0.0])))))
        for angle in (0.0, 0.1, 0.2)
    ]
    assert abs(gaps[0]) < 0.05
    assert gaps[0] + 0.2 < gaps[1] < gaps[2] - 0.2


def test_optical_axes_are_those_of_the_eye_joints_however_the_head_turns_and_whoever_it_is():
    head = builtin_head()
    angles = torch.tensor([0.1, -0.3, 0.0, -0.2, 0.25, 0.0])
    random = torch.Generator().manual_seed(0)
    shape = torch.randn(head.n_shape, generator=random)
    params = turned(replace(zero_params(head), eyes_pose=angles, shape=shape))
    axes = measures.optical_axes(head, measures.in_head_space(pose(head, params), params))
    left, right = axis_angle_to_matrix(angles.view(2, 3))[..., 2]
    assert measures.gaze_error_deg(axes, torch.stack([right, left])).max() < 0.5


def test_gaze_error_is_an_angle_without_sign_exact_for_small_ones():
    ahead = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    for degrees in (0.0, 1e-4, 15.0, 90.0, 180.0):
        angle = math.radians(degrees)
        aside = torch.tensor([-math.sin(angle), 0.0, math.cos(angle)], dtype=torch.float64)
        assert float(measures.gaze_error_deg(aside, ahead)) == pytest.approx(degrees, abs=1e-9)


def test_teeth_are_outside_by_their_distance_before_the_foremost_skin_that_covers_them():
    lip = torch.tensor([[0.0, 0.0, 0.01], [1.0, 0.0, 0.01], [0.0, 1.0, 0.01]])
    lips = torch.stack([lip, lip - torch.tensor([0.0, 0.0, 0.005])])
    before, behind, beside = torch.tensor([[0.2, 0.2, 0.013], [0.2, 0.2, 0.008], [0.9, 0.9, 0.5]])
    assert measures.teeth_outside_mm(torch.stack([behind, beside]), lips) == 0
    assert measures.teeth_outside_mm(torch.stack([behind, before, beside]), lips) == pytest.approx(3, abs=1e-4)
    assert measures.teeth_outside_mm(before[None], lips.flip(1)) == 0, "the back of the skin covers nothing"
    sloped = lips + torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 0.01], [0.0, 0.0, 0.0]])
    assert measures.teeth_outside_mm(before[None], sloped) == pytest.approx(1, abs=1e-4)


def test_a_lip_seen_edge_on_covers_nothing():
    edge_on = torch.tensor([[[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.5, 0.0, 1.0]]])
    assert measures.teeth_outside_mm(torch.tensor([[0.5, 0.0, 5.0]]), edge_on) == 0
