"""Results in another world: a rig's own, as its calibration has it, or any that a similarity leads to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from vhap.data.results import TrackResult
from vhap.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from vhap.geometry.similarities import split_similarity
from vhap.head.model import HeadModel
from vhap.render.shading import rotated_lights

SCALE_TOLERANCE = 1e-9
"""Scales this close to 1 are 1, and are not written."""


def given_result(result: TrackResult, head: HeadModel) -> TrackResult:
    """The same head and motion in the world and the units of the calibration.

    As it is where no cameras were given. Where the calibration is not metric, the result has a scale.
    """
    if result.T_tracked_given is None:
        return result
    moved = moved_result(result, head, np.linalg.inv(result.T_tracked_given))
    return replace(moved, T_tracked_given=np.eye(4))


def moved_result(result: TrackResult, head: HeadModel, T_new_tracked: np.ndarray) -> TrackResult:
    """The same head and motion in another world, x_new = T_new_tracked @ x_tracked, a similarity (4, 4).

    Posed vertices move by it, and the light turns with them; rotation, translation and scale are float64.
    """
    factor, turn, shift = split_similarity(torch.from_numpy(np.asarray(T_new_tracked)))
    scale = 1.0 if result.scale is None else float(result.scale)
    new_scale = scale * float(factor)
    shape = torch.from_numpy(np.asarray(result.shape, np.float64))
    # The root turns about its own joint, whose place does not turn: the shift makes up for it.
    basis = head.joint_shape_basis[0, :, : len(shape)].cpu().double()
    root = head.joint_template[0].cpu().double() + basis @ shape
    rotation = turn @ axis_angle_to_matrix(torch.from_numpy(np.asarray(result.rotation, np.float64)))
    centre = scale * root + torch.from_numpy(np.asarray(result.translation, np.float64))
    translation = factor * centre @ turn.T + shift - new_scale * root
    lights = result.lights
    if lights is not None:
        lights = rotated_lights(torch.from_numpy(lights), turn).numpy()
    T_given = result.T_tracked_given
    return replace(
        result,
        rotation=matrix_to_axis_angle(rotation).numpy(),
        translation=translation.numpy(),
        scale=None if abs(new_scale - 1) < SCALE_TOLERANCE else np.array(new_scale),
        lights=lights,
        T_tracked_given=None if T_given is None else T_new_tracked @ T_given,
    )
