"""What a target's identity leaves of the source's neutral head, as a smooth displacement of every vertex."""

from __future__ import annotations

from dataclasses import replace

import torch
from scipy.sparse import diags
from scipy.sparse.linalg import splu
from torch import Tensor

from vhap.fit.residuals.teeth_gaps import SPREAD_M, find_teeth_gaps
from vhap.head.model import HeadModel
from vhap.head.registration.nonrigid import sparse_laplacian
from vhap.head.registration.parts import RIGID

STIFFNESS = 0.3
"""Weight of the displacements' Laplacian beside displacements that a counterpart asks for."""
TEETH_ROUNDS = 3
REST = 1e-4
"""Weight of no displacement, where nothing else is known."""


def smooth_offset(head: HeadModel, asked: Tensor, weights: Tensor) -> Tensor:
    """(V, 3) metres. asked (V, 3): where weights (V,) are above 0. Eyeballs and teeth move as a whole."""
    count = head.n_vertices
    rigid = torch.zeros(count, dtype=torch.bool)
    bodies = [head.regions[name] for name in RIGID if len(head.regions.get(name, ()))]
    for ids in bodies:
        rigid[ids] = True
    trust = torch.where(rigid, 0.0, weights).double().numpy()
    laplacian = sparse_laplacian(count, head.faces)
    matrix = STIFFNESS * laplacian.T @ laplacian + diags(trust + REST)
    offset = torch.from_numpy(splu(matrix.tocsc()).solve(trust[:, None] * asked.double().numpy())).float()
    lips = offset[head.regions["lips"]].mean(0) if "lips" in head.regions else offset.new_zeros(3)
    for ids in bodies:
        known = weights[ids] > 0
        offset[ids] = asked[ids][known].mean(0) if bool(known.any()) else lips
    return offset


def teeth_behind_lips(head: HeadModel, offset: Tensor, shape: Tensor) -> Tensor:
    """The offset (V, 3) with the teeth moved back, as a whole, until the neutral face covers them as it does on the
    mean head: lips of another person may lie where the target's teeth are."""
    usual = find_teeth_gaps(head)
    if usual is None:
        return offset
    offset = offset.clone()
    for _ in range(TEETH_ROUNDS):
        gaps = find_teeth_gaps(replace(head, template=head.template + offset))
        if gaps is None or len(gaps.least) != len(usual.least):
            return offset
        short = replace(gaps, least=usual.least).shortfall(shape, offset.new_zeros(head.n_expr))[0]
        offset[head.regions["teeth"], 2] -= short.amax() * SPREAD_M
    return offset
