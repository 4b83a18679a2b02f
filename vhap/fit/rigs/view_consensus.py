"""Which views of one moment show the same head: detectors find faces on the backs of heads."""

from __future__ import annotations

import torch
from torch import Tensor

from vhap.fit.rigs.alignment import face_extent_px
from vhap.geometry.cameras import Camera
from vhap.geometry.triangulation import reprojection_errors, triangulate

AGREES = 0.1
"""Of the face's size in the picture. Right detections have medians up to 0.06, faces found on hair several tenths."""
LEAST_VIEWS = 3
"""Two views always agree with each other."""


def agreeing_views(points_px: Tensor, weight: Tensor, camera: Camera) -> Tensor:
    """(C,) bool: the largest set of views with landmarks that agree with the points which some two of them give.

    points_px (C, L, 2), weight (C, L), 0 where nothing was detected; camera: leading axis C. All views with landmarks
    where no three agree: then it is not single views that are wrong.
    """
    seen = (weight > 0).any(1)
    pairs = torch.combinations(torch.nonzero(seen).flatten(), 2)
    if len(pairs) == 0:
        return seen
    shown = points_px.double().expand(len(pairs), *points_px.shape)
    chosen = torch.zeros(len(pairs), len(weight), 1, dtype=weight.dtype, device=weight.device)
    chosen.scatter_(1, pairs[..., None], 1)
    extent = face_extent_px(points_px[None], weight[None])
    found = triangulate(camera, shown, chosen * weight, AGREES * extent)
    error, depth = reprojection_errors(camera.to(torch.float64), found.points, shown)
    counted = (weight > 0) & found.valid[:, None]
    relative = torch.where(counted & (depth > 0), error / extent[:, None], torch.inf)
    medians = torch.where(counted, relative, torch.nan).nanmedian(-1).values
    agree = seen & (medians < AGREES)
    best = agree[agree.sum(1).argmax()]
    return best if int(best.sum()) >= LEAST_VIEWS else seen
