"""Points of a target's surface, and where a source's surface has them in every frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vhap.fit.residuals.motion import N_MOTION, MotionPrior
from vhap.geometry.meshes import vertex_normals
from vhap.head.model import HeadModel
from vhap.head.points import SkinnedPoints
from vhap.head.registration.correspondence import Correspondence

NORMAL_M, TANGENT_M = 0.0005, 0.001
"""Standard deviations across and along the surface: along it a registration knows less."""
EFFECTIVE_POINTS = 400.0
"""Points count as so many independent ones: neighbours err alike."""
MOST_POINTS = 2500
DETAILED = ("lips", "lip_inside", "eyelids", "eyeballs", "nose")
"""Regions whose points are all taken."""
SHARES = {"scalp": 0.3, "neck": 0.5, "boundary": 0.2, "ears": 0.5, "lip_inside": 0.5, "lips": 2.0}
"""Of a point's weight, by region: what moves with the skull only, and what is hidden, says less of the face."""


@dataclass(frozen=True)
class ConversionPrior:
    """Standard deviations. expr: of anonymous coefficients, activation: of named ones; neck_rad: against the source's
    neck; jaw_rad: about x, jaw_side_rad: about the others."""

    shape: float = 1.0
    expr: float = 1.0
    activation: float = 1.0
    neck_rad: float = 0.1
    jaw_rad: float = 0.5
    jaw_side_rad: float = 0.05
    motion: MotionPrior = MotionPrior()


@dataclass(frozen=True)
class ConversionProblem:
    """T frames of N points. goals (T, N, 3) metres; axes (T, N, 3, 3): rows are directions over their standard
    deviations, times the root of the point's weight; timesteps (T,); emphasis (T,): how often a frame counts; neck
    (T, 3): the source's; held (T, P): unknowns of a frame, as PER_FRAME, that stay."""

    head: HeadModel
    points: SkinnedPoints
    goals: Tensor
    axes: Tensor
    timesteps: Tensor
    emphasis: Tensor
    neck: Tensor
    held: Tensor
    prior: ConversionPrior

    def rows(self, frames: slice) -> ConversionProblem:
        return replace(
            self,
            goals=self.goals[frames],
            axes=self.axes[frames],
            timesteps=self.timesteps[frames],
            emphasis=self.emphasis[frames],
            neck=self.neck[frames],
            held=self.held[frames],
        )

    def bounds(self) -> tuple[Tensor, Tensor]:
        """Least and most of a frame's unknowns, (P,) each."""
        low = torch.full((N_MOTION + self.head.n_expr,), -torch.inf)
        high = -low
        if self.head.has_activations:
            low[N_MOTION:], high[N_MOTION:] = 0, 1
        return low, high


def chosen_vertices(head: HeadModel, match: Correspondence) -> tuple[Tensor, Tensor]:
    """Ids (N,) of the target's vertices that are fitted, an even choice, and their weights (N,)."""
    weights = match.weights.clone()
    detailed = torch.zeros(head.n_vertices, dtype=torch.bool)
    for name in DETAILED:
        detailed[head.regions.get(name, [])] = True
    for name, share in SHARES.items():
        weights[head.regions.get(name, [])] *= share
    weights[head.regions.get("teeth", [])] = 0
    matched = weights > 0
    first, rest = (matched & detailed).nonzero()[:, 0], (matched & ~detailed).nonzero()[:, 0]
    room = max(MOST_POINTS - len(first), MOST_POINTS // 3)
    order = torch.randperm(len(rest), generator=torch.Generator().manual_seed(0))[:room]
    ids = torch.cat([first, rest[order]]).sort().values
    chosen = weights[ids]
    # What stands for more vertices counts more.
    chosen = torch.where(detailed[ids], chosen, chosen * max(1.0, len(rest) / max(len(order), 1)))
    return ids, chosen * (EFFECTIVE_POINTS / chosen.sum())


def point_axes(normals: Tensor, weights: Tensor) -> Tensor:
    """(T, N, 3) unit normals, weights (N,) -> (T, N, 3, 3), as ConversionProblem.axes."""
    other = torch.where(normals[..., :1].abs() < 0.7, torch.tensor([1.0, 0, 0]), torch.tensor([0, 1.0, 0]))
    first = torch.nn.functional.normalize(torch.linalg.cross(normals, other), dim=-1)
    second = torch.linalg.cross(normals, first)
    rows = torch.stack([normals / NORMAL_M, first / TANGENT_M, second / TANGENT_M], -2)
    return rows * weights.sqrt()[:, None, None]


def normals_at(source: HeadModel, vertices: Tensor, match: Correspondence, ids: Tensor) -> tuple[Tensor, Tensor]:
    """Points (T, N, 3) and unit normals (T, N, 3) of the source's surface, at the target's vertices ids (N,)."""
    part = Correspondence(match.face_ids[ids], match.barycentrics[ids], match.weights[ids])
    normals = part.points(source, vertex_normals(vertices, source.faces))
    return part.points(source, vertices), torch.nn.functional.normalize(normals, dim=-1)


def skinned(head: HeadModel, offset: Tensor | None, ids: Tensor) -> SkinnedPoints:
    """Vertices ids (N,) of a head with an offset (V, 3), as points of the surface."""
    template = head.template if offset is None else head.template + offset
    faces = ids[:, None].expand(-1, 3)
    bary = torch.tensor([1.0, 0, 0]).repeat(len(ids), 1)
    return SkinnedPoints.of(replace(head, template=template, faces=faces), torch.arange(len(ids)), bary)
