"""The equations of a Gauss-Newton step on pictures, whose albedo is eliminated: products with them, and their solution.

The albedo's elimination couples all frames, so that the matrix is dense: n_shared + B P unknowns, 7400 for 60 frames of
a head with 300 + 100 coefficients. It is never formed. What is left without the albedo is an arrow (frames meet in
the shared unknowns, and in their motion), which is factored in a time linear in the frames and is the preconditioner of
conjugate gradients (Steihaug 1983; Agarwal et al. 2010, Bundle adjustment in the large). Where all frames move alike
the albedo explains nearly everything, which the arrow does not know: moves that all frames share are solved exactly
beside it, as a second level (Toselli and Widlund 2005, Domain decomposition methods, section 1.4).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from vhap.fit.block_band import BlockBand
from vhap.fit.normal_equations import NormalEquations
from vhap.fit.residuals.motion import Motion

TOLERANCE, MOST_ITERATIONS = 0.003, 200
"""A step of which this share of the first residual is left (in the preconditioner's norm) is near enough: a Newton step
is one of several."""
AT_ONCE = 256
"""Points whose rows are worked on at a time."""


@dataclass(frozen=True)
class Vector:
    """Unknowns: shared (Q,), and those of every frame (B, P). As doubles."""

    shared: Tensor
    frames: Tensor

    def dot(self, other: Vector) -> Tensor:
        return (self.shared * other.shared).sum() + (self.frames * other.frames).sum()

    def plus(self, factor: Tensor | float, other: Vector) -> Vector:
        return Vector(self.shared + factor * other.shared, self.frames + factor * other.frames)

    def times(self, other: Vector | float) -> Vector:
        """Element by element."""
        if isinstance(other, Vector):
            return Vector(self.shared * other.shared, self.frames * other.frames)
        return Vector(self.shared * other, self.frames * other)


@dataclass(frozen=True)
class System:
    """A x = right, with A = sums + motion - eliminated^T eliminated.

    by_shared (M, Q), by_frame (M, B, P): how the M points' residuals move with the unknowns, weighted, over the square
    root of the points' precision; rows of points that a picture does not show are zero. Unknowns that are held have
    zero rows and columns but for a one on the diagonal.
    """

    sums: NormalEquations
    motion: Motion
    by_shared: Tensor
    by_frame: Tensor

    @property
    def right(self) -> Vector:
        return Vector(self.sums.right_shared, self.sums.right_frames - self.motion.gradient)

    def diagonal(self) -> Vector:
        """Of A."""
        shared, frames = self.sums.shared.diagonal(), self.sums.frames.diagonal(dim1=1, dim2=2)
        for by_shared, by_frame in self._eliminated():
            shared = shared - by_shared.square().sum(0)
            frames = frames - by_frame.square().sum(0)
        return Vector(shared, frames + self.motion.own.double())

    def product(self, x: Vector) -> Vector:
        """A x."""
        sums, motion = self.sums, self.motion
        frames = (sums.frames @ x.frames[..., None])[..., 0] + sums.coupling @ x.shared + motion.own * x.frames
        for apart, mixed in ((1, motion.next_frame), (2, motion.after_next)):
            frames[:-apart] += mixed[:-apart] * x.frames[apart:]
            frames[apart:] += mixed[:-apart] * x.frames[:-apart]
        shared = sums.shared @ x.shared + torch.einsum("bpq,bp->q", sums.coupling, x.frames)
        # In single precision, as the residuals' derivatives are.
        along_shared, along_frames = x.shared.float(), x.frames.float().flatten()
        for by_shared, by_frame in self._eliminated():
            every = by_frame.flatten(1)
            moved = by_shared @ along_shared + every @ along_frames
            shared, frames = shared - moved @ by_shared, frames - (moved @ every).view_as(frames)
        return Vector(shared, frames)

    def _eliminated(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Some rows at a time, of by_shared and by_frame: so many as stay in the processor's cache while they are used
        twice."""
        return zip(self.by_shared.split(AT_ONCE), self.by_frame.split(AT_ONCE))

    def gain(self, step: Vector) -> float:
        """By how much a step lowers the cost, a sum of squares, where the equations hold."""
        return float(2 * self.right.dot(step) - step.dot(self.product(step)))

    def solve(self, damping: float) -> Vector | None:
        """The step of A + damping diag(A), by preconditioned conjugate gradients; None where rounding has made the
        equations indefinite."""
        extra = self.diagonal().times(damping)
        try:
            near = Preconditioner.of(self, extra)
        except torch.linalg.LinAlgError:  # pyright: ignore[reportPrivateImportUsage]
            return None
        residual = self.right
        direction = preconditioned = near.solve(residual)
        step = residual.times(0.0)
        left = first = residual.dot(preconditioned)
        for _ in range(MOST_ITERATIONS):
            if not float(left) > TOLERANCE**2 * float(first):
                break
            image = self.product(direction)
            image = Vector(
                image.shared + extra.shared * direction.shared, image.frames + extra.frames * direction.frames
            )
            curvature = direction.dot(image)
            if not float(curvature) > 0:
                return None
            length = left / curvature
            step, residual = step.plus(length, direction), residual.plus(-length, image)
            preconditioned = near.solve(residual)
            before, left = left, residual.dot(preconditioned)
            direction = preconditioned.plus(left / before, direction)
        return step


@dataclass(frozen=True)
class Preconditioner:
    """The arrow, plus what is exact for moves that all frames share. alike (Q + P, Q + P): Cholesky factor of A between
    such moves."""

    arrow: Arrow
    alike: Tensor

    @classmethod
    def of(cls, system: System, extra: Vector) -> Preconditioner:
        """extra: added to A's diagonal. Raises torch.linalg.LinAlgError where rounding has made A indefinite."""
        return cls(Arrow.of(system, extra), torch.linalg.cholesky(_moving_alike(system, extra)))

    def solve(self, right: Vector) -> Vector:
        both = torch.cat([right.shared, right.frames.sum(0)])
        alike = torch.cholesky_solve(both[:, None], self.alike)[:, 0]
        near, count = self.arrow.solve(right), len(right.shared)
        return Vector(near.shared + alike[:count], near.frames + alike[count:])


def _moving_alike(system: System, extra: Vector) -> Tensor:
    """(Q + P, Q + P): A, with extra on its diagonal, between the shared unknowns and a move of all frames at once."""
    sums, motion = system.sums, system.motion
    along = motion.own.sum(0) + 2 * (motion.next_frame[:-1].sum(0) + motion.after_next[:-2].sum(0))
    coupling = sums.coupling.sum(0)
    above = torch.cat([sums.shared + torch.diag(extra.shared), coupling.mT], 1)
    below = torch.cat([coupling, sums.frames.sum(0) + torch.diag(along.double() + extra.frames.sum(0))], 1)
    eliminated = torch.cat([system.by_shared, system.by_frame.sum(1)], 1)
    return torch.cat([above, below]) - (eliminated.mT @ eliminated).double()


@dataclass(frozen=True)
class Arrow:
    """The factored equations without the albedo's elimination: a band of frames and the Schur complement of the shared
    unknowns. coupling (B, P, Q) and by_coupling, the band's solution of it."""

    band: BlockBand
    coupling: Tensor
    by_coupling: Tensor
    reduced: Tensor

    @classmethod
    def of(cls, system: System, extra: Vector) -> Arrow:
        """extra: added to the diagonal. Raises torch.linalg.LinAlgError where they are not positive definite."""
        sums, motion = system.sums, system.motion
        blocks = sums.frames + torch.diag_embed(motion.own.double() + extra.frames)
        band = BlockBand.of(blocks, motion.next_frame, motion.after_next)
        by_coupling = band.solve(sums.coupling)
        reduced = sums.shared + torch.diag(extra.shared) - torch.einsum("bpq,bpr->qr", sums.coupling, by_coupling)
        return cls(band, sums.coupling, by_coupling, torch.linalg.cholesky(reduced))

    def solve(self, right: Vector) -> Vector:
        frames = self.band.solve(right.frames[..., None])[..., 0]
        rest = right.shared - torch.einsum("bpq,bp->q", self.coupling, frames)
        shared = torch.cholesky_solve(rest[:, None], self.reduced)[:, 0]
        return Vector(shared, frames - self.by_coupling @ shared)
