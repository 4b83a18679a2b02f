"""The built-in head elsewhere and larger, as if another project had drawn it: what corresponds is known."""

from __future__ import annotations

from dataclasses import replace

import torch

from vhap.head.model import HeadModel

SHIFT_M = (0.004, 0.05, -0.03)


def moved_head(head: HeadModel, scale: float = 1.04, name: str = "moved") -> HeadModel:
    """Vertex by vertex the same, `scale` times as large and SHIFT_M away."""
    shift = torch.tensor(SHIFT_M)
    return replace(
        head,
        name=name,
        asset_hash="0",
        template=head.template * scale + shift,
        shape_basis=head.shape_basis * scale,
        expr_basis=head.expr_basis * scale,
        joint_template=head.joint_template * scale + shift,
        joint_shape_basis=head.joint_shape_basis * scale,
    )
