"""Who is followed online: one person's head, camera and albedo, and how they become better while frames come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from vhap.fit.landmarks.first_guess import LANDMARK_UNKNOWNS, guess_from_landmarks, pose_from_landmarks
from vhap.fit.landmarks.solver import solve_landmarks
from vhap.fit.online_keys import KeyFrame
from vhap.fit.online_pictures import OnlinePictures, frame_batch
from vhap.fit.params import PER_FRAME, TrackParams, initial_params
from vhap.fit.photometric.pictures import Pictures
from vhap.fit.photometric.point_albedo import PointPrior
from vhap.fit.photometric.problem import FixedAlbedo, PhotometricProblem
from vhap.fit.photometric.solver import observed_albedo, solve_identity
from vhap.fit.residuals.landmark_problem import LandmarkProblem
from vhap.fit.residuals.teeth_gaps import find_teeth_gaps
from vhap.fit.scene import Scene, emphasis
from vhap.fit.stages import coarse_factor, fine_factor
from vhap.head.model import HeadModel, landmark_head, person_head
from vhap.render.types import Backend, Topology

LANDMARK_SET = "mediapipe"
COARSE_ROUNDS, FINE_ROUNDS = 20, 20
"""At most: they end where a round gains next to nothing."""
MOVES_NOTHING = ("hair", "boundary", "neck")
OUTSIDE_SKIN = (*MOVES_NOTHING, "lip_inside", "teeth", "eyeballs")
"""Regions whose texture does not move a vertex: of every frame, and while the identity is sought."""


@dataclass(frozen=True)
class OnlinePerson:
    """head: the whole one, with its base texture and MediaPipe's points; shape (S,); offset (V, 3) metres or None;
    focal_length (1,) in units of the longer side; lights (9, 3); known: the albedo of points at those lights, None
    where it is not known; beside_pixels, correlation: see LandmarkPrior and PointPrior."""

    head: HeadModel
    shape: Tensor
    focal_length: Tensor
    lights: Tensor
    offset: Tensor | None = None
    known: FixedAlbedo | None = None
    beside_pixels: float = 0.022
    correlation: float = PointPrior().correlation

    def own_head(self) -> HeadModel:
        """The head with this person's shape, without coefficients of it."""
        return person_head(self.head, self.shape, self.offset)


@dataclass(frozen=True)
class Studio:
    """What pictures are drawn with. size: (height, width) of them; known_focal: held."""

    size: tuple[int, int]
    backend: Backend
    topology: Topology
    known_focal: bool

    def scene(self, head: HeadModel) -> Scene:
        assert head.base_texture is not None, head.name
        return Scene(head, LANDMARK_SET, self.size, None, self.backend, self.topology, head.base_texture[None])


@dataclass(frozen=True)
class FollowedPerson:
    """A person ready to be followed: problem and params for OnlineSolver; ids (L,): which of the detector's points the
    head has; share (L,): how much each counts; pictures: None where the albedo is not known."""

    person: OnlinePerson
    problem: LandmarkProblem
    params: TrackParams
    ids: Tensor
    share: Tensor
    pictures: OnlinePictures | None

    @classmethod
    def of(cls, person: OnlinePerson, studio: Studio, with_pictures: bool) -> FollowedPerson:
        head = person.own_head()
        problem = empty_problem(head, studio.size)
        ids = problem.head.landmarks[LANDMARK_SET].detector_ids
        params = replace(initial_params(head, 1, 1, person.lights), focal_length=person.focal_length.clone())
        pictures = None
        if with_pictures and person.known is not None:
            prior = PointPrior(correlation=person.correlation)
            teeth = find_teeth_gaps(head)
            pictures = OnlinePictures(studio.scene(head), person.known, teeth, person.beside_pixels, prior)
        return cls(person, problem, params, ids, counted(ids), pictures)


def empty_problem(head: HeadModel, size: tuple[int, int]) -> LandmarkProblem:
    """A head's landmarks, of no frame."""
    small = landmark_head(head, LANDMARK_SET)
    count = len(small.landmarks[LANDMARK_SET].detector_ids)
    nothing = torch.zeros(0, dtype=torch.long)
    return LandmarkProblem(
        small, LANDMARK_SET, torch.zeros(0, 1, count, 2), torch.zeros(0, 1, count), nothing, size, None
    )


def counted(ids: Tensor) -> Tensor:
    """(L,) factors on the confidence of the detector's points ids (L,)."""
    return emphasis(LANDMARK_SET, ids, jaw_line=True).clamp(max=1)


@dataclass(frozen=True)
class ImprovedPerson:
    """A person as these frames show it; params: the frames' unknowns; found (T,) bool: which of them show the head."""

    person: OnlinePerson
    frames: Sequence[KeyFrame]
    params: TrackParams
    found: Tensor


@dataclass(frozen=True)
class Improvement:
    """How a person is estimated again. known_identity: shape and focal length stay, only light and albedo are new;
    with_pictures: else by landmarks alone."""

    studio: Studio
    known_identity: bool
    with_pictures: bool
    names: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        shared = () if self.known_identity else ("shape",)
        focal = () if self.known_identity or self.studio.known_focal else ("focal_length",)
        object.__setattr__(self, "names", (*PER_FRAME, *shared, *focal))

    def of(self, person: OnlinePerson, frames: Sequence[KeyFrame]) -> ImprovedPerson | None:
        """None where no frame shows the head."""
        problem, rows = _landmarks_of(person, self.studio.size, frames)
        params = initial_params(person.head, len(problem.weight), 1, person.lights)
        params = replace(params, shape=person.shape, focal_length=person.focal_length.clone())
        # What pictures have told of a person is a better start than what landmarks do.
        if self.known_identity or person.known is not None:
            beside = person.beside_pixels
            params, seen = pose_from_landmarks(problem, params)
            params = solve_landmarks(problem, params, False, smooth=False)
        else:
            guess = self._guess(problem, params)
            params, seen, beside = guess
        found = seen[rows].any(1)
        if not bool(found.any()):
            return None
        params, problem = params.rows(rows), problem.select(rows)
        improved = replace(person, shape=params.shape, focal_length=params.focal_length, beside_pixels=beside)
        if self.with_pictures:
            return self._by_pictures(improved, frames, params, problem.trusted(beside), found)
        return ImprovedPerson(improved, frames, params, found)

    def _guess(self, problem: LandmarkProblem, params: TrackParams) -> tuple[TrackParams, Tensor, float]:
        """Identity, and the focal length unless it is known, by landmarks."""
        if not self.studio.known_focal:
            guess = guess_from_landmarks(problem, params, len(problem.weight))
            return guess.params, guess.found, guess.beside_pixels
        names = [name for name in LANDMARK_UNKNOWNS if name != "focal_length"]
        params, seen = pose_from_landmarks(problem, params)
        return solve_landmarks(problem, params, True, smooth=False, names=names), seen, problem.prior.beside_pixels

    def _by_pictures(
        self,
        person: OnlinePerson,
        frames: Sequence[KeyFrame],
        params: TrackParams,
        problem: LandmarkProblem,
        found: Tensor,
    ) -> ImprovedPerson:
        """Identity, light and albedo by the frames' pictures, small ones first."""
        rows = torch.nonzero(found).flatten()
        face = float(problem.extent_px()[rows].median())
        fine = fine_factor(face)
        offset = None if person.offset is None else person.offset
        params = replace(params, static_offset=offset)
        names = (*self.names, "lights")
        correlation = person.correlation
        coarse = max(fine, coarse_factor(self.studio.size))
        begun = person.known is not None and not self.known_identity
        passes = [] if begun else [(coarse, COARSE_ROUNDS)]
        for factor, rounds in (*passes, (fine, FINE_ROUNDS)):
            whole = self._problem(person, frames, problem, factor, correlation, OUTSIDE_SKIN)
            params, correlation = solve_identity(whole, params, rows, names, rounds)
        whole = self._problem(person, frames, problem, fine, correlation, MOVES_NOTHING)
        known = observed_albedo(whole, params, rows)
        improved = replace(
            person,
            shape=params.shape,
            focal_length=params.focal_length,
            lights=params.lights,
            known=known,
            correlation=correlation,
        )
        return ImprovedPerson(improved, frames, params, found)

    def _problem(
        self,
        person: OnlinePerson,
        frames: Sequence[KeyFrame],
        landmarks: LandmarkProblem,
        factor: int,
        correlation: float,
        fixed: tuple[str, ...],
    ) -> PhotometricProblem:
        scene = self.studio.scene(person.head).shrunk(factor)
        return PhotometricProblem(
            scene=scene,
            landmarks=landmarks,
            pictures=Pictures(lambda rows: frame_batch(frames[int(rows[0])].picture()).shrunk(factor)),
            fixed_texture=scene.faces_in(fixed),
            teeth=find_teeth_gaps(person.head),
            prior=PointPrior(correlation=correlation),
        )


def _landmarks_of(
    person: OnlinePerson, size: tuple[int, int], frames: Sequence[KeyFrame]
) -> tuple[LandmarkProblem, Tensor]:
    """The landmarks of the frames, each behind the frame before it where that is known, and the frames' rows (T,)."""
    head, offset = person.head, person.offset
    problem = empty_problem(head if offset is None else replace(head, template=head.template + offset), size)
    ids = problem.head.landmarks[LANDMARK_SET].detector_ids
    share = counted(ids)
    pixels, weight, times, rows = [], [], [], []
    for index, frame in enumerate(frames):
        for time, points in ((3 * index, frame.before), (3 * index + 1, frame.points)):
            if points is not None:
                pixels.append(points[ids, :2])
                weight.append(points[ids, 2] * share)
                times.append(time)
        rows.append(len(times) - 1)
    filled = replace(
        problem,
        detected_px=torch.stack(pixels)[:, None].contiguous(),
        weight=torch.stack(weight)[:, None].contiguous(),
        timesteps=torch.tensor(times),
    )
    return filled, torch.tensor(rows)
