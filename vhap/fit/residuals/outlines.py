"""The head's outline against the border of the matte: the size of the skull, on which no landmark lies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vhap.fit.residuals.surface_derivatives import sloped_planes
from vhap.geometry.robust import Cauchy, GemanMcClure

EDGE = 2
"""Pixels along the picture's edge that are no outline."""
FURTHEST_PX, FURTHEST = 50.0, 0.1
"""Distances end there, or at that part of the picture's longer side, whichever is more."""


@dataclass(frozen=True)
class OutlinePrior:
    """spread: standard deviation of an outline, as a fraction of the picture's longer side; robust: in standard
    deviations, from which distance on a point counts less; count: points of a picture."""

    spread: float = 0.004
    robust: float = 2.0
    count: int = 300

    def cost(self, distance: Tensor) -> Tensor:
        """(n,) of distances (n,) in standard deviations. Beyond the matte's border, where nothing is to be seen of a
        head, Cauchy's; inside, where hair may stand off it or hang beside it, Geman and McClure's (1987), which lets
        far points go."""
        squared = distance.square()
        return torch.where(distance > 0, Cauchy(self.robust).cost(squared), GemanMcClure(self.robust).cost(squared))

    def weight(self, distance: Tensor) -> Tensor:
        """(n,) how much each counts in least squares."""
        squared = distance.square()
        return torch.where(distance > 0, Cauchy(self.robust).weight(squared), GemanMcClure(self.robust).weight(squared))


@dataclass(frozen=True)
class Outline:
    """n points of the surface on the head's outline in a picture.

    corners (n, 3) vertices, barycentrics (n, 3); inset (n,) px by which the outline lies beyond them; distance (n,) px
    beyond the matte's border, negative inside; slope (n, 2) its change by a move of the point; share: how many points
    each stands for.
    """

    corners: Tensor
    barycentrics: Tensor
    inset: Tensor
    distance: Tensor
    slope: Tensor
    share: float


@dataclass(frozen=True)
class MatteBorder:
    """planes (1, 3, H, W): distance in px to the border of a matte, positive outside, and its change by x and y."""

    planes: Tensor

    @property
    def distance(self) -> Tensor:
        """(H, W)."""
        return self.planes[0, 0]

    @classmethod
    def of(cls, distance: Tensor) -> MatteBorder:
        """distance (H, W)."""
        return cls(sloped_planes(distance))


def matte_border(alpha: Tensor) -> MatteBorder:
    """Of alpha (H, W)."""
    return MatteBorder.of(beyond_matte(alpha))


def beyond_matte(alpha: Tensor) -> Tensor:
    """(H, W) alpha -> (H, W) px: distance to the border of the matte, positive outside, right to 2 % (Borgefors 1986)
    and to a part of a pixel near the border, where it counts."""
    values, furthest = alpha.cpu().numpy(), max(FURTHEST_PX, FURTHEST * max(alpha.shape))
    person = (values > 0.5).astype(np.uint8)
    if person.all() or not person.any():
        return torch.full_like(alpha, -furthest if person.all() else furthest)
    inward, outward = (cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_5) for mask in (person, 1 - person))
    # Each is 0 where the other is not.
    distance = outward
    distance -= inward
    distance += person
    distance -= 0.5
    mixed = (values > 0.02) & (values < 0.98) & (np.abs(distance) < 1)
    distance[mixed] = 0.5 - values[mixed]
    return torch.from_numpy(distance.clip(-furthest, furthest, out=distance)).to(alpha)


def outline_at(
    faces: Tensor,
    mask: Tensor,
    surface: Callable[[Tensor], tuple[Tensor, Tensor]],
    matte: MatteBorder,
    count: int,
    fixed: Tensor | None,
) -> Outline | None:
    """Of the head that covers mask (H, W) of one picture; None where there is no outline. faces (F, 3); surface gives
    triangles (K,) and weights of their corners (K, 3) at flat indices of covered pixels (K,); count: points at most;
    fixed (V,) bool: vertices whose outline moves nothing."""
    pixels = _outline_pixels(mask)
    face, barycentrics = surface(pixels)
    corners = faces[face]
    if fixed is not None:
        kept = ~fixed[corners].any(-1)
        pixels, corners, barycentrics = pixels[kept], corners[kept], barycentrics[kept]
    if len(pixels) == 0:
        return None
    share = max(1.0, len(pixels) / count)
    some = (torch.arange(int(len(pixels) / share), device=pixels.device) * share).long()
    pixels = pixels[some]
    slope = matte.planes[0, 1:].flatten(1)[:, pixels].T
    # The outline lies between the centres of a covered pixel and of the next one in the row or column.
    inset = F.normalize(slope, dim=-1).abs().amax(-1) / 2
    return Outline(
        corners=corners[some],
        barycentrics=barycentrics[some],
        inset=inset,
        distance=matte.distance.flatten()[pixels] + inset,
        slope=slope,
        share=share,
    )


def _outline_pixels(mask: Tensor) -> Tensor:
    """Flat indices (K,), ascending, of covered pixels one of whose four neighbours is not; not along the picture's
    edge."""
    inner = mask[EDGE:-EDGE, EDGE:-EDGE]
    rows, columns = (torch.nonzero(inner.any(axis)).flatten() for axis in (1, 0))
    if not len(rows):
        return rows
    # Where the head is: the rest of the picture takes as long.
    top, left = int(rows[0]), int(columns[0])
    height, width = int(rows[-1]) + 1 - top, int(columns[-1]) + 1 - left

    def moved(down: int, right: int) -> Tensor:
        return mask[EDGE + top + down :, EDGE + left + right :][:height, :width]

    enclosed = moved(-1, 0) & moved(1, 0) & moved(0, -1) & moved(0, 1)
    row, column = torch.nonzero(moved(0, 0) & ~enclosed, as_tuple=True)
    return (row + EDGE + top) * mask.shape[1] + column + EDGE + left
