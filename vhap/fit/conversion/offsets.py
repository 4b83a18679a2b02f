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
from vhap.head.registration.parts import RIGID, eye_pockets

STIFFNESS = 0.3
"""Weight of the displacements' Laplacian beside displacements that a counterpart asks for."""
POCKET_TRUST = 0.3
"""Weight of skin behind the lids."""
TEETH_ROUNDS = 3
REST = 1e-4
"""Weight of no displacement, where nothing else is known."""


def smooth_offset(head: HeadModel, asked: Tensor, weights: Tensor) -> Tensor:
    """(V, 3) metres. asked (V, 3): where weights (V,) are above 0. Teeth move as a whole, eyeballs change their size
    too, and skin behind the lids goes with them."""
    count = head.n_vertices
    bodies = {name: head.regions[name] for name in RIGID if len(head.regions.get(name, ()))}
    rigid = torch.zeros(count, dtype=torch.bool)
    for ids in bodies.values():
        rigid[ids] = True
    trust, wanted = torch.where(rigid, 0.0, weights), asked.clone()
    moves = {name: _body_move(head.template, ids, asked, weights) for name, ids in bodies.items()}
    pockets = eye_pockets(head)
    for name, side in (("left_eyeball", 1), ("right_eyeball", -1)):
        move = moves.get(name)
        if move is not None:
            behind = pockets & (side * head.template[:, 0] > 0)
            trust[behind], wanted[behind] = POCKET_TRUST, move[behind]
    laplacian = sparse_laplacian(count, head.faces)
    known = trust.double().numpy()
    matrix = STIFFNESS * laplacian.T @ laplacian + diags(known + REST)
    offset = torch.from_numpy(splu(matrix.tocsc()).solve(known[:, None] * wanted.double().numpy())).float()
    lips = offset[head.regions["lips"]].mean(0) if "lips" in head.regions else offset.new_zeros(3)
    for name, ids in bodies.items():
        move = moves[name]
        offset[ids] = lips if move is None else move[ids] if "eyeball" in name else move[ids].mean(0)
    return offset


def _body_move(template: Tensor, ids: Tensor, asked: Tensor, weights: Tensor) -> Tensor | None:
    """(V, 3): the shift of a body's vertices ids (N,), and their change of size about their middle, for all vertices;
    None where none of the body is matched."""
    known = ids[weights[ids] > 0]
    if not len(known):
        return None
    around = template - template[known].mean(0)
    shift = asked[known].mean(0)
    size = (around[known] * (asked[known] - shift)).sum() / around[known].square().sum().clamp(min=1e-12)
    return shift + size * around


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
