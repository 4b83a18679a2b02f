"""How points on the head's surface, their normals and their shading move with every unknown."""

from __future__ import annotations

import torch
from torch import Tensor

from vhap.fit.params import N_CAMERA
from vhap.fit.photometric.posed_heads import N_MOTION, PoseDerivatives, PosedHeads
from vhap.fit.scene import N_LIGHT, Scene
from vhap.render.blocks import BLOCK, padded
from vhap.render.warp_point_derivatives import Spread, gather_joints, spread_over_vertices, through_blend_shapes
from vhap.render.warp_surface_points import PointList


def surface_derivatives(
    scene: Scene,
    posed: PosedHeads,
    points: PointList,
    by_point: Tensor,
    by_normal: Tensor | None = None,
    shared: bool = True,
) -> tuple[Tensor, Tensor]:
    """Derivatives of N residuals by what all frames share (N, N_CAMERA + S + N_LIGHT), of which those by camera and
    light are for the caller to fill, and by each one's own frame's unknowns (N, 18 + E). Unless shared the former are
    (N, 0).

    points: on the surface. by_point, by_normal (N, 3): derivatives by such a point, and by its normal, interpolated
    between the vertices' unit normals; None where residuals do not depend on it.
    """
    head, count = scene.head, len(points.corners)
    derivatives = PoseDerivatives.of(posed.joints, shared)
    spread = vertex_derivatives(posed, points, by_point, by_normal)
    by_joints = gather_joints(spread, points, posed.canonical, head.weights, posed.turned)
    first = padded(N_MOTION)
    rows = by_joints.new_empty(count, first + scene.frame_shapes.shape[1] * BLOCK)
    through_blend_shapes(spread, scene.frame_shapes, rows)
    expressions_end = first + head.n_expr
    parts = _of_heads(points, len(posed.canonical))
    for frame, part in enumerate(parts):
        motion = by_joints[part] @ derivatives.by_motion[frame]
        if derivatives.by_correctives is not None:
            by_correctives = derivatives.by_correctives[frame]
            motion += rows[part, expressions_end : expressions_end + len(by_correctives)] @ by_correctives
        rows[part, first - N_MOTION : first] = motion
    own = rows[:, first - N_MOTION : expressions_end]
    return _by_shared(scene, derivatives, spread, by_joints, parts) if shared else own[:, :0], own


def vertex_derivatives(
    posed: PosedHeads, points: PointList, by_point: Tensor, by_normal: Tensor | None = None
) -> Spread:
    """The same by single vertices."""
    normals = None if by_normal is None else posed.normals
    return spread_over_vertices(points, by_point, by_normal, posed.vertices, normals, posed.fans)


def _of_heads(points: PointList, count: int) -> list[slice]:
    """Which of the points, listed head by head, are of each head."""
    if count == 1:
        return [slice(0, len(points.pictures))]
    heads = points.heads[points.pictures.long()]
    ends = torch.searchsorted(heads, torch.arange(count, device=heads.device, dtype=heads.dtype), right=True).tolist()
    return [slice(first, end) for first, end in zip([0, *ends], ends)]


def _by_shared(
    scene: Scene, derivatives: PoseDerivatives, spread: Spread, by_joints: Tensor, parts: list[slice]
) -> Tensor:
    """(N, N_CAMERA + S + N_LIGHT), of which those by camera and light are for the caller to fill."""
    first, n_shape = padded(N_CAMERA), scene.head.n_shape
    rows = by_joints.new_empty(len(by_joints), first + scene.person_shapes.shape[1] * BLOCK)
    through_blend_shapes(spread, scene.person_shapes, rows)
    # Shape moves the joints, and what hangs on them.
    assert derivatives.joint_shifts is not None
    hung = by_joints[:, :-4].view(len(by_joints), -1, 4)[..., 3]
    for shifts, part in zip(derivatives.joint_shifts, parts):
        rows[part, first : first + n_shape] += hung[part] @ shifts.T
    return rows[:, first - N_CAMERA : first + n_shape + N_LIGHT]


def sloped_planes(picture: Tensor) -> Tensor:
    """(H, W) -> (1, 3, H, W): the same, and its central differences by x and y, zero at the border."""
    planes = picture.new_zeros(1, 3, *picture.shape)
    planes[0, 0] = picture
    torch.sub(picture[:, 2:], picture[:, :-2], out=planes[0, 1, :, 1:-1])
    torch.sub(picture[2:], picture[:-2], out=planes[0, 2, 1:-1])
    planes[0, 1:] /= 2
    return planes
