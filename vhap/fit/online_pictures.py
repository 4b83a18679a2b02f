"""What one frame's picture adds to its landmarks: the same points of the surface, whose albedo is known.

The equations are those of `photometric/` for one frame, at a fraction of its time: the identity is part of the head,
every step is made once, and a known albedo is eliminated point by point, since one picture shows a point once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from vhap.data.sample import FrameBatch
from vhap.fit.landmarks.problem import LandmarkProblem
from vhap.fit.landmarks.solver import normal_equations
from vhap.fit.landmarks.teeth_gaps import TeethGaps
from vhap.fit.online import FrameEquations
from vhap.fit.params import TrackParams, as_vectors
from vhap.fit.photometric.pictures import GreyPicture, grey_pictures
from vhap.fit.photometric.point_albedo import HIDDEN, LEAST_COLOUR, PointPrior, difference_weight
from vhap.fit.photometric.posed_heads import PosedHead
from vhap.fit.photometric.problem import FixedAlbedo
from vhap.fit.photometric.surface_points import View, find_shown, look_at, point_derivatives, select
from vhap.fit.scene import Scene
from vhap.fit.stages import fine_factor

MOST_POINTS = 1500
AROUND = 0.4
"""How far beside the landmarks a picture is looked at, in their extent: forehead, ears and neck lie there."""
MEDIAN_OF_NORMAL = 1.4826
"""Standard deviations of a normal distribution are so many times the median of its absolute values."""


@dataclass
class OnlinePictures:
    """How pictures of one person are looked at. scene: of the person's own head, for pictures of full size; known:
    points with their albedo, at the light of the params that are solved; teeth: kept behind the skin; beside_pixels:
    see LandmarkPrior; prior: of the points."""

    scene: Scene
    known: FixedAlbedo
    teeth: TeethGaps | None
    beside_pixels: float
    prior: PointPrior
    scenes: dict[int, Scene] = field(default_factory=dict)
    """The scene for pictures shrunk by a factor: what it derives from the head is kept."""

    def __post_init__(self) -> None:
        step = -(-len(self.known.points.grey) // MOST_POINTS)
        every = torch.arange(0, len(self.known.points.grey), step)
        self.points = select(self.known.points, every)
        albedo = self.known.albedo
        self.albedo, self.precision = albedo.value[every], (albedo.prior_precision + albedo.precision)[every]
        self.correlation = max(1.0, self.prior.correlation / step)

    @torch.no_grad()
    def equations(self, picture: Tensor, params: TrackParams, landmarks: LandmarkProblem) -> FrameEquations | None:
        """Of one frame: picture (H, W, 3) uint8 of the scene's size, params: its unknowns. None where the picture shows
        nothing of the head there."""
        factor = fine_factor(float(landmarks.extent_px().max()))
        scene = self.scenes.setdefault(factor, self.scene.shrunk(factor))
        grey = _grey_around(picture, landmarks, factor, scene.size)
        posed = PosedHead.of(scene.head, params)
        seen = self._view(scene, posed, grey)
        if seen is None:
            return None
        difference = seen.shading * self.albedo[seen.index] - seen.value
        spread = HIDDEN * MEDIAN_OF_NORMAL * float(difference.abs().median())
        prior = replace(self.prior, colour=min(self.prior.colour, max(LEAST_COLOUR, spread)))
        _, by_own = point_derivatives(
            scene, posed, grey, self.points, seen, self.albedo[seen.index], False, prior.colour
        )
        residual, weight = difference_weight(seen, self.albedo, prior)
        by_albedo = seen.shading / prior.colour
        weight = weight / (1 + weight * by_albedo.square() / self.precision[seen.index])
        weighted = by_own * weight[:, None]
        chosen = replace(landmarks.trusted(self.beside_pixels).with_pairs(), teeth=self.teeth)
        common, local = as_vectors(params)
        sums = normal_equations(chosen, common, local, chosen.sigma_px(beside_pixels=True), local, shared=False)
        curvature = sums.local[0] + (weighted.mT @ by_own).double()
        return FrameEquations(local[0], curvature, sums.right_local[0] - (weighted.mT @ residual).double())

    def _view(self, scene: Scene, posed: PosedHead, grey: GreyPicture) -> View | None:
        shown = find_shown(scene, posed, grey, self.points)
        if shown is None:
            return None
        counting = shown.counting(shown.counts.shared_by(self.correlation))
        return look_at(scene, posed, grey, self.points, counting)


def _grey_around(picture: Tensor, landmarks: LandmarkProblem, factor: int, size: tuple[int, int]) -> GreyPicture:
    """The picture shrunk to size (height, width), of which only what lies around the landmarks is looked at: the rest
    counts as beside the matte."""
    height, width = picture.shape[:2]
    seen = landmarks.detected_px[0, 0][landmarks.weight[0, 0] > 0]
    margin = AROUND * float(landmarks.extent_px())
    low, high = seen.amin(0) - margin, seen.amax(0) + margin
    x0, y0 = (int(max(0.0, value)) // factor for value in low.tolist())
    x1, y1 = (-(-int(min(side, max(1.0, value))) // factor) for side, value in zip((width, height), high.tolist()))
    x0, y0 = min(x0, x1 - 1), min(y0, y1 - 1)
    part = picture[y0 * factor : y1 * factor, x0 * factor : x1 * factor]
    found = grey_pictures(frame_batch(part).shrunk(factor), [0])[0]
    planes, inside = torch.zeros(1, 3, *size), torch.zeros(size, dtype=torch.bool)
    planes[:, :, y0:y1, x0:x1], inside[y0:y1, x0:x1] = found.planes, found.inside
    return GreyPicture(planes, inside, None, found.cameras)


def frame_batch(picture: Tensor) -> FrameBatch:
    """One picture (H, W, 3) uint8 as a capture would give it, without landmarks and matte."""
    first = torch.zeros(1, dtype=torch.long)
    rgb = (picture.float() / 255)[None]
    return FrameBatch(first, first, rgb, None, rgb.new_zeros(1, 0, 2), rgb.new_zeros(1, 0))
