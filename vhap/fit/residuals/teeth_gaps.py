"""Teeth stay behind lips and chin: identity and expression move both, and where few pixels speak for the mouth a
least-squares fit would drive one through the other."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import normalize

from vhap.geometry.meshes import vertex_normals
from vhap.head.model import HeadModel

MOST = 120
"""Vertices of teeth that are looked at."""
FRONT_M, AROUND_M = 0.02, 0.015
"""How far the front teeth reach back; how far around the teeth the skin is looked at."""
ASIDE_M = 0.004
"""A tooth that no skin is so near to, seen from the front, is bare."""
LEAST_M, SPREAD_M = 0.001, 0.0015
"""A gap that is smaller than the first costs by the second, as a standard deviation, since people's differ from the
mean head's by as much; but no gap costs that the mean head has in one of its expressions."""


@dataclass(frozen=True)
class Patch:
    """N vertices of the unposed head: template (N, 3) metres, and bases (N, 3, S) and (N, 3, E)."""

    template: Tensor
    by_shape: Tensor
    by_expr: Tensor

    def at(self, shape: Tensor, expr: Tensor) -> Tensor:
        """(..., N, 3) for shape (S,) and expr (..., E)."""
        return self.template + self.by_shape @ shape + torch.einsum("nce,...e->...nc", self.by_expr, expr)


@dataclass(frozen=True)
class TeethGaps:
    """teeth: K vertices; skin: the M vertices of lips, chin and cheeks around them; normals (M, 3): theirs, in the
    template; least (K,): the gaps that are wanted, metres."""

    teeth: Patch
    skin: Patch
    normals: Tensor
    least: Tensor

    def shortfall(self, shape: Tensor, expr: Tensor) -> tuple[Tensor, Tensor]:
        """How much the gaps before the teeth fall short at shape (S,) and expr (..., E), in standard deviations, never
        negative, and the skin vertex before each tooth: both (..., K)."""
        skin, teeth = self.skin.at(shape, expr), self.teeth.at(shape, expr)
        aside, nearest = torch.cdist(teeth[..., :2], skin[..., :2]).min(-1)
        before = skin.gather(-2, nearest[..., None].expand(teeth.shape))
        gap = ((before - teeth) * self.normals[nearest]).sum(-1)
        return (self.least - gap).clamp(min=0) * (aside < ASIDE_M) / SPREAD_M, nearest

    def slopes(self, shortfall: Tensor, nearest: Tensor) -> tuple[Tensor, Tensor]:
        """Derivatives of shortfalls (..., K) by shape (..., K, S) and expression (..., K, E)."""
        along = -(shortfall > 0).to(shortfall)[..., None] * self.normals[nearest] / SPREAD_M
        by_shape = self.skin.by_shape[nearest] - self.teeth.by_shape
        by_expr = self.skin.by_expr[nearest] - self.teeth.by_expr
        return torch.einsum("...c,...cs->...s", along, by_shape), torch.einsum("...c,...ce->...e", along, by_expr)


def find_teeth_gaps(head: HeadModel) -> TeethGaps | None:
    """None where the head has no teeth, or no skin around them."""
    if not {"teeth", "face"} <= head.regions.keys():
        return None
    teeth, face = head.regions["teeth"], head.regions["face"]
    inside = torch.cat([head.regions[name] for name in ("teeth", "lip_inside") if name in head.regions])
    depth = head.template[teeth, 2]
    teeth = teeth[depth > depth.max() - FRONT_M]
    teeth = teeth[:: -(-len(teeth) // MOST)]
    low, high = head.template[teeth].amin(0), head.template[teeth].amax(0)
    position, normals = head.template[face], normalize(vertex_normals(head.template[None], head.faces)[0, face], dim=-1)
    around = ((position[:, :2] > low[:2] - AROUND_M) & (position[:, :2] < high[:2] + AROUND_M)).all(-1)
    outer = around & (normals[:, 2] > 0) & ~torch.isin(face, inside)
    if not bool(outer.any()):
        return None
    wanted = torch.full((len(teeth),), LEAST_M).to(position)
    gaps = TeethGaps(_patch(head, teeth), _patch(head, face[outer]), normals[outer], wanted)
    expressions = torch.cat([torch.zeros(1, head.n_expr), torch.eye(head.n_expr)]).to(position)
    usual = torch.stack([gaps.shortfall(position.new_zeros(head.n_shape), one)[0] for one in expressions])
    return replace(gaps, least=wanted - SPREAD_M * usual.amax(0))


def _patch(head: HeadModel, ids: Tensor) -> Patch:
    return Patch(head.template[ids], head.shape_basis[ids], head.expr_basis[ids])
