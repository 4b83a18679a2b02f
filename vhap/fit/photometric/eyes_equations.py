"""Equations of eyes in pictures: differences between render and pixels, and their derivatives.

A pixel's ray meets the eyeball where its angle to the optical axis is implied by the eye's rotation; the albedo there,
times shading and a view's own brightness, is the expected colour.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from vhap.fit.photometric.eyes_albedo import ANGLE_STEP, Profile
from vhap.fit.photometric.eyes_views import CHART_REACH, Eyeballs, EyePixels
from vhap.geometry.robust import Cauchy
from vhap.geometry.rotations import axis_angle_derivatives, axis_angle_to_matrix
from vhap.render.warp_eye_pixels import EyeRays, EyeShapes, differences_of_eyes

N_GAIN = 3


@dataclass(frozen=True)
class EyePrior:
    """Standard deviations. colour: of a pixel, at least; robust: in these, from which difference on a pixel counts less
    (Cauchy); correlation: so many pixels count as one; brightness, tilt: of a view's brightness and its change from the
    middle to the border; pitch_rad, yaw_rad: of the left eye's rotation against the right eye's, yaw being vergence."""

    colour: float = 0.02
    robust: float = 2.0
    correlation: float = 6.0
    brightness: float = 0.3
    tilt: float = 0.15
    pitch_rad: float = 0.02
    yaw_rad: float = 0.06


@dataclass(frozen=True)
class EyeState:
    """gaze (T, 2, 2): pitch and yaw of both eyes, the first two components of their axis-angle; gain
    (W, N_GAIN): a view's brightness beyond 1, and its change from the middle to the right and to the bottom."""

    gaze: Tensor
    gain: Tensor


@dataclass(frozen=True)
class Differences:
    """value (n, 3): render minus pixel; by_gaze (n, 3, 2), by_gain (n, 3, N_GAIN), empty where they were not asked for;
    factor (n, 3): what the profile is multiplied by; angle (n,) to the optical axis; valid (n,)."""

    value: Tensor
    by_gaze: Tensor
    by_gain: Tensor
    factor: Tensor
    angle: Tensor
    valid: Tensor


def differences(
    pixels: EyePixels, balls: Eyeballs, roll: Tensor, profile: Profile, state: EyeState, slopes: bool = True
) -> Differences:
    """roll (T, 2): third component of each eye's axis-angle, which stays; slopes: with derivatives."""
    vectors = torch.cat([state.gaze, roll[..., None]], -1)
    turn = axis_angle_to_matrix(vectors)
    by_turn = axis_angle_derivatives(vectors)[..., :2, :, :] if slopes else turn
    rays = EyeRays(**{f.name: getattr(pixels, f.name) for f in fields(EyeRays)})
    shapes = EyeShapes(balls.axis, balls.radius, balls.detail, CHART_REACH, profile.value, ANGLE_STEP)
    found = differences_of_eyes(rays, shapes, turn, by_turn, state.gain, slopes)
    by_gain = found.value.new_zeros(0, 3, N_GAIN)
    if slopes:
        basis = torch.cat([torch.ones_like(pixels.across[:, :1]), pixels.across], -1)
        brightness = 1 + (basis * state.gain[pixels.view]).sum(-1)
        by_gain = ((found.value + pixels.colour) / brightness[:, None])[..., None] * basis[:, None]
    return Differences(found.value, found.by_gaze, by_gain, found.factor, found.angle, found.valid)


def robust_cost(
    value: Tensor, pixels: EyePixels, valid: Tensor, sigma: float, prior: EyePrior
) -> tuple[Tensor, Tensor]:
    """Cost (n,) of each pixel and its precision (n,), of the mean over colours."""
    squared = value.square().mean(-1) / sigma**2
    share = pixels.counts * valid / prior.correlation
    loss = Cauchy(prior.robust)
    return share * loss.cost(squared), share * loss.weight(squared) / (3 * sigma**2)
