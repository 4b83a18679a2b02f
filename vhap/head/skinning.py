"""Linear blend skinning along a small tree of joints."""

from __future__ import annotations

import torch
from torch import Tensor


def chain_transforms(rotations: Tensor, joints: Tensor, parents: tuple[int, ...]) -> Tensor:
    """World transforms that carry a rest-pose point to its posed place, one per joint.

    rotations: (..., J, 3, 3) local; joints: (..., J, 3) rest places in metres; parents: -1 for the root and
    smaller than the joint's own index elsewhere. Returns (..., J, 4, 4); A_j = G_j * inverse of the rest
    transform (SMPL, Loper et al. 2015, eq. 2 to 4).
    """
    # Each joint turns what hangs on it about its place at rest, before its parents do.
    moved = joints - (rotations @ joints[..., None]).squeeze(-1)
    upper = torch.cat([rotations, moved[..., None]], -1)
    lower = torch.zeros_like(upper[..., :1, :])
    lower[..., 3] = 1
    carried: list[Tensor] = []
    for parent, own in zip(parents, torch.cat([upper, lower], -2).unbind(-3), strict=True):
        carried.append(own if parent < 0 else carried[parent] @ own)
    return torch.stack(carried, -3)


def skin(vertices: Tensor, transforms: Tensor, weights: Tensor) -> Tensor:
    """(..., V, 3) rest vertices, (..., J, 4, 4) transforms, (V, J) weights that sum to one -> (..., V, 3)."""
    upper = transforms[..., :3, :].reshape(*transforms.shape[:-3], -1, 12)
    blended = (weights @ upper).reshape(*upper.shape[:-2], -1, 3, 4)
    return (blended[..., :3] @ vertices[..., None]).squeeze(-1) + blended[..., 3]
