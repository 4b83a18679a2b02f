"""What one frame's picture adds to its landmarks: the same points of the surface, whose albedo is known.

The equations are those of `photometric/` for one frame, at a fraction of its time: the identity is part of the head,
every step is made once, and a known albedo is eliminated point by point, since one picture shows a point once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from vhap.data.sample import FrameBatch
from vhap.fit.landmarks.equations import normal_equations
from vhap.fit.online import FrameEquations
from vhap.fit.params import TrackParams, as_vectors
from vhap.fit.photometric.pictures import GreyPicture
from vhap.fit.photometric.point_albedo import HIDDEN, LEAST_COLOUR, PointPrior, difference_weight
from vhap.fit.photometric.posed_heads import PosedHeads
from vhap.fit.photometric.problem import FixedAlbedo
from vhap.fit.photometric.surface_points import PictureBatch, ShownBatch, find_shown, look_at, point_derivatives
from vhap.fit.residuals.landmark_problem import LandmarkProblem
from vhap.fit.residuals.surface_derivatives import sloped_planes
from vhap.fit.residuals.teeth_gaps import TeethGaps
from vhap.fit.scene import Scene
from vhap.fit.stages import fine_factor

MOST_POINTS = 1500
OTHER_LIGHT = 0.06
"""Grey values by which a picture differs from the head in its albedo at more than half of the points where the light is
another one than that of the albedo (in its own light 0.01)."""
AROUND, BELOW = 0.4, 1.0
"""How far beside and below the landmarks a picture is looked at, in their extent: forehead and ears lie beside; below,
neck and shoulders tell the torso from the head."""
BINOMIAL = np.array([0.25, 0.5, 0.25], np.float32)
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
    scenes: dict[int, tuple[Scene, Scene]] = field(default_factory=dict)
    """The scene, and its part around the points, for pictures shrunk by a factor: what they derive from the head is
    kept."""

    def __post_init__(self) -> None:
        self.fewer = self.known.thinned(MOST_POINTS)
        albedo = self.fewer.albedo
        self.points, self.albedo = self.fewer.points, albedo.value
        self.near, corners = part_around(self.scene, self.points.corners)
        self.near_points = replace(self.points, corners=corners)
        self.precision = albedo.prior_precision + albedo.precision

    def look(self, picture: np.ndarray, landmarks: LandmarkProblem) -> FrameLook:
        """At one frame: picture (H, W, 3) uint8 RGB of the scene's size, and its landmarks."""
        factor = fine_factor(float(landmarks.extent_px().max()))
        if factor not in self.scenes:
            self.scenes[factor] = self.scene.shrunk(factor), self.near.shrunk(factor)
        scene, near = self.scenes[factor]
        return FrameLook(self, scene, near, _grey_around(picture, landmarks, factor, scene.size), landmarks)


@dataclass
class FrameLook:
    """One frame's picture, looked at as often as the head moves. Which points it shows, and the landmarks' equations,
    stay as they were at first: the head moves a little only. near: the scene's part around the points."""

    pictures: OnlinePictures
    scene: Scene
    near: Scene
    grey: GreyPicture
    landmarks: LandmarkProblem
    shown: ShownBatch | None = None
    of_landmarks: FrameEquations | None = None

    @torch.inference_mode()
    def equations(self, params: TrackParams) -> FrameEquations | None:
        """About the unknowns of a frame; None where the picture shows nothing of the head, or in another light."""
        known, batch = self.pictures, PictureBatch.of_one(PosedHeads.of(self.near, params), self.grey)
        if self.shown is None:
            whole = PictureBatch.of_one(PosedHeads.of(self.scene, params), self.grey)
            (found,) = find_shown(self.scene, whole, known.points)
            if found is None:
                return None
            counting = found.counting(found.counts.shared_by(known.prior.correlation, known.fewer.each))
            self.shown = ShownBatch.of([counting], known.near_points, batch.heads)
        seen = look_at(self.near, batch, self.shown)
        albedo = known.albedo[seen.index]
        typical = float((seen.shading * albedo - seen.value).abs().median())
        if typical > OTHER_LIGHT:
            return None
        spread = HIDDEN * MEDIAN_OF_NORMAL * typical
        prior = replace(known.prior, colour=min(known.prior.colour, max(LEAST_COLOUR, spread)))
        _, by_own = point_derivatives(self.near, batch, seen, albedo, False, prior.colour)
        residual, weight = difference_weight(seen, known.albedo, prior)
        # The albedo is eliminated: a point that is not well known counts less.
        by_albedo = seen.shading / prior.colour
        weight = weight / (1 + weight * by_albedo.square() / known.precision[seen.index])
        weighted = by_own * weight[:, None]
        unknowns = as_vectors(params)[1]
        landmarks = self._landmarks(params)
        curvature = landmarks.curvature + (weighted.mT @ by_own).double()
        right = landmarks.right_at(unknowns[0]) - (weighted.mT @ residual).double()
        return FrameEquations(unknowns[0], curvature, right)

    def _landmarks(self, params: TrackParams) -> FrameEquations:
        """Those of landmarks beside pictures, of pairs and teeth, and of the priors."""
        if self.of_landmarks is None:
            chosen = self.landmarks.trusted(self.pictures.beside_pixels).with_pairs()
            chosen = replace(chosen, teeth=self.pictures.teeth)
            shared, unknowns = as_vectors(params)
            sigma = chosen.sigma_px(beside_pixels=True)
            sums = normal_equations(chosen, shared, unknowns, sigma, unknowns, with_shared=False)
            self.of_landmarks = FrameEquations(unknowns[0], sums.frames[0], sums.right_frames[0])
        return self.of_landmarks


def part_around(scene: Scene, corners: Tensor) -> tuple[Scene, Tensor]:
    """The scene with those triangles only that meet one of the vertices corners (M, 3), and the numbers of these among
    the vertices that are left. Points between corners stand, turn and move there as on the whole head."""
    head = scene.head
    met = torch.zeros(head.n_vertices, dtype=torch.bool)
    met[corners] = True
    kept, faces = head.faces[met[head.faces].any(1)].unique(return_inverse=True)
    number = torch.empty(head.n_vertices, dtype=corners.dtype)
    number[kept] = torch.arange(len(kept), dtype=corners.dtype)
    return replace(scene, head=replace(head.keep_vertices(kept), faces=faces)), number[corners]


def _grey_around(picture: np.ndarray, landmarks: LandmarkProblem, factor: int, size: tuple[int, int]) -> GreyPicture:
    """The picture shrunk to size (height, width), as `grey_pictures` makes it, but only around the landmarks: the rest
    counts as beside the matte."""
    height, width = picture.shape[:2]
    seen = landmarks.detected_px[0, 0][landmarks.weight[0, 0] > 0]
    extent = float(landmarks.extent_px())
    low = (seen.amin(0) - AROUND * extent).tolist()
    high = (seen.amax(0) + seen.new_tensor([AROUND, BELOW]) * extent).tolist()
    (x0, x1), (y0, y1) = (_range(one, other, side, factor) for one, other, side in zip(low, high, (width, height)))
    part = picture[y0 * factor : y1 * factor, x0 * factor : x1 * factor]
    grey = cv2.cvtColor(part.astype(np.float32), cv2.COLOR_RGB2GRAY)
    if factor > 1:
        grey = cv2.resize(grey, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
    smooth = cv2.sepFilter2D(grey / 255, -1, BINOMIAL, BINOMIAL, borderType=cv2.BORDER_REPLICATE)
    planes, inside = torch.zeros(1, 3, *size), torch.zeros(size, dtype=torch.bool)
    planes[:, :, y0:y1, x0:x1], inside[y0:y1, x0:x1] = sloped_planes(torch.from_numpy(smooth)), True
    return GreyPicture(planes, inside, None, torch.zeros(1, dtype=torch.long))


def _range(low: float, high: float, side: int, factor: int) -> tuple[int, int]:
    """First and behind the last of the shrunk pixels from low to high, px of a picture's side; one at least."""
    last = -(-side // factor)
    first = min(max(0, int(low) // factor), last - 1)
    return first, max(first + 1, min(last, -(-int(high) // factor)))


def frame_batch(picture: Tensor) -> FrameBatch:
    """One picture (H, W, 3) uint8 as a capture would give it, without landmarks and matte."""
    first = torch.zeros(1, dtype=torch.long)
    rgb = (picture.float() / 255)[None]
    return FrameBatch(first, first, rgb, None, rgb.new_zeros(1, 0, 2), rgb.new_zeros(1, 0))
