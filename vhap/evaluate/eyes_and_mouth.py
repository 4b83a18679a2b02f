"""How well lids, gaze, lips and teeth are tracked: pure functions of posed heads.

Everything is in head space: y up, the face towards +z, root and neck turned back; where the head stands is all one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vhap.evaluate.metrics import SimilaritySums
from vhap.fit.residuals.landmark_pairs import INNER_LOWER_LIP, INNER_UPPER_LIP, LOWER_LIDS, UPPER_LIDS
from vhap.head.model import HeadModel, HeadParams, joint_rotations

EYE_CORNERS = ((36, 39), (42, 45))
"""iBUG's corners of each eye, the one on the image's left (the subject's right) first."""
CLOSED_GAP = 0.05
"""Below this gap in eye widths an eye is closed."""
MIN_AREA_M2 = 1e-14
"""Triangles seen edge-on cover nothing."""
EYEBALLS = ("right_eyeball", "left_eyeball")


def in_head_space(vertices: Tensor, params: HeadParams) -> Tensor:
    """Vertices (..., V, 3) of the world with the turns of root and neck taken back; the origin stays the world's.

    For all that moves with the neck joint: eyes, lids, jaw, teeth. The torso is turned with them.
    """
    rotations = joint_rotations(params)
    return vertices @ rotations[..., 0, :, :] @ rotations[..., 1, :, :]


def eyelid_gap(upper: Tensor, lower: Tensor, eye_width: Tensor) -> Tensor:
    """Openness of an eye, independent of the head's size.

    upper, lower: (..., K, 3) matching lid points in head space; eye_width: (...,) corner to corner, > 0, same unit.
    Returns (..., K) signed heights of the upper over the lower lid in eye widths; negative where they cross.
    """
    return (upper - lower)[..., 1] / eye_width[..., None]


def eye_widths(points: Tensor) -> Tensor:
    """Corner to corner, for iBUG points (..., 68 or more, 3) -> (..., 2), the eye on the image's left first."""
    first, second = torch.tensor(EYE_CORNERS, device=points.device).T
    return (points[..., first, :] - points[..., second, :]).norm(dim=-1)


def eyelid_gaps(points: Tensor) -> Tensor:
    """Mean `eyelid_gap` of each eye, for iBUG points (..., 68 or more, 3) in head space -> (..., 2)."""
    upper, lower = torch.tensor(UPPER_LIDS), torch.tensor(LOWER_LIDS)
    return eyelid_gap(points[..., upper, :], points[..., lower, :], eye_widths(points)).mean(-1)


def mouth_gap(points: Tensor) -> Tensor:
    """Mean signed height of the inner upper over the inner lower lip in eye widths (mean of both eyes).

    points: (..., 68 or more, 3) iBUG points in head space -> (...,).
    """
    between = points[..., list(INNER_UPPER_LIP), :] - points[..., list(INNER_LOWER_LIP), :]
    return between[..., 1].mean(-1) / eye_widths(points).mean(-1)


def optical_axes(model: HeadModel, vertices: Tensor) -> Tensor:
    """Where the eyes look: (V, 3) in head space -> (2, 3) unit vectors, the eye on the image's left first.

    The template's eyes look along +z; each axis turns with the least-squares rotation (Umeyama 1991) of the eyeball's
    vertices, whatever turned them: a joint, an expression or an offset. The head needs the regions of EYEBALLS.
    """
    balls = [model.regions[name] for name in EYEBALLS]
    turns = [SimilaritySums.of(model.template[ids], vertices[ids]).solve().rotation for ids in balls]
    return torch.stack([turn[:, 2] for turn in turns]).to(vertices)


def gaze_error_deg(axes: Tensor, true_axes: Tensor) -> Tensor:
    """Angle between optical axes in degrees: unit vectors 2 x (..., 3) -> (...,) in [0, 180]."""
    sine = torch.linalg.cross(axes, true_axes).norm(dim=-1)
    return torch.rad2deg(torch.atan2(sine, (axes * true_axes).sum(-1)))


def teeth_outside_mm(teeth: Tensor, skin: Tensor) -> float:
    """How far the foremost tooth stands out of lips and cheeks, in mm, 0 where all stand behind.

    teeth: (N, 3) vertices; skin: (F, 3, 3) corners of the face's outer triangles, counter-clockwise from outside, both
    in head space, metres. A vertex counts where triangles that face +z cover it, seen along the z axis; it is outside
    by its distance before the foremost of them. Teeth seen between open lips are covered by none.
    """
    low, high = teeth.amin(0), teeth.amax(0)
    near = (skin.amin(1) <= high)[:, :2].all(-1) & (skin.amax(1) >= low)[:, :2].all(-1)
    a, b, c = skin[near].unbind(1)
    area = _cross_xy(b - a, c - a)
    a, b, c, area = (part[area > MIN_AREA_M2] for part in (a, b, c, area))
    if len(area) == 0:
        return 0.0
    first, second, offset = b - a, c - a, teeth[:, None] - a
    u, v = _cross_xy(offset, second) / area, _cross_xy(first, offset) / area
    depth = torch.where((u >= 0) & (v >= 0) & (u + v <= 1), a[:, 2] + u * first[:, 2] + v * second[:, 2], -torch.inf)
    front = depth.amax(1)
    outside = torch.where(front.isfinite(), teeth[:, 2] - front, 0.0)
    return 1000 * float(outside.amax().clamp(min=0))


def _cross_xy(a: Tensor, b: Tensor) -> Tensor:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
