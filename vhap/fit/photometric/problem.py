"""Pictures that are compared with each other: what is solved, which of them are looked at, and what they cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import torch
from torch import Tensor

from vhap.fit.landmarks.equations import frame_costs
from vhap.fit.params import TrackParams, as_vectors
from vhap.fit.photometric.pictures import GreyPicture, GreyPictures, Pictures
from vhap.fit.photometric.point_albedo import PointAlbedo, PointPrior, fit_albedo
from vhap.fit.photometric.posed_heads import posed_frames
from vhap.fit.photometric.surface_points import (
    GOLDEN,
    Shown,
    SurfacePoints,
    View,
    find_shown,
    look_at,
)
from vhap.fit.residuals.landmark_problem import LandmarkProblem
from vhap.fit.residuals.motion import Motion, motion_of
from vhap.fit.residuals.outlines import Outline, OutlinePrior
from vhap.fit.residuals.priors import shared_cost
from vhap.fit.residuals.teeth_gaps import TeethGaps
from vhap.fit.scene import Scene
from vhap.util.threads import in_threads

MOST_PICTURES, FEWEST_VIEWS = 64, 3

Item = TypeVar("Item")
Result = TypeVar("Result")
ViewIndex = tuple[int, int]
"""A picture: which of a task's frames, which of that frame's pictures."""


@dataclass(frozen=True)
class PhotometricProblem:
    """What is solved. pictures: of the scene's size; landmarks: all frames';
    landmark_share, photo_share, outline_share: factors on what landmarks, points and outlines cost; fixed_texture (F,),
    fixed_outline (V,) bool: triangles whose texture, vertices whose outline moves nothing; teeth: kept behind the skin,
    where given."""

    scene: Scene
    landmarks: LandmarkProblem
    pictures: Pictures
    landmark_share: float = 1.0
    photo_share: float = 1.0
    outline_share: float = 1.0
    fixed_texture: Tensor | None = None
    fixed_outline: Tensor | None = None
    teeth: TeethGaps | None = None
    prior: PointPrior = field(default_factory=PointPrior)
    outlines: OutlinePrior = field(default_factory=OutlinePrior)

    @property
    def outline_spread_px(self) -> float:
        return self.outlines.spread * max(self.scene.size)


@dataclass(frozen=True)
class FixedAlbedo:
    """Points with the albedo that other pictures have determined."""

    points: SurfacePoints
    albedo: PointAlbedo

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """All of it, by names."""
        return {name: dict(vars(part)) for name, part in vars(self).items()}

    @classmethod
    def of_tensors(cls, points: dict[str, Tensor], albedo: dict[str, Tensor]) -> FixedAlbedo:
        return cls(SurfacePoints(**points), PointAlbedo(**albedo))


@dataclass(frozen=True)
class Task:
    """A problem for B frames rows (B,) that has everything but the unknowns. before (N,): solved frames to which these
    are tied; pictures: some of each frame's; start: unknowns of all frames at the beginning; shown: what each picture
    shows there."""

    problem: PhotometricProblem
    rows: Tensor
    before: Tensor
    pictures: Sequence[Sequence[GreyPicture]]
    points: SurfacePoints
    known: PointAlbedo | None
    start: TrackParams
    shown: dict[ViewIndex, Shown]

    def landmarks(self) -> tuple[LandmarkProblem, Tensor]:
        """Those of the frames, and their standard deviations (B, C)."""
        chosen = self.problem.landmarks.select(self.rows).with_pairs()
        share, teeth = self.problem.landmark_share, self.problem.teeth
        counting = replace(chosen, weight=chosen.weight * share, teeth=teeth)
        return counting, chosen.sigma_px(beside_pixels=True)

    def landmarks_found(self) -> list[bool]:
        """Whether each frame has any."""
        return (self.problem.landmarks.weight[self.rows] > 0).flatten(1).any(1).tolist()

    def motion(self, params: TrackParams) -> Motion:
        """Of the frames rows; its cost is also that of the frames before, which lean on those that follow."""
        whole, rows = self.problem.landmarks, torch.cat([self.before, self.rows])
        per_frame, timesteps = as_vectors(params.rows(rows))[1], whole.timesteps[rows]
        motion = motion_of(whole.prior.motion, per_frame, timesteps, whole.head.expr_names)
        return replace(motion.rows(torch.arange(len(self.before), len(rows))), cost=motion.cost)


@dataclass(frozen=True)
class State:
    """The unknowns of all frames, what each picture shows with them, and what that costs."""

    params: TrackParams
    views: dict[ViewIndex, View]
    albedo: PointAlbedo
    cost: float


def most_timesteps(n_cameras: int) -> int:
    """Of those that are solved together: with several cameras, so many that each is seen by a few."""
    return MOST_PICTURES // min(n_cameras, FEWEST_VIEWS)


def views_each(n_timesteps: int, n_cameras: int) -> int:
    """Pictures of each timestep that are used, as many as make MOST_PICTURES in all."""
    return min(n_cameras, max(1, MOST_PICTURES // n_timesteps))


def observed_pictures(
    problem: PhotometricProblem, params: TrackParams, rows: Tensor
) -> Iterator[tuple[TrackParams, GreyPicture]]:
    """The pictures that are used of the timesteps rows, each with the params of its timestep; read when asked for."""
    for row, shown in zip(rows.split(1), pictures_of(problem, rows)):
        yield from ((params.rows(row), picture) for picture in shown)


def pictures_of(problem: PhotometricProblem, rows: Tensor) -> list[GreyPictures]:
    return problem.pictures.grey(rows, _views(problem, rows))


def _views(problem: PhotometricProblem, rows: Tensor) -> list[list[int]]:
    """Cameras whose pictures are used at each of the timesteps rows: from all sides, others at each timestep."""
    count = problem.landmarks.weight.shape[1]
    each = views_each(len(rows), count)
    starts = [index * GOLDEN % 1 for index in range(len(rows))]
    return [sorted({int((view + start) * count / each) for view in range(each)}) for start in starts]


def shown_in(task: Task) -> dict[ViewIndex, Shown]:
    """What pictures show as the heads stand at the start; without those that show next to nothing."""
    problem = task.problem
    count = problem.outlines.count if problem.outline_share > 0 else 0
    posed = posed_frames(problem.scene.head, task.start.rows(task.rows))

    @torch.no_grad()
    def find(index: ViewIndex) -> Shown | None:
        frame, camera = index
        picture = task.pictures[frame][camera]
        return find_shown(problem.scene, posed[frame], picture, task.points, count, problem.fixed_outline)

    indices = [(frame, camera) for frame, shown in enumerate(task.pictures) for camera in range(len(shown))]
    found = zip(indices, for_each(find, indices, task.points.grey.device))
    return {index: shown for index, shown in found if shown is not None}


def views_of(task: Task, params: TrackParams) -> dict[ViewIndex, View]:
    scene = task.problem.scene
    posed = posed_frames(scene.head, params.rows(task.rows))

    @torch.no_grad()
    def see(index: ViewIndex) -> View:
        frame, camera = index
        return look_at(scene, posed[frame], task.pictures[frame][camera], task.points, task.shown[index])

    indices = list(task.shown)
    return dict(zip(indices, for_each(see, indices, task.points.grey.device)))


def evaluate(task: Task, params: TrackParams) -> State:
    views = views_of(task, params)
    albedo = fit_albedo(task.points, list(views.values()), task.problem.prior, task.known)
    landmarks, sigma = task.landmarks()
    shared, per_frame = as_vectors(params.rows(task.rows))
    anchor = as_vectors(task.start.rows(task.rows))[1]
    cost = albedo.cost.double() + frame_costs(landmarks, shared, per_frame, sigma, anchor).double().sum()
    cost = cost + shared_cost(landmarks, shared) + task.motion(params).cost.double().sum()
    cost = cost + light_change(task, params).square().sum()
    for seen in views.values():
        if seen.outline is not None:
            each = task.problem.outlines.cost(outline_distance(task.problem, seen.outline))
            cost = cost + task.problem.outline_share * seen.outline.share * each.sum()
    return State(params, views, albedo, float(cost))


def outline_distance(problem: PhotometricProblem, outline: Outline) -> Tensor:
    """(n,) in standard deviations."""
    return outline.distance / problem.outline_spread_px


def light_change(task: Task, params: TrackParams) -> Tensor:
    """(9,) in standard deviations."""
    return (params.lights - task.start.lights).mean(1) / task.problem.prior.light


def for_each(work: Callable[[Item], Result], items: Sequence[Item], device: torch.device) -> Iterator[Result]:
    """work side by side on a CPU; kernels of a GPU fill it by themselves."""
    return in_threads(work, items) if device.type == "cpu" else map(work, items)
