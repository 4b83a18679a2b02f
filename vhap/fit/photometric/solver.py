"""Gauss-Newton on all pictures at once, with the albedo of the surface's points eliminated.

A texture agrees with whatever pose it was taken from: where it stands still it holds the head there, and where it moves
after the head both slide together. Here pictures are compared with each other: the albedo of each point is the one that
explains all pictures of it best, wherever the head stands (variable projection, Golub and Pereyra 1973; the Schur
complement of the points in bundle adjustment, Triggs et al. 2000).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vhap.fit.landmarks.solver import moved_by
from vhap.fit.levenberg_marquardt import Descent, Schedule, descend
from vhap.fit.params import CAMERA, PER_FRAME, TrackParams, as_vectors, from_vectors
from vhap.fit.photometric.equations import N_LIGHT, equations_of
from vhap.fit.photometric.pictures import GreyPicture
from vhap.fit.photometric.point_albedo import outlier_frames, with_noise_level
from vhap.fit.photometric.posed_heads import PosedHeads
from vhap.fit.photometric.problem import (
    FixedAlbedo,
    PhotometricProblem,
    State,
    Task,
    evaluate,
    picture_batches,
    pictures_of,
    shown_in,
    task_batches,
    views_of,
)
from vhap.fit.photometric.residual_correlation import correlation_at
from vhap.fit.photometric.surface_points import PictureBatch, choose_points
from vhap.fit.photometric.system import System, Vector
from vhap.util.log import get_logger

SCHEDULE = Schedule(damping=1e-3, least=1e-5, raised=100.0, lowered=0.1, tries=3, converged=5e-4, promise=2e-3)
ROUGH = replace(SCHEDULE, converged=5e-3)
"""For small pictures, which finer ones follow: what is found with those is as good (doc/benchmarks.md)."""
FEWEST_ROUNDS, FIRST_ROUNDS = 2, 3
"""Points are chosen and weighed twice, the second time after FIRST_ROUNDS, unless fewer than FEWEST_ROUNDS of the first
ones gained anything."""

OnRound = Callable[[int, float], None]


@torch.no_grad()
def solve_jointly(
    problem: PhotometricProblem,
    params: TrackParams,
    rows: Tensor,
    names: Sequence[str],
    rounds: int,
    known: FixedAlbedo | None = None,
    before: Sequence[int] = (),
    report: OnRound = lambda index, cost: None,
) -> TrackParams:
    """Moves the unknowns `names` of the frames rows (B,), ascending, and those that all frames share.

    known: points whose albedo other pictures have determined; before: frames just before rows that stay.
    report(round, cost) is called after each round. After a few rounds, most of the way, points are chosen and weighed
    once more where the head is now (not known ones). Returns params of all frames; those that are not in rows keep
    their own unknowns. Where no picture shows the head params come back as they were.
    """
    return _solve(problem, params, rows, names, rounds, SCHEDULE, known, before, report)[0]


@torch.no_grad()
def solve_identity(
    problem: PhotometricProblem,
    params: TrackParams,
    rows: Tensor,
    names: Sequence[str],
    rounds: int,
    report: OnRound = lambda index, cost: None,
    rough: bool = False,
) -> tuple[TrackParams, float]:
    """As `solve_jointly`, and how many of the points count as one where the head stands then. rough: pictures of finer
    scale follow."""
    schedule = ROUGH if rough else SCHEDULE
    params, end = _solve(problem, params, rows, names, rounds, schedule, None, (), report)
    return params, problem.prior.correlation if end is None else correlation_at(*end)


def _solve(
    problem: PhotometricProblem,
    params: TrackParams,
    rows: Tensor,
    names: Sequence[str],
    rounds: int,
    usual: Schedule,
    known: FixedAlbedo | None,
    before: Sequence[int],
    report: OnRound,
) -> tuple[TrackParams, tuple[Task, State] | None]:
    """params, and what was solved last; None where no picture shows the head."""
    done, schedule, end = 0, usual, None
    for limit in (rounds,) if known is not None else (min(FIRST_ROUNDS, rounds), rounds):
        if done >= rounds:
            break
        task = open_task(problem, params, rows, known, before)
        if task is None:
            get_logger().warning("no picture shows enough of the head for %d frames; they stay as they are", len(rows))
            break
        found = _descend(task, evaluate(task, params), names, (done, limit), schedule, report)
        params, end, done = _without_lost(task, found.state.params), (task, found.state), done + found.rounds
        schedule = replace(usual, damping=min(found.damping, usual.damping))
        if found.rounds < FEWEST_ROUNDS:
            break
    return params, end


def _descend(
    task: Task, start: State, names: Sequence[str], rounds: tuple[int, int], schedule: Schedule, report: OnRound
) -> Descent[State]:
    """Rounds, of which the first of all (first, last) is `rounds`, on the same points."""
    first, last = rounds
    if not first:
        report(0, start.cost)

    def equations_at(now: State) -> _TaskEquations:
        return _TaskEquations(task, now, equations_of(task, now, names))

    return descend(start, equations_at, last - first, schedule, lambda index, cost: report(first + index, cost))


def _without_lost(task: Task, params: TrackParams) -> TrackParams:
    """params where frames without landmarks stay as they were at the start of the task if their pictures show the head
    no more: nothing holds such a frame, and a head that is far away costs next to nothing."""
    scene, held = task.problem.scene, task.landmarks_found()
    free: dict[int, list[GreyPicture]] = {}
    for batch in task.batches:
        for (frame, _), picture in zip(batch.indices, batch.pictures):
            if not held[frame]:
                free.setdefault(frame, []).append(picture)
    gone = []
    for frame, pictures in free.items():
        heads = torch.zeros(len(pictures), dtype=torch.int32, device=task.points.grey.device)
        posed = PosedHeads.of(scene, params.rows(task.rows[frame : frame + 1]))
        if choose_points(scene, [PictureBatch(posed, pictures, heads)], 1) is None:
            gone.append(frame)
    if not gone:
        return params
    lost = task.rows[gone].to(params.rotation.device)
    begun = {name: getattr(task.start, name)[lost] for name in PER_FRAME}
    return replace(params, **{name: getattr(params, name).index_copy(0, lost, own) for name, own in begun.items()})


@torch.no_grad()
def observed_albedo(problem: PhotometricProblem, params: TrackParams, rows: Tensor) -> FixedAlbedo | None:
    """The albedo by the pictures of frames rows, as the head stands; None where none shows the head."""
    task = open_task(problem, params, rows)
    return None if task is None else FixedAlbedo(task.points, evaluate(task, params).albedo)


def open_task(
    problem: PhotometricProblem,
    params: TrackParams,
    rows: Tensor,
    known: FixedAlbedo | None = None,
    before: Sequence[int] = (),
) -> Task | None:
    """The pictures of the frames rows, with points chosen where the head stands; None where none shows it."""
    pictures, recordings = pictures_of(problem, rows), problem.recordings_of(rows)
    every = picture_batches(problem.scene, params.rows(rows), pictures, recordings)
    if known is None:
        # Twice as many where recordings do not share them.
        count = problem.prior.count * (1 if recordings is None else min(2, len({*recordings})))
        each = max(1, count // sum(len(indices) for indices, _ in every))
        of_batches = None if recordings is None else [recordings[indices[0][0]] for indices, _ in every]
        batches = [batch for _, batch in every]
        points = choose_points(problem.scene, batches, each, problem.fixed_texture, of_batches)
    else:
        points = known.points
    if points is None:
        return None
    albedo, points_each = None if known is None else known.albedo, problem.prior.count / (known.each if known else 1.0)
    shown = shown_in(problem, every, points, recordings, points_each)
    ties = torch.tensor(before, dtype=torch.long)
    task = Task(problem, rows, ties, points, albedo, params, task_batches(shown, pictures, points, recordings))
    first = views_of(task, params)
    if albedo is not None:
        seen = [([frame for frame, _ in batch.indices], view) for batch, (_, view) in zip(task.batches, first)]
        outliers = outlier_frames(seen, albedo.value, task.landmarks_found())
        if outliers:
            shown = {index: each for index, each in shown.items() if index[0] not in outliers}
            task = replace(task, batches=task_batches(shown, pictures, points, recordings))
            first = views_of(task, params)
    if not first:
        return None
    prior = with_noise_level(points, [view for _, view in first], problem.prior, albedo)
    photo_share = problem.photo_share * (1.0 if known is None else known.each)
    shown = {
        index: each.counting(each.counts.shared_by(problem.prior.correlation, photo_share))
        for index, each in shown.items()
    }
    batches = task_batches(shown, pictures, points, recordings)
    return replace(task, problem=replace(problem, prior=prior), batches=batches)


@dataclass(frozen=True)
class _TaskEquations:
    """Of a task's pictures at a state."""

    task: Task
    now: State
    system: System

    def solve(self, damping: float) -> Vector | None:
        return self.system.solve(damping)

    def gain(self, step: Vector) -> float:
        return self.system.gain(step)

    def after(self, step: Vector) -> State:
        return _moved(self.task, self.now, step)


def _moved(task: Task, now: State, step: Vector) -> State:
    """The state after a step."""
    by_shared, by_frame = step.shared.float(), step.frames.float()
    params, part = now.params, now.params.rows(task.rows)
    shared, per_frame = as_vectors(part)
    moved = from_vectors(part, *moved_by(task.problem.landmarks, shared, per_frame, by_shared[:-N_LIGHT], by_frame))
    rows = task.rows.to(per_frame.device)
    placed = {name: getattr(params, name).index_copy(0, rows, getattr(moved, name)) for name in PER_FRAME}
    cameras = {name: getattr(moved, name) for name, change in zip(CAMERA, by_shared) if bool(change != 0)}
    lights = params.lights + by_shared[-N_LIGHT:, None]
    return evaluate(task, replace(params, **placed, **cameras, shape=moved.shape, lights=lights))
