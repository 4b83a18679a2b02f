"""How good a track is: pure tensor functions, and sums that grow frame by frame so that no clip is too long."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vhap.evaluate.window import Window

EYE_CORNERS = {"mediapipe": (33, 263), "ibug": (36, 45)}
"""Detector ids of the outer eye corners, image left first."""


def eye_width_px(points_px: Tensor, confidence: Tensor, landmark_set: str) -> Tensor:
    """Distance between the outer eye corners: (..., L, 2) px and (..., L) in the detector's own order -> (...,) px; NaN
    where one of them was not found."""
    corners = list(EYE_CORNERS[landmark_set])
    left, right = points_px[..., corners, :].unbind(-2)
    found = (confidence[..., corners] > 0).all(-1)
    return torch.where(found, (left - right).norm(dim=-1), torch.nan)


def landmark_nme_percent(model_px: Tensor, detected_px: Tensor, confidence: Tensor, width_px: Tensor) -> Tensor:
    """Normalised mean error of landmarks (Sagonas et al. 2013).

    model_px, detected_px: (..., L, 2) pixels; confidence: (..., L), points at 0 do not count; width_px: (...,)
    distance of the detected outer eye corners.
    Returns (...,) mean distance over the counted points in % of width_px; NaN where no point counts.
    """
    counted = (confidence > 0).to(model_px.dtype)
    distance = (model_px - detected_px).norm(dim=-1)
    mean = (distance * counted).sum(-1) / counted.sum(-1)
    return 100 * mean / width_px.clamp(min=1e-6)


def squared_error(picture: Tensor, target: Tensor, mask: Tensor) -> tuple[float, int]:
    """Sum of squared differences over the masked pixels and all channels, and how many values that were.

    picture, target: (..., H, W, C) in [0, 1]; mask: (..., H, W) bool. Sums of several frames add up to a clip's.
    """
    difference = picture[mask].double() - target[mask].double()
    return _summed(difference * difference), difference.numel()


def _summed(values: Tensor) -> float:
    """By numpy, whose order of addition does not depend on the number of threads."""
    return float(values.cpu().numpy().sum())


def psnr_db(error_sum: float, count: int) -> float:
    """-10 log10 of the mean squared error, for colours in [0, 1]; NaN where nothing was counted, inf at no error."""
    if count == 0:
        return math.nan
    return math.inf if error_sum == 0 else -10 * math.log10(error_sum / count)


@dataclass
class SquaredErrorSum:
    """Squared error of all counted pixels, channels and frames together, so that PSNR is one number of a clip."""

    total: float = 0.0
    count: int = 0

    @staticmethod
    def of(squares: Tensor) -> SquaredErrorSum:
        """squares: float64 squared differences, any shape."""
        return SquaredErrorSum(_summed(squares), squares.numel())

    def add(self, picture: Tensor, target: Tensor, mask: Tensor) -> None:
        """Shapes as in `squared_error`."""
        total, count = squared_error(picture, target, mask)
        self.total += total
        self.count += count

    def psnr_db(self) -> float:
        return psnr_db(self.total, self.count)


def silhouette_overlap(mask: Tensor, matte: Tensor, window: Tensor) -> tuple[int, int]:
    """Pixels in both and in either of two bool masks (..., H, W), inside a window of the same shape."""
    return int((mask & matte & window).sum()), int(((mask | matte) & window).sum())


def silhouette_iou(both: int, either: int) -> float:
    """Intersection over union; NaN where both masks are empty."""
    return both / either if either else math.nan


def head_window(points_px: Tensor, up_px: Tensor, chin_px: Tensor, window: Window) -> Tensor:
    """Where a matte (which also holds body and hair) may be compared with a rendered head.

    points_px: (V, 2) projected vertices of the head without its neck; up_px: (2,) the head's up axis in the picture
    (y down); chin_px: (N, 2) projected vertices of the face; window: of the picture, which is looked at.
    Returns (h, w) bool: pixels in the bounding box of the head's vertices that lie above the lowest face vertex
    along the up axis, so that neck and shoulders do not count.
    """
    up = torch.nn.functional.normalize(up_px, dim=-1)
    chin_level = (chin_px @ up).amin()
    low, high = points_px.amin(0), points_px.amax(0)
    x = torch.arange(window.left, window.left + window.width, device=up.device, dtype=up.dtype) + 0.5
    y = torch.arange(window.top, window.top + window.height, device=up.device, dtype=up.dtype)[:, None] + 0.5
    inside_x, inside_y = (x >= low[0]) & (x <= high[0]), (y >= low[1]) & (y <= high[1])
    return (x * up[0] + y * up[1] >= chin_level) & inside_x & inside_y


def second_difference_mm(before: Tensor, now: Tensor, after: Tensor) -> Tensor:
    """Length of the change of motion between three consecutive frames: 3 x (..., V, 3) metres -> (..., V) mm."""
    return 1000 * (before - 2 * now + after).norm(dim=-1)


def jitter_mm(vertices: Tensor) -> float:
    """Median length of the vertices' second difference over time, (T, V, 3) metres -> mm; NaN below three frames."""
    if len(vertices) < 3:
        return math.nan
    return float(second_difference_mm(vertices[:-2], vertices[1:-1], vertices[2:]).flatten().median())


def vertex_distance_mm(vertices: Tensor, truth: Tensor) -> Tensor:
    """Distance between matching vertices: 2 x (..., V, 3) metres -> (..., V) mm."""
    return 1000 * (vertices - truth).norm(dim=-1)


def focal_error_percent(focal: float, truth: float) -> float:
    """Relative error of a focal length, in %, without sign."""
    return 100 * abs(focal - truth) / truth


@dataclass(frozen=True)
class Similarity:
    """x -> scale * rotation @ x + translation. rotation (3, 3), translation (3,), both float64."""

    scale: float
    rotation: Tensor
    translation: Tensor

    def apply(self, points: Tensor) -> Tensor:
        """(..., 3) -> (..., 3), in the points' own type."""
        rotation, translation = self.rotation.to(points), self.translation.to(points)
        return self.scale * (points @ rotation.T) + translation


@dataclass(frozen=True)
class SimilaritySums:
    """What Umeyama's alignment needs of all point pairs; frames are added one by one.

    count pairs; source, target (3,) sums; cross (3, 3) sum of target source^T; squared: sum of |source|^2. The sums
    are taken about the first pair's frame mean (origin_source, origin_target), which keeps them well conditioned.
    """

    count: int
    source: Tensor
    target: Tensor
    cross: Tensor
    squared: float
    origin_source: Tensor
    origin_target: Tensor

    @staticmethod
    def of(source: Tensor, target: Tensor) -> SimilaritySums:
        """Sums of the first frame: (N, 3) pairs in metres."""
        source, target = source.double(), target.double()
        zero = source.new_zeros(3)
        empty = SimilaritySums(0, zero, zero, source.new_zeros(3, 3), 0.0, source.mean(0), target.mean(0))
        return empty.add(source, target)

    def add(self, source: Tensor, target: Tensor) -> SimilaritySums:
        """These sums with (N, 3) further pairs."""
        source = source.double() - self.origin_source
        target = target.double() - self.origin_target
        return replace(
            self,
            count=self.count + len(source),
            source=self.source + source.sum(0),
            target=self.target + target.sum(0),
            cross=self.cross + target.T @ source,
            squared=self.squared + float((source * source).sum()),
        )

    def solve(self) -> Similarity:
        """The similarity that takes source to target with the least squared error (Umeyama 1991, eq. 40 to 43).

        Never a reflection. Scale 1 where all source points coincide.
        """
        mean_source, mean_target = self.source / self.count, self.target / self.count
        covariance = self.cross / self.count - torch.outer(mean_target, mean_source)
        variance = self.squared / self.count - float(mean_source @ mean_source)
        left, singular, right = torch.linalg.svd(covariance)
        sign = torch.ones_like(singular)
        sign[2] = torch.sign(torch.linalg.det(left) * torch.linalg.det(right))
        rotation = left @ torch.diag(sign) @ right
        scale = float((singular * sign).sum()) / variance if variance > 1e-18 else 1.0
        mean_source, mean_target = mean_source + self.origin_source, mean_target + self.origin_target
        return Similarity(scale, rotation, mean_target - scale * (rotation @ mean_source))


class Distribution:
    """Mean and quantiles of lengths that arrive frame by frame, in constant memory.

    The mean is exact; quantiles are exact to the width of a bin, 0.002 mm below 100 mm. Longer lengths count as
    100 mm in the quantiles.
    """

    BIN_MM = 0.002
    BINS = 50_000

    def __init__(self) -> None:
        self.counts = torch.zeros(self.BINS, dtype=torch.long)
        self.total = 0.0

    def add(self, lengths_mm: Tensor) -> None:
        """(N,) finite lengths >= 0 in mm."""
        bins = (lengths_mm.detach().cpu() / self.BIN_MM).long().clamp(max=self.BINS - 1)
        self.counts += torch.bincount(bins.flatten(), minlength=self.BINS)
        self.total += float(lengths_mm.double().sum())

    def mean(self) -> float:
        count = int(self.counts.sum())
        return self.total / count if count else math.nan

    def quantile(self, share: float) -> float:
        """The length (lower edge of its bin) that the given share of lengths does not exceed; NaN where none came."""
        cumulated = self.counts.cumsum(0)
        count = int(cumulated[-1])
        if count == 0:
            return math.nan
        rank = max(1, math.ceil(share * count))
        return float(torch.searchsorted(cumulated, rank)) * self.BIN_MM
