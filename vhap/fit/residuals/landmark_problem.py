"""Landmarks as equations: where the head's points lie in every camera's picture, and how the unknowns move them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from vhap.fit.params import N_CAMERA, TrackParams, as_vectors
from vhap.fit.residuals.landmark_pairs import landmark_pairs
from vhap.fit.residuals.landmark_points import GatheredPoints, LandmarkPoints, PosedLandmarks, yaw_of
from vhap.fit.residuals.motion import N_MOTION, MotionPrior, Spreads, motion_prior
from vhap.fit.residuals.teeth_gaps import TeethGaps
from vhap.geometry.cameras import Camera, camera_from_focal
from vhap.geometry.robust import Cauchy
from vhap.head.joints import PosedJoints
from vhap.head.model import HeadModel, HeadParams
from vhap.head.points import JointMotion

FIXED_SHAPE = 1e-4
"""Standard deviation of an identity that is known."""
AT_ONCE = 512
"""Frames whose landmarks are projected together."""


@dataclass(frozen=True)
class LandmarkPrior:
    """Standard deviations, and focal, the middle of the focal length's prior.

    pixel: of a landmark, as a fraction of the face's size in the picture; beside_pixels: the
    same where pictures count too; pair: likewise, of the difference of paired landmarks; robust: the distance, in those
    units, from which a point counts less (Cauchy); the others in their own units. expr is for anonymous coefficients of
    unit variance, activation for named ones, which run from 0 to 1, blink for those named so: they run through all of
    it every few seconds; below_zero for named ones that are negative, which no face shows. Blinks and eyes are wide,
    since few points speak for them, and a narrow prior leaves lids ajar and gaze short of where it looks. mean_expr,
    mean_jaw_rad: of the mean over a sequence that is solved together with the identity. focal: in picture sides;
    a webcam or phone (24 to 30 mm on a film's 36 mm) has 0.7 to 0.9 uncut and 1.3 to 2 cut to a square about the head,
    a portrait lens (50 to 85 mm) 1.4 to 2.4 uncut and up to 5 cut, so that 0.75 to 5.4 lie within two of log_focal.
    motion: of each frame against its neighbours."""

    pixel: float = 0.01
    beside_pixels: float = 0.022
    pair: float = 0.01
    robust: float = 2.0
    shape: float = 1.0
    expr: float = 1.0
    activation: float = 0.4
    blink: float = 1.0
    below_zero: float = 0.1
    neck_rad: float = 0.1
    jaw_rad: float = 0.3
    eyes_rad: float = 0.6
    mean_jaw_rad: float = 0.03
    mean_expr: float = 0.1
    focal: float = 2.0
    log_focal: float = 0.5
    log_scale: float = 0.05
    motion: MotionPrior = field(default_factory=MotionPrior)


def landmark_prior(spreads: Spreads) -> LandmarkPrior:
    """The prior that fits the weights of identity, expression, joints and motion."""
    prior = LandmarkPrior()
    by_weight = {
        "reg_shape": ("shape",),
        "reg_expr": ("expr", "activation", "blink", "below_zero", "mean_expr"),
        "reg_neck": ("neck_rad",),
        "reg_jaw": ("jaw_rad", "mean_jaw_rad"),
        "reg_eyes": ("eyes_rad",),
    }
    given = {name: spreads.of(weight, getattr(prior, name)) for weight, names in by_weight.items() for name in names}
    return replace(prior, **given, motion=motion_prior(spreads))


@dataclass(frozen=True)
class LandmarkProblem:
    """What is fitted, for B frames seen by C cameras (one, where it is not given).

    head: `landmark_head` of the set `name`; detected_px (B, C, L, 2), weight (B, C, L); timesteps (B,): which frames
    follow each other; size: (height, width); given: the known cameras with leading axis C, or None where the focal
    length of one is an unknown; shape (S,): the middle of the identity's prior, None for the mean head; pairs (P, 2):
    rows of landmarks whose difference counts too, see `landmark_pairs`; teeth: what stands before them; unknown_unit:
    given cameras may be some per cent nearer or farther than given.
    """

    head: HeadModel
    name: str
    detected_px: Tensor
    weight: Tensor
    timesteps: Tensor
    size: tuple[int, int]
    given: Camera | None
    prior: LandmarkPrior = LandmarkPrior()
    shape: Tensor | None = None
    pairs: Tensor | None = None
    teeth: TeethGaps | None = None
    unknown_unit: bool = False
    gathered: GatheredPoints | None = field(default=None, compare=False, repr=False)
    """The head's points, which copies of the problem share. Made where it is not given, or another head's."""

    def __post_init__(self) -> None:
        own = self.gathered
        if own is None or own.head is not self.head or own.name != self.name:
            object.__setattr__(self, "gathered", GatheredPoints(self.head, self.name))

    @property
    def loss(self) -> Cauchy:
        return Cauchy(self.prior.robust)

    @property
    def points(self) -> LandmarkPoints:
        assert self.gathered is not None
        return self.gathered.points

    def select(self, frames: Tensor) -> LandmarkProblem:
        rows = frames.to(self.weight.device)
        return replace(
            self, detected_px=self.detected_px[rows], weight=self.weight[rows], timesteps=self.timesteps[frames]
        )

    def part(self, frames: slice) -> LandmarkProblem:
        """Consecutive frames, without a copy."""
        return replace(
            self, detected_px=self.detected_px[frames], weight=self.weight[frames], timesteps=self.timesteps[frames]
        )

    def only(self, pictures: Tensor) -> LandmarkProblem:
        """The same with landmarks in pictures (B, C) bool only; the others count as not detected."""
        return replace(self, weight=self.weight * pictures.to(self.weight)[..., None])

    def counting(self, share: Tensor) -> LandmarkProblem:
        """The same with each landmark's weight times share (L,)."""
        return self if bool((share == 1).all()) else replace(self, weight=self.weight * share)

    def near_shape(self, shape: Tensor, fixed: bool) -> LandmarkProblem:
        """The same with a known identity: fixed, or in the middle of the prior."""
        return replace(self, shape=shape, prior=replace(self.prior, shape=FIXED_SHAPE) if fixed else self.prior)

    def extent_px(self) -> Tensor:
        """(B, C) longer side of the detected points' box; half the picture where there is none, the picture at most."""
        seen = self.weight > 0
        far = torch.full_like(self.detected_px, torch.inf)
        low = torch.where(seen[..., None], self.detected_px, far).amin(-2)
        high = torch.where(seen[..., None], self.detected_px, -far).amax(-2)
        extent = (high - low).amax(-1)
        fallback = torch.full_like(extent, max(self.size) / 2)
        return torch.where(extent > 1, extent, fallback).clamp(max=max(self.size))

    def sigma_px(self, beside_pixels: bool = False) -> Tensor:
        """(B, C) standard deviation of a landmark."""
        return (self.prior.beside_pixels if beside_pixels else self.prior.pixel) * self.extent_px()

    def with_pairs(self) -> LandmarkProblem:
        """The same with the distances between lids and between lips."""
        return replace(self, pairs=landmark_pairs(self.name, self.head.landmarks[self.name].detector_ids))

    def deviations_px(self, sigma: Tensor) -> Tensor:
        """(B, C, L + P) standard deviations of landmarks, which are sigma (B, C), and of differences of pairs."""
        landmarks = sigma[..., None].expand_as(self.weight)
        if self.pairs is None:
            return landmarks
        pairs = (self.prior.pair * self.extent_px())[..., None].expand(-1, -1, len(self.pairs))
        return torch.cat([landmarks, pairs], -1)

    def in_deviations(self, difference: Tensor, sigma: Tensor) -> Tensor:
        """Differences (B, C, L, 2) px of landmarks, and those of pairs, in standard deviations, which are sigma (B, C)
        px for landmarks: (B, C, L + P, 2)."""
        if self.pairs is not None:
            first, second = self.pairs.unbind(-1)
            difference = torch.cat([difference, difference[:, :, first] - difference[:, :, second]], 2)
        return difference / self.deviations_px(sigma)[..., None]

    def weights(self) -> Tensor:
        """Of landmarks and of pairs: (B, C, L + P). A pair that several cameras see counts once, since a detector is
        wrong in the same way in all of them."""
        if self.pairs is None:
            return self.weight
        pairs = self.weight[:, :, self.pairs].amin(-1)
        return torch.cat([self.weight, pairs / (pairs > 0).sum(1, keepdim=True).clamp(min=1)], -1)

    def trusted(self, beside_pixels: float) -> LandmarkProblem:
        """The same with another trust in landmarks beside pictures."""
        return replace(self, prior=replace(self.prior, beside_pixels=beside_pixels))

    def cameras(self, shared: Tensor) -> Camera:
        """The cameras (C,) at shared unknowns (Q,)."""
        if self.given is not None:
            return self.given.scaled(shared[1].exp()) if self.unknown_unit else self.given
        return camera_from_focal(shared[0].exp(), *self.size).expand(1)

    def project(self, shared: Tensor, per_frame: Tensor) -> Tensor:
        """Landmarks of B frames with unknowns per_frame (B, P): (B, C, L, 2) px."""
        cameras, points = self.cameras(shared), self.points.with_shape(shared[N_CAMERA:])

        def of(own: Tensor) -> Tensor:
            params = head_params(shared, own)
            posed = PosedLandmarks.of(
                points, JointMotion.of(PosedJoints.of(self.head, params)), yaw_of(params, cameras)
            )
            return cameras.project(posed.world(len(cameras.fx)))[0]

        # On the way a frame takes ten times as much memory as its landmarks.
        return torch.cat([of(own) for own in per_frame.split(AT_ONCE)])

    def residuals_px(self, params: TrackParams) -> Tensor:
        """(B, C, L, 2): the head's landmarks minus the detected ones."""
        return self.project(*as_vectors(params)) - self.detected_px


def head_params(shared: Tensor, per_frame: Tensor) -> HeadParams:
    """Of shared (Q,) and frames' own unknowns (B, P)."""
    rotation, translation, neck, jaw, eyes, expr = per_frame.split([3, 3, 3, 3, 6, per_frame.shape[-1] - N_MOTION], -1)
    return HeadParams(shared[N_CAMERA:], expr, rotation, translation, neck, jaw, eyes)
