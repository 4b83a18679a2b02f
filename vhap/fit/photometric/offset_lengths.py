"""Offsets as lengths along the normals of the skull: which vertices have one, how surface points move with them, and
what is expected of them before pictures are seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import coo_array, csr_array, diags_array
from torch import Tensor

from vhap.fit.scene import Scene
from vhap.geometry.meshes import vertex_normals

Numbers = np.ndarray
LEAST_PRECISION = 1.0
"""Of every unknown, so that what nothing holds stays at zero."""
SMALL_M = 1e-4
"""Lengths under this cost by their squares: the cost of longer ones grows in proportion (Huber 1964)."""


@dataclass(frozen=True)
class LengthUnknowns:
    """vertices (H,) that have a length; row_of (V,): where each vertex stands among them, -1 for the others; direction
    (H, 3): unit normals in the head's own space; rest (V, 3): what offsets are beside the lengths, metres."""

    vertices: Tensor
    row_of: Tensor
    direction: Tensor
    rest: Tensor

    @classmethod
    def of(cls, scene: Scene, shape: Tensor, offset: Tensor, moving: Tensor) -> LengthUnknowns:
        """shape (S,) identity; offset (V, 3) to begin with; moving (V,) bool: vertices that have a length."""
        head = scene.head
        vertices = torch.nonzero(moving).flatten()
        row_of = torch.full_like(moving, -1, dtype=torch.long)
        row_of[vertices] = torch.arange(len(vertices), device=row_of.device)
        skull = head.template + head.shape_basis @ shape
        direction = vertex_normals(skull[None], head.faces)[0][vertices]
        along = (offset[vertices] * direction).sum(-1, keepdim=True) * direction
        return cls(vertices, row_of, direction, offset.index_add(0, vertices, -along))

    def lengths_in(self, offset: Tensor) -> Numbers:
        """(H,) metres, of offsets (V, 3)."""
        return (offset[self.vertices] * self.direction).sum(-1).cpu().double().numpy()

    def offset(self, lengths: Numbers) -> Tensor:
        """(V, 3) of lengths (H,)."""
        along = torch.from_numpy(lengths).to(self.direction)[:, None] * self.direction
        return self.rest.index_add(0, self.vertices, along)

    def by_length(self, line: Tensor, vertex: Tensor, slope: Tensor, moves: Tensor, count: int) -> csr_array:
        """(count, H) of derivatives slope (K, 3) by vertices (K,), each of the row line (K,); moves (K, 3): of each of
        these vertices, see `turned`."""
        column, value = self.row_of[vertex].cpu(), (slope * moves).sum(-1).cpu().double()
        kept = column >= 0
        entries = (line.cpu()[kept].numpy(), column[kept].numpy())
        return csr_array((value[kept].numpy(), entries), shape=(count, len(self.vertices)))

    def turned(self, by: Tensor) -> Tensor:
        """(B, V, 3): by what heads' vertices move with their lengths where skinning turns displacements by
        (B, V, 3, 3); zero for vertices without one."""
        moves = by[:, self.vertices] @ self.direction[..., None]
        return torch.zeros_like(by[..., 0]).index_copy_(1, self.vertices, moves[..., 0])


@dataclass(frozen=True)
class LengthPrior:
    """What is expected of lengths. length_m: how far vertices stand off, of which many do not; bend_m: standard
    deviation of a vertex against the mean of its neighbours; rigid_m: of a vertex against its region, where that
    moves as a whole; change_m: of moving offsets against the frame before."""

    length_m: float = 1e-3
    bend_m: float = 3e-4
    rigid_m: float = 1e-4
    change_m: float = 5e-3


@dataclass(frozen=True)
class ExpectedLengths:
    """smooth: precision (N, N), N = H + 3 R, of the bends of H lengths and of how R regions move; length (H,):
    precision of a length under SMALL_M; change: precision of lengths against those of the frame before, before (H,)."""

    smooth: csr_array
    length: Numbers
    change: float
    before: Numbers

    @property
    def count(self) -> int:
        """N."""
        return len(self.smooth.indptr) - 1

    def precision(self, x: Numbers) -> csr_array:
        """(N, N) at x (N,), with Huber's weights on the lengths' own precision."""
        size = np.abs(x[: len(self.length)])
        each = self.length * np.minimum(1.0, SMALL_M / np.maximum(size, 1e-12)) + self.change
        return (self.smooth + diags_array(np.pad(each, (0, self.count - len(each))) + LEAST_PRECISION)).tocsr()

    def gradient(self, x: Numbers) -> Numbers:
        """(N,): half of the cost's."""
        pulled = np.pad(self.change * self.before, (0, self.count - len(self.before)))
        return self.precision(x) @ x - pulled

    def cost(self, x: Numbers) -> float:
        """Of lengths and regions' moves (N,)."""
        lengths = x[: len(self.length)]
        size = np.abs(lengths)
        huber = np.where(size < SMALL_M, size**2, SMALL_M * (2 * size - SMALL_M))
        changed = self.change * np.square(lengths - self.before).sum() + LEAST_PRECISION * np.square(x).sum()
        return float(x @ (self.smooth @ x) + self.length @ huber + changed)


def expected_lengths(
    scene: Scene,
    unknowns: LengthUnknowns,
    prior: LengthPrior,
    length_factor: Tensor,
    bend_factor: Tensor,
    rigid: list[Tensor],
    before: Numbers | None = None,
) -> ExpectedLengths:
    """length_factor, bend_factor (V,): on the precision at each vertex; rigid: vertices of each region that moves as a
    whole; before (H,): lengths of the frame before, None for offsets that do not move."""
    vertices = unknowns.vertices.cpu().numpy()
    laplacian = sparse_array(scene.laplacian)[vertices][:, vertices]
    count, total = len(vertices), len(vertices) + 3 * len(rigid)
    per_vertex = diags_array(bend_factor[unknowns.vertices].cpu().double().numpy() / prior.bend_m**2)
    direction = unknowns.direction.cpu().double().numpy()
    # Bending by vector: each component of a length times its direction.
    bend = sum(diags_array(axis) @ laplacian.T @ per_vertex @ laplacian @ diags_array(axis) for axis in direction.T)
    smooth = embedded(csr_array(bend), total)
    for index, region in enumerate(rigid):
        rows = unknowns.row_of[region].cpu().numpy()
        difference = _against_region(rows[rows >= 0], direction, count + 3 * index, total)
        smooth = smooth + difference.T @ difference / prior.rigid_m**2
    length = length_factor[unknowns.vertices].cpu().double().numpy() / (prior.length_m * SMALL_M)
    change = 0.0 if before is None else prior.change_m**-2.0
    return ExpectedLengths(smooth.tocsr(), length, change, np.zeros(count) if before is None else before)


def embedded(matrix: csr_array, size: int) -> csr_array:
    """(n, n) -> (size, size): the upper left part of it, the rest zero."""
    parts = coo_array(matrix)
    return csr_array((parts.data, parts.coords), shape=(size, size))


def _against_region(rows: Numbers, direction: Numbers, first: int, total: int) -> csr_array:
    """(3 N, total): offsets of N vertices less the move of their region, whose three components begin at `first`."""
    count = len(rows)
    line = np.arange(3 * count)
    own = (direction[rows].flatten(), (line, np.repeat(rows, 3)))
    moved = (-np.ones(3 * count), (line, first + np.tile(np.arange(3), count)))
    shape = (3 * count, total)
    return (coo_array(own, shape=shape) + coo_array(moved, shape=shape)).tocsr()


def sparse_array(matrix: Tensor) -> csr_array:
    indices = matrix.indices().cpu().numpy()
    return csr_array((matrix.values().cpu().double().numpy(), tuple(indices)), shape=tuple(matrix.shape))
