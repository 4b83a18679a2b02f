"""How posed vertices move, against automatic differentiation."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.func import jacfwd

from vhap.head.derivatives import coefficient_derivatives, motion_derivatives
from vhap.head.load import load_head
from vhap.head.model import HeadModel, HeadParams, map_tensors, pose

MOTION = ("rotation", "translation", "neck_pose", "jaw_pose", "eyes_pose")


def random_like(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)), dtype=torch.double)


def bent_head(correctives: bool) -> HeadModel:
    """Few vertices in double precision, joints that move with shape, and correctives where wanted."""
    head = load_head("builtin")
    some = torch.arange(0, head.n_vertices, 40)
    small = head.keep_vertices(some)
    small = map_tensors(small, lambda tensor: tensor.double() if tensor.is_floating_point() else tensor)
    return replace(small, pose_basis=0.01 * random_like(len(some), 3, 36) if correctives else None)


def params_of(head: HeadModel, scale: float | None, turned: float = 0.4) -> HeadParams:
    """Two frames of one person."""

    def some(width: int) -> Tensor:
        return turned * random_like(2, width)

    return HeadParams(
        shape=random_like(head.n_shape),
        expr=some(head.n_expr),
        rotation=some(3),
        translation=some(3),
        neck_pose=some(3).flip(0),
        jaw_pose=some(3).flip(1),
        eyes_pose=some(6),
        static_offset=0.01 * random_like(head.n_vertices, 3),
        scale=None if scale is None else torch.tensor(scale, dtype=torch.double),
    )


def one_of(params: HeadParams, frame: int) -> HeadParams:
    return replace(params, **{name: getattr(params, name)[frame] for name in (*MOTION, "expr")})


def expected_slopes(head: HeadModel, params: HeadParams, name: str) -> Tensor:
    """(V, 3, K)."""
    return jacfwd(lambda value: pose(head, replace(params, **{name: value})))(getattr(params, name))


@pytest.mark.parametrize("correctives", [False, True], ids=["plain", "correctives"])
@pytest.mark.parametrize("scale", [None, 1.3])
def test_vertices_move_with_coefficients_as_autograd_finds(correctives, scale):
    head = bent_head(correctives)
    params = params_of(head, scale)
    by_shape, by_expr = coefficient_derivatives(head, params)
    for frame in range(2):
        one = one_of(params, frame)
        torch.testing.assert_close(by_shape[frame], expected_slopes(head, one, "shape"), atol=1e-12, rtol=1e-9)
        torch.testing.assert_close(by_expr[frame], expected_slopes(head, one, "expr"), atol=1e-12, rtol=1e-9)


@pytest.mark.parametrize("correctives", [False, True], ids=["plain", "correctives"])
@pytest.mark.parametrize("scale", [None, 1.3])
@pytest.mark.parametrize("turned", [0.4, 0.0, 1e-6], ids=["turned", "at rest", "next to rest"])
def test_vertices_move_with_joints_as_autograd_finds(correctives, scale, turned):
    head = bent_head(correctives)
    params = params_of(head, scale, turned)
    found = motion_derivatives(head, params)
    for frame in range(2):
        expected = torch.cat([expected_slopes(head, one_of(params, frame), name) for name in MOTION], -1)
        torch.testing.assert_close(found[frame], expected, atol=1e-10, rtol=1e-6)
        torch.testing.assert_close(motion_derivatives(head, one_of(params, frame)), found[frame], atol=1e-12, rtol=1e-9)
