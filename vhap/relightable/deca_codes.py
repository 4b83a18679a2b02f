"""A tracked result of FLAME as DECA's codes: one pose and one weak-perspective camera a picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from vhap.geometry.cameras import Camera
from vhap.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from vhap.head.model import HeadModel, HeadParams, landmark_points, pose, yaw_in_camera
from vhap.relightable.head_files import CODE_SIZES, HeadCode

CROP_SCALE = 1.25 * 1.1
"""Side of the face's square over the mean side of the box of its 68 points."""
N_FACE, N_JAW_LINE = 68, 17


def deca_code(head: HeadModel, params: HeadParams, camera: Camera) -> HeadCode:
    """The code of one picture, as DECA would have estimated it in the face's square.

    head: FLAME with the points `ibug`; params without leading axes and offsets; camera: single.

    DECA has no neck, no translation and no distance: it poses Y = LBS(shape, exp, [G, jaw]) and places it by
    x = s (Y_x + tx), y = -s (Y_y + ty), in [-1, 1] over the face's square. Ours sees X = R (pose(v) + t) + p, on the
    pixel u = cx + f X_x / d, v = cy - f X_y / d with the depth d = -X_z.

    Rotation: the face stands beside the optical axis, and what its square shows is seen along the ray to it. V turns
    that ray onto the axis; G = V R R_head R_neck, as the neck turns about a point that DECA's translation absorbs.
    Camera: around the mean depth d0, f X_x / d = f X_x / d0 (1 + O(depth range / d0)), so that the pixels are those of
    a camera without depth, with s = 2 f / (side d0), side the square's in pixels. tx and ty take up the translation,
    the joint's place and the square's. The face has depth, so the three are solved by least squares over its points,
    which agrees with that s as the distance grows; they are linear in (s, s tx, s ty).
    Coefficients beyond DECA's 100 and 50 are cut off, missing ones are 0.
    """
    points = _points(head, params, camera).double()
    pixels = camera.to(torch.float64).project(points)[0].numpy()
    centre, side = face_square(pixels)
    turned = deca_pose(params, camera, points.mean(0))
    neutral = replace(
        params,
        rotation=turned.to(params.rotation),
        neck_pose=torch.zeros_like(params.neck_pose),
        eyes_pose=torch.zeros_like(params.eyes_pose),
        translation=torch.zeros_like(params.translation),
        scale=None,
    )
    placed = _points(head, neutral, camera).double().numpy()
    # The jaw line slides over the head with its turn: its points are not the same ones.
    cam = weak_perspective(placed[N_JAW_LINE:], 2 * (pixels - centre)[N_JAW_LINE:] / side)
    return HeadCode(
        shape=_sized(params.shape, CODE_SIZES["shape"]),
        exp=_sized(params.expr, CODE_SIZES["exp"]),
        pose=np.concatenate([turned.numpy(), params.jaw_pose.double().numpy()]),
        cam=cam,
    )


def face_square(points_px: np.ndarray) -> tuple[np.ndarray, float]:
    """Centre (2,) and side of the square around a face's points (L, 2), px."""
    low, high = points_px.min(0), points_px.max(0)
    return (low + high) / 2, float(CROP_SCALE * (high - low).mean())


def deca_pose(params: HeadParams, camera: Camera, middle: Tensor) -> Tensor:
    """(3,) axis-angle, float64: G of `deca_code`. middle (3,): the face's, in the world."""
    turn = camera.T_camera_world[:3, :3].double()
    ray = camera.to(torch.float64).from_world(middle[None])[0]
    head = axis_angle_to_matrix(params.rotation.double()) @ axis_angle_to_matrix(params.neck_pose.double())
    return matrix_to_axis_angle(_onto_axis(ray) @ turn @ head)


def weak_perspective(points: np.ndarray, places: np.ndarray) -> np.ndarray:
    """(3,): s, tx, ty that place points (L, 3) at places (L, 2), y down, best."""
    flat = points[:, :2] * (1, -1)
    middle, target = flat.mean(0), places.mean(0)
    scale = float(((flat - middle) * (places - target)).sum() / ((flat - middle) ** 2).sum())
    shift = target / scale - middle
    return np.array([scale, shift[0], -shift[1]])


def _onto_axis(ray: Tensor) -> Tensor:
    """(3, 3): the smallest turn that brings a direction onto the optical axis, -z."""
    direction, axis = torch.nn.functional.normalize(ray, dim=0), ray.new_tensor([0.0, 0.0, -1.0])
    cross = torch.linalg.cross(direction, axis)
    length = cross.norm()
    angle = torch.atan2(length, direction @ axis)
    return axis_angle_to_matrix(cross * torch.where(length > 1e-12, angle / length.clamp(min=1e-12), 1.0))


def _points(head: HeadModel, params: HeadParams, camera: Camera) -> Tensor:
    """(68, 3) in the world."""
    yaw = yaw_in_camera(params, camera.T_camera_world[:3, :3].to(params.rotation))
    return landmark_points(head, pose(head, params)[None], "ibug", yaw[None])[0, :N_FACE]


def _sized(values: Tensor, count: int) -> np.ndarray:
    kept = values.reshape(-1)[:count].double().numpy()
    return np.pad(kept, (0, count - len(kept)))
