"""Gauss-Newton on all pictures at once, with the albedo of the surface's points eliminated.

A texture agrees with whatever pose it was taken from: where it stands still it holds the head there, and where it moves
after the head both slide together. Here pictures are compared with each other: the albedo of each point is the one that
explains all pictures of it best, at every place of the head (variable projection, Golub and Pereyra 1973; the Schur
complement of the points in bundle adjustment, Triggs et al. 2000).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from vhap.fit.landmarks.solver import moved_by
from vhap.fit.params import CAMERA, PER_FRAME, TrackParams, as_vectors, from_vectors
from vhap.fit.photometric.equations import N_LIGHT, equations_of
from vhap.fit.photometric.point_albedo import outlier_frames, with_noise_level
from vhap.fit.photometric.posed_heads import posed_frames
from vhap.fit.photometric.problem import (
    FixedAlbedo,
    PhotometricProblem,
    State,
    Task,
    evaluate,
    pictures_of,
    shown_in,
    views_of,
)
from vhap.fit.photometric.residual_correlation import correlation_at
from vhap.fit.photometric.surface_points import choose_points
from vhap.fit.photometric.system import Vector
from vhap.util.log import get_logger

FIRST_DAMPING, LEAST_DAMPING, RAISED, LOWERED, TRIES = 1e-3, 1e-5, 100.0, 0.1, 3
CONVERGED_GAIN, LEAST_PROMISE, FEWEST_ROUNDS, FIRST_ROUNDS = 5e-4, 2e-3, 2, 3
"""Rounds end where one gained less than the first share of the cost, or where a step failed that promised less than the
second. Points are chosen and weighed twice, the second time after FIRST_ROUNDS."""

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
    return _solve(problem, params, rows, names, rounds, known, before, report)[0]


@torch.no_grad()
def solve_identity(
    problem: PhotometricProblem,
    params: TrackParams,
    rows: Tensor,
    names: Sequence[str],
    rounds: int,
    report: OnRound = lambda index, cost: None,
) -> tuple[TrackParams, float]:
    """As `solve_jointly`, and how many of the points count as one where the head stands then."""
    params, end = _solve(problem, params, rows, names, rounds, None, (), report)
    return params, problem.prior.correlation if end is None else correlation_at(*end)


def _solve(
    problem: PhotometricProblem,
    params: TrackParams,
    rows: Tensor,
    names: Sequence[str],
    rounds: int,
    known: FixedAlbedo | None,
    before: Sequence[int],
    report: OnRound,
) -> tuple[TrackParams, tuple[Task, State] | None]:
    """params, and what was solved last; None where no picture shows the head."""
    done, damping, end = 0, FIRST_DAMPING, None
    for limit in (rounds,) if known is not None else (min(FIRST_ROUNDS, rounds), rounds):
        if done >= rounds:
            break
        task = open_task(problem, params, rows, known, before)
        if task is None:
            get_logger().warning("no picture shows enough of the head for %d frames; they stay as they are", len(rows))
            break
        now, moved, damping = _descend(task, params, names, range(done, limit), min(damping, FIRST_DAMPING), report)
        params, end, done = _without_lost(task, now.params), (task, now), done + moved
        if moved < FEWEST_ROUNDS:
            break
    return params, end


def _without_lost(task: Task, params: TrackParams) -> TrackParams:
    """params where frames without landmarks stay as they were at the start of the task if their pictures show the head
    no more: nothing holds such a frame, and a head that is far away costs next to nothing."""
    scene, held = task.problem.scene, task.landmarks_found()
    free = sorted({frame for frame, _ in task.shown if not held[frame]})
    posed = zip(free, posed_frames(scene.head, params.rows(task.rows[free]))) if free else ()
    gone = [
        frame
        for frame, head in posed
        if choose_points(scene, [(head, picture) for picture in task.pictures[frame]], 1) is None
    ]
    if not gone:
        return params
    lost = task.rows[gone].to(params.rotation.device)
    begun = {name: getattr(task.start, name)[lost] for name in PER_FRAME}
    return replace(params, **{name: getattr(params, name).index_copy(0, lost, own) for name, own in begun.items()})


def _descend(
    task: Task, params: TrackParams, names: Sequence[str], rounds: range, damping: float, report: OnRound
) -> tuple[State, int, float]:
    """Rounds on the same points until one gains next to nothing of the cost: where they end, how many rounds moved
    something, and the damping that served last."""
    now = evaluate(task, params)
    if not rounds.start:
        report(0, now.cost)
    for index in rounds:
        system, tried = equations_of(task, now, names), damping
        trial = None
        for _ in range(TRIES):
            step = system.solve(tried)
            trial = None if step is None else _moved(task, now, step)
            if trial is not None and trial.cost < now.cost:
                break
            # Shorter steps would gain even less.
            if step is not None and system.gain(step) < LEAST_PROMISE * now.cost:
                return now, index - rounds.start, damping
            trial, tried = None, tried * RAISED
        if trial is None:
            return now, index - rounds.start, damping
        gain, now, damping = (now.cost - trial.cost) / now.cost, trial, max(tried * LOWERED, LEAST_DAMPING)
        report(index + 1, now.cost)
        if gain < CONVERGED_GAIN:
            return now, index + 1 - rounds.start, damping
    return now, len(rounds), damping


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
    pictures = pictures_of(problem, rows)
    if known is None:
        posed = posed_frames(problem.scene.head, params.rows(rows))
        every = [(head, picture) for head, shown in zip(posed, pictures) for picture in shown]
        each = max(1, problem.prior.count // len(every))
        points = choose_points(problem.scene, every, each, problem.fixed_texture)
    else:
        points = known.points
    if points is None:
        return None
    albedo = None if known is None else known.albedo
    task = Task(problem, rows, torch.tensor(before, dtype=torch.long), pictures, points, albedo, params, {})
    task = replace(task, shown=shown_in(task))
    first = views_of(task, params)
    if albedo is not None:
        outliers = outlier_frames(first, albedo.value, task.landmarks_found())
        task = replace(task, shown={place: shown for place, shown in task.shown.items() if place[0] not in outliers})
        first = {place: seen for place, seen in first.items() if place[0] not in outliers}
    if not first:
        return None
    prior = with_noise_level(points, list(first.values()), problem.prior, albedo)
    shown = {
        place: each.counting(each.counts.shared_by(problem.prior.correlation, problem.photo_share))
        for place, each in task.shown.items()
    }
    return replace(task, problem=replace(problem, prior=prior), shown=shown)


def _moved(task: Task, now: State, step: Vector) -> State:
    """The state after a step."""
    shared, own = step.shared.float(), step.frames.float()
    params, part = now.params, now.params.rows(task.rows)
    common, local = as_vectors(part)
    moved = from_vectors(part, *moved_by(task.problem.landmarks, common, local, shared[:-N_LIGHT], own))
    rows = task.rows.to(local.device)
    placed = {name: getattr(params, name).index_copy(0, rows, getattr(moved, name)) for name in PER_FRAME}
    cameras = {name: getattr(moved, name) for name, change in zip(CAMERA, shared) if bool(change != 0)}
    lights = params.lights + shared[-N_LIGHT:, None]
    return evaluate(task, replace(params, **placed, **cameras, shape=moved.shape, lights=lights))
