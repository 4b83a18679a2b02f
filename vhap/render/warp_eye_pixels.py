"""Differences between eyeballs and the pixels that show them, with their derivatives by the gaze."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import warp as wp
from torch import Tensor

from vhap.render.kernels import eye_pixels as kernels
from vhap.render.warp_common import flat, launch_ranges, vectors, wrap

AT_ONCE = 8192
"""Pixels that a thread works on."""


@dataclass(frozen=True)
class EyeRays:
    """N pixels. view, frame, eye (N,) int64: which picture of an eye, whose frame's, and of which of both eyes; colour,
    shading (N, 3); ray (N, 3) unit directions and origin (N, 3) of rays in the axes of the resting eye, about its
    joint; across (N, 2): where a pixel lies in its view."""

    view: Tensor
    frame: Tensor
    eye: Tensor
    colour: Tensor
    shading: Tensor
    ray: Tensor
    origin: Tensor
    across: Tensor


@dataclass(frozen=True)
class EyeShapes:
    """axis (2, 3): optical axes of both eyes at rest; radius (2, S, S, 1), detail (2, S, S, 3): distance from the joint
    and factors on the albedo, by direction in stereographic charts that go from -reach to reach; profile (A, 3): albedo
    at angles to the axis that are angle_step apart, from 0 on."""

    axis: Tensor
    radius: Tensor
    detail: Tensor
    reach: float
    profile: Tensor
    angle_step: float


@dataclass(frozen=True)
class EyeDifferences:
    """value (N, 3): render minus pixel; by_gaze (N, 3, 2): by pitch and yaw, empty without slopes; factor (N, 3): what
    the profile is multiplied by; angle (N,) to the optical axis; valid (N,): whether the ray meets the eye from
    before."""

    value: Tensor
    by_gaze: Tensor
    factor: Tensor
    angle: Tensor
    valid: Tensor


def differences_of_eyes(
    rays: EyeRays, shapes: EyeShapes, turn: Tensor, by_turn: Tensor, gain: Tensor, slopes: bool
) -> EyeDifferences:
    """turn (T, 2, 3, 3): of both eyes of every frame; by_turn (T, 2, 2, 3, 3): its derivatives by pitch and yaw, read
    with slopes alone; gain (W, 3): a view's brightness beyond 1, and its change to the right and downwards."""
    count, empty = len(rays.view), rays.colour.new_empty
    value, factor, position, by_gaze = empty(count, 3), empty(count, 3), empty(count, 3), empty(0, 2, 3)
    angle, length, valid = empty(count), empty(count), torch.empty(count, dtype=torch.bool, device=rays.view.device)
    each = count if rays.view.is_cuda else AT_ONCE
    ranges = [(begin, min(begin + each, count)) for begin in range(0, count, max(1, each))]
    chart = [flat(shapes.radius), vectors(shapes.detail), shapes.radius.shape[1], shapes.reach]
    chart += [vectors(shapes.profile), shapes.angle_step]
    axes, turns = vectors(shapes.axis), wrap(turn.reshape(-1, 3, 3), wp.mat33)
    inputs = [wrap(rays.view), wrap(rays.frame), wrap(rays.eye)]
    inputs += [vectors(part) for part in (rays.colour, rays.shading, rays.ray, rays.origin, rays.across, gain)]
    inputs += [turns, axes, wrap(shapes.radius.mean((1, 2, 3))), *chart, vectors(value), vectors(factor)]
    found = [wrap(angle), wrap(valid), vectors(position), wrap(length)]
    launch_ranges(kernels.eye_differences, ranges, lambda _: [*inputs, *found], rays.view.device)
    if slopes:
        by_gaze = empty(count, 2, 3)
        given = [wrap(rays.frame), wrap(rays.eye), vectors(rays.ray), vectors(rays.origin), turns]
        given += [wrap(by_turn.reshape(-1, 3, 3), wp.mat33), axes, *chart, vectors(factor), wrap(angle)]
        given += [vectors(position), wrap(length), vectors(by_gaze)]
        launch_ranges(kernels.eye_slopes, ranges, lambda _: given, rays.view.device)
    return EyeDifferences(value, by_gaze.mT, factor, angle, valid)
