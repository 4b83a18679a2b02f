"""Pictures that are compared with each other: what is solved, which of them are looked at, and what they cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from typing import TypeVar

import torch
from torch import Tensor

from vhap.fit.landmarks.equations import frame_costs
from vhap.fit.params import TrackParams, as_vectors
from vhap.fit.photometric.pictures import GreyPicture, GreyPictures, Pictures
from vhap.fit.photometric.point_albedo import PointAlbedo, PointPrior, fit_albedo
from vhap.fit.photometric.posed_heads import PosedHeads
from vhap.fit.photometric.surface_points import (
    GOLDEN,
    OutlineView,
    PictureBatch,
    Shown,
    ShownBatch,
    SurfacePoints,
    View,
    find_shown,
    look_at,
    select,
)
from vhap.fit.residuals.landmark_problem import LandmarkProblem
from vhap.fit.residuals.motion import Motion, motion_of
from vhap.fit.residuals.outlines import OutlinePrior
from vhap.fit.residuals.priors import shared_cost
from vhap.fit.residuals.teeth_gaps import TeethGaps
from vhap.fit.scene import Scene
from vhap.util.threads import beside, in_threads

MOST_PICTURES, FEWEST_VIEWS = 64, 3
AT_ONCE = 8
"""Pictures for which every kernel is launched once. Results do not depend on the number of threads, since the batches
do not."""

Item = TypeVar("Item")
Result = TypeVar("Result")
ViewIndex = tuple[int, int]
"""A picture: which of a task's frames, which of that frame's pictures."""


@dataclass(frozen=True)
class PhotometricProblem:
    """What is solved. pictures: of the scene's size; landmarks: all frames';
    landmark_share, photo_share, outline_share: factors on what landmarks, points and outlines cost; fixed_texture (F,),
    fixed_outline (V,) bool: triangles whose texture, vertices whose outline moves nothing; teeth: kept behind the skin,
    where given; recordings (T,): which of several recordings each frame is of, each under a light of its own, so that
    albedos are compared within one alone; None: one light."""

    scene: Scene
    landmarks: LandmarkProblem
    pictures: Pictures
    landmark_share: float = 1.0
    photo_share: float = 1.0
    outline_share: float = 1.0
    fixed_texture: Tensor | None = None
    fixed_outline: Tensor | None = None
    teeth: TeethGaps | None = None
    recordings: Tensor | None = None
    prior: PointPrior = field(default_factory=PointPrior)
    outlines: OutlinePrior = field(default_factory=OutlinePrior)

    def recordings_of(self, rows: Tensor) -> list[int] | None:
        """Of frames rows (B,)."""
        return None if self.recordings is None else self.recordings[rows].tolist()

    @property
    def outline_spread_px(self) -> float:
        return self.outlines.spread * max(self.scene.size)


@dataclass(frozen=True)
class FixedAlbedo:
    """Points with the albedo that other pictures have determined. each: so many points are represented by one."""

    points: SurfacePoints
    albedo: PointAlbedo
    each: float = 1.0

    def thinned(self, most: int) -> FixedAlbedo:
        """At most so many of the points, each of which represents more. They are chosen by chance: points stand
        picture by picture, line by line, and every third one of them is no fair sample (a head stood 10 mm too near on
        a film with truth)."""
        count, albedo = len(self.points.grey), self.albedo
        if count <= most:
            return self
        chosen = torch.randperm(count, generator=torch.Generator().manual_seed(0))[:most].sort().values
        chosen, each = chosen.to(albedo.value.device), count / most
        fewer = PointAlbedo(
            value=albedo.value[chosen],
            prior_precision=each * albedo.prior_precision[chosen],
            precision=each * albedo.precision[chosen],
            cost=albedo.cost,
        )
        return FixedAlbedo(select(self.points, chosen), fewer, each * self.each)

    def tensors(self) -> dict[str, dict[str, Tensor]]:
        """All points, by names."""
        values = {name: vars(getattr(self, name)) for name in ("points", "albedo")}
        return {name: {key: value for key, value in held.items() if value is not None} for name, held in values.items()}

    @classmethod
    def of_tensors(cls, points: dict[str, Tensor], albedo: dict[str, Tensor]) -> FixedAlbedo:
        return cls(SurfacePoints(**points), PointAlbedo(**albedo))


@dataclass(frozen=True)
class TaskBatch:
    """Pictures of a task that are worked on together. indices: which; frames: first and end of the frames that they
    are of; pictures; heads (P,) int32: which of these frames each shows; shown: what they show at the start."""

    indices: list[ViewIndex]
    frames: slice
    pictures: list[GreyPicture]
    heads: Tensor
    shown: ShownBatch

    def of(self, posed: PosedHeads) -> PictureBatch:
        """With the heads of its frames."""
        return PictureBatch(posed, self.pictures, self.heads)


@dataclass(frozen=True)
class Task:
    """A problem for B frames rows (B,) that has everything but the unknowns. before (N,): solved frames to which these
    are tied; start: unknowns of all frames at the beginning; batches: what their pictures show there."""

    problem: PhotometricProblem
    rows: Tensor
    before: Tensor
    points: SurfacePoints
    known: PointAlbedo | None
    start: TrackParams
    batches: list[TaskBatch]

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
    """The unknowns of all frames, the heads and what pictures show of them, batch by batch, and what that costs."""

    params: TrackParams
    posed: list[PosedHeads]
    views: list[View]
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


def grouped(
    indices: Sequence[ViewIndex], recordings: Sequence[int] | None = None
) -> list[tuple[list[ViewIndex], slice, Tensor]]:
    """AT_ONCE pictures at a time, in the order of their frames, of one recording where these are given: which; first
    and end of their frames; and which of these (P,) int32 each is of."""
    by_recording = groupby(indices, lambda index: 0 if recordings is None else recordings[index[0]])
    runs = [list(some) for _, some in by_recording]
    groups = [some[first : first + AT_ONCE] for some in runs for first in range(0, len(some), AT_ONCE)]
    found = []
    for group in groups:
        first, last = group[0][0], group[-1][0]
        heads = torch.tensor([frame - first for frame, _ in group], dtype=torch.int32)
        found.append((group, slice(first, last + 1), heads))
    return found


def picture_batches(
    scene: Scene, params: TrackParams, pictures: Sequence[GreyPictures], recordings: Sequence[int] | None = None
) -> list[tuple[list[ViewIndex], PictureBatch]]:
    """Pictures of the frames of params, with the heads that they show. recordings: of the frames, where they count."""
    device = params.rotation.device
    indices = [(frame, camera) for frame, shown in enumerate(pictures) for camera in range(len(shown))]
    return [
        (
            group,
            PictureBatch(
                PosedHeads.of(scene, params.rows(torch.arange(params.n_timesteps)[frames])),
                [pictures[frame][camera] for frame, camera in group],
                heads.to(device),
            ),
        )
        for group, frames, heads in grouped(indices, recordings)
    ]


def shown_in(
    problem: PhotometricProblem,
    batches: Sequence[tuple[list[ViewIndex], PictureBatch]],
    points: SurfacePoints,
    recordings: Sequence[int] | None = None,
    points_each: float = 0.0,
) -> dict[ViewIndex, Shown]:
    """What pictures show of the points; without those that show next to nothing. recordings: of the frames, each of
    which shows the points of its own alone; these count as if they were points_each."""
    count = problem.outlines.count if problem.outline_share > 0 else 0

    @torch.no_grad()
    def find(batch: tuple[list[ViewIndex], PictureBatch]) -> list[Shown | None]:
        return find_shown(problem.scene, batch[1], points, count, problem.fixed_outline)

    found = zip(batches, for_each(find, batches, points.grey.device))
    every = {index: shown for (indices, _), each in found for index, shown in zip(indices, each, strict=True)}
    if recordings is not None and points.recording is not None:
        every = {
            index: shown and shown.among(points, recordings[index[0]], points_each) for index, shown in every.items()
        }
    return {index: shown for index, shown in every.items() if shown is not None}


def task_batches(
    shown: dict[ViewIndex, Shown],
    pictures: Sequence[GreyPictures],
    points: SurfacePoints,
    recordings: Sequence[int] | None = None,
) -> list[TaskBatch]:
    """Of the pictures that show the head."""
    device = points.grey.device
    return [
        TaskBatch(
            indices=group,
            frames=frames,
            pictures=[pictures[frame][camera] for frame, camera in group],
            heads=heads.to(device),
            shown=ShownBatch.of([shown[index] for index in group], points, heads.to(device)),
        )
        for group, frames, heads in grouped(list(shown), recordings)
    ]


def views_of(task: Task, params: TrackParams) -> list[tuple[PosedHeads, View]]:
    """The heads of every batch's frames, and what its pictures show of them."""
    scene = task.problem.scene

    @torch.no_grad()
    def see(batch: TaskBatch) -> tuple[PosedHeads, View]:
        posed = PosedHeads.of(scene, params.rows(task.rows[batch.frames]))
        return posed, look_at(scene, batch.of(posed), batch.shown)

    return list(for_each(see, task.batches, task.points.grey.device))


def evaluate(task: Task, params: TrackParams) -> State:
    with beside(partial(_cost_without_pictures, task, params)) as rest:
        posed, views = (list(part) for part in zip(*views_of(task, params)))
        albedo = fit_albedo(task.points, views, task.problem.prior, task.known)
        cost = albedo.cost.double() + rest()
    for seen in views:
        if seen.outline is not None and seen.shown.outline is not None:
            each = task.problem.outlines.cost(outline_distance(task.problem, seen.outline))
            cost = cost + task.problem.outline_share * (seen.shown.outline.share * each).sum()
    return State(params, posed, views, albedo, float(cost))


@torch.no_grad()
def _cost_without_pictures(task: Task, params: TrackParams) -> Tensor:
    """() of landmarks, priors, motion and light."""
    landmarks, sigma = task.landmarks()
    shared, per_frame = as_vectors(params.rows(task.rows))
    anchor = as_vectors(task.start.rows(task.rows))[1]
    cost = frame_costs(landmarks, shared, per_frame, sigma, anchor).double().sum()
    cost = cost + shared_cost(landmarks, shared) + task.motion(params).cost.double().sum()
    return cost + light_change(task, params).square().sum()


def outline_distance(problem: PhotometricProblem, outline: OutlineView) -> Tensor:
    """(n,) in standard deviations."""
    return outline.distance / problem.outline_spread_px


def light_change(task: Task, params: TrackParams) -> Tensor:
    """(9,) in standard deviations: of lights of several recordings the change is one."""
    return (params.light - task.start.light).mean(1) / task.problem.prior.light


def for_each(work: Callable[[Item], Result], items: Sequence[Item], device: torch.device) -> Iterator[Result]:
    """work side by side on a CPU; kernels of a GPU fill it by themselves."""
    return in_threads(work, items) if device.type == "cpu" else map(work, items)
