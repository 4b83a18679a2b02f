"""How points on the head's surface, their normals and their shading move with every unknown."""

from __future__ import annotations

import torch
from torch import Tensor

from vhap.fit.params import N_CAMERA
from vhap.fit.photometric.posed_heads import N_MOTION, PosedHead
from vhap.fit.scene import N_LIGHT, Scene
from vhap.render.blocks import BLOCK, padded
from vhap.render.warp_point_derivatives import Spread, gather_joints, spread_over_vertices, through_blend_shapes
from vhap.render.warp_surface_points import fan_normals


def surface_derivatives(
    scene: Scene,
    posed: PosedHead,
    corners: Tensor,
    barycentrics: Tensor,
    by_point: Tensor,
    by_normal: Tensor | None = None,
    shared: bool = True,
) -> tuple[Tensor, Tensor]:
    """Derivatives of N residuals by what all frames share (N, N_CAMERA + S + N_LIGHT), of which those by camera and
    light are for the caller to fill, and by the frame's own unknowns (N, 18 + E). Unless shared the former are (N, 0).

    corners, barycentrics (N, 3): of surface points. by_point, by_normal (N, 3): derivatives by such a point, and by its
    normal, interpolated between the vertices' unit normals; None where residuals do not depend on it.
    """
    head, count = scene.head, len(corners)
    spread = vertex_derivatives(scene, posed.vertices, corners, barycentrics, by_point, by_normal)
    by_joints = gather_joints(spread, posed.canonical, head.weights, posed.turned)
    first = padded(N_MOTION)
    rows = by_joints.new_empty(count, first + scene.frame_shapes.shape[1] * BLOCK)
    through_blend_shapes(spread, scene.frame_shapes, rows)
    expressions_end = first + head.n_expr
    motion = by_joints @ posed.by_motion
    if posed.by_correctives is not None:
        correctives = rows[:, expressions_end : expressions_end + len(posed.by_correctives)]
        motion = motion + correctives @ posed.by_correctives
    rows[:, first - N_MOTION : first] = motion
    own = rows[:, first - N_MOTION : expressions_end]
    return _by_shared(scene, posed, spread, by_joints) if shared else own[:, :0], own


def vertex_derivatives(
    scene: Scene,
    vertices: Tensor,
    corners: Tensor,
    barycentrics: Tensor,
    by_point: Tensor,
    by_normal: Tensor | None = None,
) -> Spread:
    """The same by single vertices (V, 3)."""
    normals = None if by_normal is None else fan_normals(vertices, scene.fans)
    return spread_over_vertices(corners.int(), barycentrics, by_point, by_normal, vertices, normals, scene.fans)


def _by_shared(scene: Scene, posed: PosedHead, spread: Spread, by_joints: Tensor) -> Tensor:
    """(N, N_CAMERA + S + N_LIGHT), of which those by camera and light are for the caller to fill."""
    first, n_shape = padded(N_CAMERA), scene.head.n_shape
    rows = by_joints.new_empty(len(by_joints), first + scene.person_shapes.shape[1] * BLOCK)
    through_blend_shapes(spread, scene.person_shapes, rows)
    # Shape moves the joints, and what hangs on them.
    hung = by_joints[:, :-4].view(len(by_joints), -1, 4)[..., 3]
    rows[:, first : first + n_shape] += hung @ posed.joint_shifts.T
    return rows[:, first - N_CAMERA : first + n_shape + N_LIGHT]


def picture_gradient(picture: Tensor) -> Tensor:
    """(H, W) -> (H, W, 2): central differences by x and y, zero at the border."""
    slopes = torch.zeros(*picture.shape, 2, dtype=picture.dtype, device=picture.device)
    slopes[:, 1:-1, 0] = (picture[:, 2:] - picture[:, :-2]) / 2
    slopes[1:-1, :, 1] = (picture[2:] - picture[:-2]) / 2
    return slopes
