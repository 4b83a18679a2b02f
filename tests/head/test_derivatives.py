"""How points on a posed head move, against automatic differentiation of all its vertices."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor
from torch.func import jacfwd

from vhap.geometry.meshes import barycentric_points
from vhap.head.joints import PosedJoints
from vhap.head.load import load_head
from vhap.head.model import HeadModel, HeadParams, map_tensors, pose
from vhap.head.points import JointDerivatives, JointMotion, RowDerivatives, SkinnedPoints, row_derivatives

MOTION = ("rotation", "translation", "neck_pose", "jaw_pose", "eyes_pose")
FRAMES, ROWS, POINTS = 2, 3, 9


def random_like(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)), dtype=torch.double)


def in_double(head: HeadModel) -> HeadModel:
    return map_tensors(head, lambda tensor: tensor.double() if tensor.is_floating_point() else tensor)


def bent_head(correctives: bool) -> HeadModel:
    """Few vertices in double precision, joints that move with shape, faces at random, and correctives where wanted."""
    head = load_head("builtin")
    some = torch.arange(0, head.n_vertices, 40)
    faces = torch.randint(len(some), (POINTS, 3), generator=torch.Generator().manual_seed(0))
    small = replace(in_double(head.keep_vertices(some)), faces=faces)
    return replace(small, pose_basis=0.01 * random_like(len(some), 3, 36) if correctives else None)


def params_of(head: HeadModel, scale: float | None, turned: float = 0.4) -> HeadParams:
    """Two frames of one person."""

    def some(width: int) -> Tensor:
        return turned * random_like(FRAMES, width)

    return HeadParams(
        shape=random_like(head.n_shape),
        expr=some(head.n_expr),
        rotation=some(3),
        translation=some(3),
        neck_pose=some(3).flip(0),
        jaw_pose=some(3).flip(1),
        eyes_pose=some(6),
        scale=None if scale is None else torch.tensor(scale, dtype=torch.double),
    )


def one_of(params: HeadParams, frame: int) -> HeadParams:
    return replace(params, **{name: getattr(params, name)[frame] for name in (*MOTION, "expr")})


@cache
def places() -> tuple[Tensor, Tensor]:
    """Faces and barycentrics of the points."""
    weights = random_like(POINTS, 3).abs() + 0.1
    return torch.arange(POINTS), weights / weights.sum(1, keepdim=True)


def slow_points(head: HeadModel, params: HeadParams) -> Tensor:
    """(N, 3) of one frame."""
    return barycentric_points(pose(head, params), head.faces, *places())


def expected_rows(head: HeadModel, params: HeadParams, name: str, by_point: Tensor) -> Tensor:
    """(R, N, K)."""
    places()  # Random numbers are drawn outside of the differentiation.
    slopes = jacfwd(lambda value: slow_points(head, replace(params, **{name: value})))(getattr(params, name))
    return torch.einsum("rnd,ndk->rnk", by_point, slopes)


def found_rows(head: HeadModel, params: HeadParams, by_point: Tensor, apart: bool = False) -> RowDerivatives:
    """apart: each frame has points of its own, the same ones."""
    points = SkinnedPoints.of(head, *places())
    joints = PosedJoints.of(head, params)
    motion, derivatives = JointMotion.of(joints), JointDerivatives.of(joints)
    if apart:
        points = points.at(torch.arange(POINTS).expand(FRAMES, -1))
    local = motion.local(points.with_shape(params.shape))
    return row_derivatives(points, local, motion, derivatives, by_point)


@pytest.mark.parametrize("correctives", [False, True], ids=["plain", "correctives"])
@pytest.mark.parametrize("scale", [None, 1.3])
@pytest.mark.parametrize("turned", [0.4, 0.0, 1e-6], ids=["turned", "at rest", "next to rest"])
def test_points_stand_and_move_as_autograd_finds(correctives, scale, turned):
    head = bent_head(correctives)
    params, by_point = params_of(head, scale, turned), random_like(FRAMES, ROWS, POINTS, 3)
    points, motion = (
        SkinnedPoints.of(head, *places()).with_shape(params.shape),
        JointMotion.of(PosedJoints.of(head, params)),
    )
    placed = motion.place(points, motion.local(points))
    found = found_rows(head, params, by_point)
    assert found.by_shape is not None
    for frame in range(FRAMES):
        one = one_of(params, frame)
        torch.testing.assert_close(placed[frame], slow_points(head, one), atol=1e-12, rtol=1e-9)
        motions = torch.cat([expected_rows(head, one, name, by_point[frame]) for name in MOTION], -1)
        torch.testing.assert_close(found.by_motion[frame], motions, atol=1e-10, rtol=1e-6)
        for name, rows in (("expr", found.by_expr), ("shape", found.by_shape)):
            expected = expected_rows(head, one, name, by_point[frame])
            torch.testing.assert_close(rows[frame], expected, atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("correctives", [False, True], ids=["plain", "correctives"])
def test_points_of_each_frame_are_as_points_of_all(correctives):
    head = bent_head(correctives)
    params, by_point = params_of(head, None), random_like(FRAMES, ROWS, POINTS, 3)
    alike, apart = (found_rows(head, params, by_point, each) for each in (False, True))
    names = ("by_motion", "by_expr", "by_shape")
    for name in names:
        torch.testing.assert_close(getattr(apart, name), getattr(alike, name), atol=1e-12, rtol=1e-9)
    assert len(names) == 3


def test_rows_without_shape_are_those_with_it():
    head = bent_head(correctives=True)
    params, by_point = params_of(head, None), random_like(FRAMES, ROWS, POINTS, 3)
    points, motion = SkinnedPoints.of(head, *places()), JointMotion.of(PosedJoints.of(head, params))
    local = motion.local(points.with_shape(params.shape))
    derivatives = JointDerivatives.of(PosedJoints.of(head, params), by_shape=False)
    own = row_derivatives(points, local, motion, derivatives, by_point, shared=False)
    every = found_rows(head, params, by_point)
    assert own.by_shape is None
    assert torch.equal(own.by_motion, every.by_motion)
    assert torch.equal(own.by_expr, every.by_expr)


def test_single_precision_is_double_precision_rounded():
    head = bent_head(correctives=True)
    params, by_point = params_of(head, None), random_like(FRAMES, ROWS, POINTS, 3)
    single = map_tensors(head, lambda tensor: tensor.float() if tensor.is_floating_point() else tensor)
    rounded = replace(params, **{name: getattr(params, name).float() for name in (*MOTION, "expr", "shape")})
    found, exact = found_rows_single(single, rounded, by_point.float()), found_rows(head, params, by_point)
    assert found.by_shape is not None
    assert exact.by_shape is not None
    assert found.by_shape.dtype == torch.float32
    torch.testing.assert_close(found.by_shape.double(), exact.by_shape, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.by_motion.double(), exact.by_motion, atol=1e-4, rtol=1e-3)


def found_rows_single(head: HeadModel, params: HeadParams, by_point: Tensor) -> RowDerivatives:
    face_ids, barycentrics = places()
    points, motion = (
        SkinnedPoints.of(head, face_ids, barycentrics.float()),
        JointMotion.of(PosedJoints.of(head, params)),
    )
    local = motion.local(points.with_shape(params.shape))
    return row_derivatives(points, local, motion, JointDerivatives.of(PosedJoints.of(head, params)), by_point)
