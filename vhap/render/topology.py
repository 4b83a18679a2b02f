"""Connectivity tables of a mesh, built once per head."""

from __future__ import annotations

import torch
from torch import Tensor

from vhap.render.types import Topology


def build_topology(faces: Tensor, uv_faces: Tensor) -> Topology:
    """faces, uv_faces: (F, 3) integers on one device. An edge with more than two faces counts as open."""
    assert faces.shape == uv_faces.shape == (len(faces), 3)
    count = len(faces)
    faces64 = faces.long()
    start, end = faces64, faces64.roll(-1, 1)
    low, high = torch.minimum(start, end).reshape(-1), torch.maximum(start, end).reshape(-1)
    vertex_count = int(faces64.max()) + 1 if count else 0
    order = torch.argsort(low * vertex_count + high, stable=True)
    _, group, size = torch.unique_consecutive(
        (low * vertex_count + high)[order], return_inverse=True, return_counts=True
    )
    first = torch.cumsum(size, 0) - size
    rank = torch.arange(3 * count, device=faces.device) - first[group]
    paired = size[group] == 2
    partner_in_order = torch.where(paired, first[group] + 1 - rank, torch.zeros_like(rank))
    partner = torch.empty_like(order)
    partner[order] = torch.where(paired, order[partner_in_order], torch.full_like(order, -1))
    neighbour = torch.where(partner < 0, partner, partner.div(3, rounding_mode="floor"))
    across = faces64.roll(-2, 1).reshape(-1)
    opposite = torch.where(partner < 0, partner, across[partner.clamp(min=0)])
    return Topology(
        faces=faces.int().contiguous(),
        uv_faces=uv_faces.int().contiguous(),
        opposite=opposite.reshape(-1, 3).int(),
        neighbour=neighbour.reshape(-1, 3).int(),
    )
