"""Where the source's eyes look, the target's look: lids say less of it than joints that are known."""

from __future__ import annotations

import torch
from torch import Tensor

from vhap.geometry.rotations import matrix_to_axis_angle
from vhap.head.model import HeadModel, HeadParams, joint_places, joint_rotations
from vhap.head.skinning import chain_transforms

EYES = (3, 4)


def copied_gaze(source: HeadModel, source_params: HeadParams, params: HeadParams, target: HeadModel) -> Tensor:
    """(T, 6) eyes_pose of the target: its eyes have the source's rotations in the world. Both templates look along +z.

    params: the target's, whose eyes do not matter."""
    there, here = _global_rotations(source, source_params), _global_rotations(target, params)
    turns = [here[:, target.parents[eye]].mT @ there[:, eye] for eye in EYES]
    return torch.cat([matrix_to_axis_angle(turn) for turn in turns], -1)


def _global_rotations(head: HeadModel, params: HeadParams) -> Tensor:
    """(T, J, 3, 3)."""
    rotations = joint_rotations(params)
    places = joint_places(head, params.shape).expand(*rotations.shape[:-2], 3)
    return chain_transforms(rotations, places, head.parents)[..., :3, :3]
