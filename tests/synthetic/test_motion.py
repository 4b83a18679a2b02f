import numpy as np
import pytest
import torch

from vhap.geometry.rotations import axis_angle_to_matrix
from vhap.head.builtin import load_builtin
from vhap.head.model import joint_rotations, pose
from vhap.synthetic import motion

LIMITS = motion.MotionLimits(yaw_rad=0.6, pitch_rad=0.25, roll_rad=0.15, shift_m=0.03, expression=1.0)
TIMES = np.arange(250) / 25


@pytest.fixture(scope="module")
def clip():
    model = load_builtin()
    return model, motion.make_motion(model, torch.zeros(model.n_shape), TIMES, LIMITS, seed=3)


def test_head_keeps_within_its_limits_and_uses_them(clip):
    model, params = clip
    rotations = joint_rotations(params)
    facing = (rotations[:, 0] @ rotations[:, 1])[:, :, 2]
    yaw = torch.atan2(facing[:, 0], facing[:, 2]).abs()
    assert 0.3 < yaw.max() < LIMITS.yaw_rad + 0.05
    face = model.keep_vertices(model.regions["face"])
    for t in range(0, len(TIMES), 50):
        points = pose(face, motion.frame_params(params, t))
        centre = (points.amin(0) + points.amax(0)) / 2
        assert (centre.abs() <= LIMITS.shift_m + 1e-5).all()


def test_motion_is_smooth(clip):
    _, params = clip
    matrices = axis_angle_to_matrix(params.rotation)
    step = (matrices[1:] - matrices[:-1]).flatten(1).norm(dim=1)
    assert step.max() < 0.15
    assert (params.translation[1:] - params.translation[:-1]).norm(dim=1).max() < 0.03


def test_a_longer_clip_begins_like_the_shorter_one_and_seeds_differ(clip):
    model, params = clip
    shape = torch.zeros(model.n_shape)
    short = motion.make_motion(model, shape, TIMES[:40], LIMITS, seed=3)
    other = motion.make_motion(model, shape, TIMES[:40], LIMITS, seed=4)
    for name in ("rotation", "translation", "expr", "jaw_pose", "eyes_pose", "neck_pose"):
        torch.testing.assert_close(getattr(short, name), getattr(params, name)[:40])
    assert not torch.allclose(short.rotation, other.rotation)


@pytest.mark.parametrize("seed", range(20))
def test_every_two_second_clip_has_a_whole_blink_and_open_eyes(seed):
    closure = motion.eyelid_closure(np.arange(50) / 25, np.random.default_rng(seed))
    assert closure.max() == pytest.approx(1)
    assert (closure < 1e-6).mean() > 0.5
    assert closure[0] == 0


def test_blinks_come_every_two_to_four_seconds():
    closure = motion.eyelid_closure(np.arange(0, 60, 0.01), np.random.default_rng(0))
    starts = np.flatnonzero((closure[1:] > 0.5) & (closure[:-1] <= 0.5)) * 0.01
    assert np.diff(starts).min() > 1.9
    assert np.diff(starts).max() < 4.1


def test_both_lids_close_and_mouth_moves(clip):
    model, params = clip
    left, right = (model.expr_names.index(f"eyeBlink_{side}") for side in "LR")
    assert params.expr[:, left].max() == pytest.approx(1, abs=0.05)
    torch.testing.assert_close(params.expr[:, left], params.expr[:, right])
    assert params.expr.amin() >= 0
    assert 0.1 < params.jaw_pose[:, 0].max() < 0.3
    torch.testing.assert_close(params.eyes_pose[:, :3], params.eyes_pose[:, 3:])


def test_a_head_without_names_still_moves():
    model = load_builtin()
    anonymous = model.__class__(**{**vars(model), "expr_names": ()})
    params = motion.make_motion(anonymous, torch.zeros(model.n_shape), TIMES, LIMITS, seed=0)
    assert params.expr.std(0).min() > 0.05
    assert params.expr.abs().max() < 3


@pytest.mark.parametrize(
    ("name", "key"), [("eyeBlink_L", "eyeblink"), ("mouthSmileRight", "mouthsmile"), ("jawOpen", "jawopen")]
)
def test_sides_of_an_expression_share_a_key(name, key):
    assert motion._without_side(name)[0] == key
