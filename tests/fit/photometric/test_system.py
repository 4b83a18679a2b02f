"""Products and solutions against the same equations as one dense matrix."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from vhap.fit.normal_equations import NormalEquations, empty_equations
from vhap.fit.photometric import system as of_system
from vhap.fit.photometric.system import System, Vector
from vhap.fit.residuals.motion import Motion, MotionPrior, motion_of

OWN, SHARED, POINTS = 5, 4, 300


def some_system(frames: int, seed: int = 0, held: bool = False) -> System:
    """Frames whose points' albedo takes most of what their pictures say."""
    random = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random, dtype=torch.float64)

    rows = normal(frames, POINTS, OWN + SHARED)
    own, shared = rows[..., :OWN], rows[..., OWN:]
    sums = NormalEquations(
        frames=own.mT @ own + 0.1 * torch.eye(OWN),
        coupling=own.mT @ shared,
        shared=(shared.mT @ shared).sum(0) + 0.1 * torch.eye(SHARED),
        right_frames=normal(frames, OWN),
        right_shared=normal(SHARED),
    )
    motion = motion_of(MotionPrior(*[0.5] * 7), 0.1 * normal(frames, OWN + 18), torch.arange(frames), ())
    names = ("own", "next_frame", "after_next", "gradient")
    motion = type(motion)(*(getattr(motion, name)[:, :OWN] for name in names), motion.cost)
    scale = torch.full((POINTS, 1), frames + 0.5, dtype=torch.float64).rsqrt()
    return System(sums, motion, (shared.sum(0) * scale).float(), (own * scale).float().transpose(0, 1))


def dense(system: System) -> tuple[Tensor, Tensor]:
    """The matrix column by column of the definition, not of `product`, and the right-hand side."""
    frames, width = system.sums.right_frames.shape
    size = SHARED + frames * width
    matrix = torch.zeros(size, size, dtype=torch.float64)
    matrix[:SHARED, :SHARED] = system.sums.shared
    place = [slice(SHARED + frame * width, SHARED + (frame + 1) * width) for frame in range(frames)]
    for frame, rows in enumerate(place):
        matrix[rows, rows] = system.sums.frames[frame] + torch.diag(system.motion.own[frame])
        matrix[rows, :SHARED] = system.sums.coupling[frame]
        matrix[:SHARED, rows] = system.sums.coupling[frame].T
        for apart, mixed in ((1, system.motion.next_frame), (2, system.motion.after_next)):
            if frame + apart < frames:
                matrix[rows, place[frame + apart]] += torch.diag(mixed[frame])
                matrix[place[frame + apart], rows] += torch.diag(mixed[frame])
    columns = torch.cat([system.by_shared, *system.by_frame.unbind(1)], 1).double()
    return matrix - columns.T @ columns, flat(system.right)


def flat(vector: Vector) -> Tensor:
    return torch.cat([vector.shared, vector.frames.flatten()])


@pytest.mark.parametrize("frames", [1, 2, 3, 6])
def test_products_and_the_diagonal_are_those_of_the_matrix(frames: int) -> None:
    system = some_system(frames)
    matrix, _ = dense(system)
    x = some_system(frames, seed=1).right
    torch.testing.assert_close(flat(system.product(x)), matrix @ flat(x), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(flat(system.diagonal()), matrix.diagonal(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("frames", [1, 2, 5, 8])
@pytest.mark.parametrize("damping", [1e-6, 1e-1])
def test_the_step_is_the_solution_of_the_damped_matrix(
    frames: int, damping: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_system, "TOLERANCE", 1e-7)
    system = some_system(frames)
    matrix, right = dense(system)
    step = system.solve(damping)
    assert step is not None
    expected = torch.linalg.solve(matrix + damping * torch.diag(matrix.diagonal()), right)
    torch.testing.assert_close(flat(step), expected, rtol=1e-3, atol=1e-4)


def test_an_inexact_step_gains_nearly_what_the_exact_one_does() -> None:
    """In the model's own terms, b^T x - x^T A x / 2."""
    system = some_system(8)
    matrix, right = dense(system)
    step = system.solve(1e-6)
    assert step is not None

    def gain(x: Tensor) -> float:
        return float(right @ x - x @ matrix @ x / 2)

    exact = gain(torch.linalg.solve(matrix, right))
    assert 0.99 * exact < gain(flat(step)) <= exact * (1 + 1e-9)


def test_moves_that_all_frames_share_need_few_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nearly the same rows in all frames: the albedo explains most of what they do alike, of which the arrow knows
    nothing."""
    frames, points, width, products = 16, 300, 40, 0
    random = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random, dtype=torch.float64)

    rows = normal(points, width) * torch.logspace(0, -2, width) + 0.02 * normal(frames, points, width)
    sums = empty_equations(frames, width, SHARED, torch.device("cpu"))
    sums.shared.add_(torch.eye(SHARED))
    sums.frames.add_(rows.mT @ rows + 1e-4 * torch.eye(width))
    sums.right_frames.add_(normal(frames, width) + 10 * normal(width))
    still = torch.zeros(frames, width)
    motion = Motion(still, still, still, still, still[:, 0])
    by_frame = (rows * (frames + 0.01) ** -0.5).float().transpose(0, 1)
    alike = System(sums, motion, torch.zeros(points, SHARED), by_frame)
    product = System.product

    def counted(self: System, x: Vector) -> Vector:
        nonlocal products
        products += 1
        return product(self, x)

    monkeypatch.setattr(System, "product", counted)
    found = []
    for preconditioner in (of_system.Preconditioner, of_system.Arrow):
        monkeypatch.setattr(of_system, "Preconditioner", preconditioner)
        products = 0
        assert alike.solve(1e-6) is not None
        found.append(products)
    assert 3 * found[0] < found[1]


def test_indefinite_equations_have_no_step() -> None:
    system = some_system(4)
    worse = System(system.sums, system.motion, 3 * system.by_shared, 3 * system.by_frame)
    assert worse.solve(1e-6) is None
