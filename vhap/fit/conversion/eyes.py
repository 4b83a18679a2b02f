"""Where the source's eyes look, the target's look: lids say less of it than joints that are known."""

from __future__ import annotations

import torch
from torch import Tensor

from vhap.geometry.rotations import matrix_to_axis_angle
from vhap.head.joints import PosedJoints
from vhap.head.model import HeadModel, HeadParams

EYES = (3, 4)


def copied_gaze(source: HeadModel, source_params: HeadParams, params: HeadParams, target: HeadModel) -> Tensor:
    """(T, 6) eyes_pose of the target: its eyes have the source's rotations in the world. Both templates look along +z.

    params: the target's, whose eyes do not matter."""
    there, here = PosedJoints.of(source, source_params).turns, PosedJoints.of(target, params).turns
    turns = [here[:, target.parents[eye]].mT @ there[:, eye] for eye in EYES]
    return torch.cat([matrix_to_axis_angle(turn) for turn in turns], -1)
