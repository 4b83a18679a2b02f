"""Which points of the surface a picture shows: looked up at the points, never over the whole picture."""

from __future__ import annotations

from torch import Tensor

from vhap.fit.scene import Scene
from vhap.render.warp_surface_points import Drawn, Reach, find_visible

BORDER_PX = 2
"""So far from borders of the head and of the matte colours mix."""
REACH = Reach(border_px=BORDER_PX, hidden_uv=0.01, jump_uv=0.04)
"""A picture shows another part of the surface than a point's from 0.01 on, in texture coordinates; parts that are 0.04
apart only look like neighbours, as a lid and the eye."""


def visible_points(scene: Scene, drawn: Drawn, inside: Tensor, px: Tensor, uv: Tensor) -> Tensor:
    """Indices (n,) of the points at px (M, 2) px, uv (M, 2), that one picture shows: in the picture, not near a
    border, where the pixel shows the same part of the surface, and does not jump, as from a lid to the eye.

    inside (H, W) bool: the matte.
    """
    return find_visible(px, uv, drawn, inside, scene.head.uvs, REACH).nonzero().flatten()
