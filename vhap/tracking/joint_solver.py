"""Gauss-Newton on all pictures at once, with the albedo of the surface's points eliminated.

A texture agrees with whatever pose it was taken from: where it stands still it holds the head there, and where it moves
after the head both slide together. Here pictures are compared with each other: the albedo of each point is the one that
explains all pictures of it best, at every place of the head (variable projection, Golub and Pereyra 1973; the Schur
complement of the points in bundle adjustment, Triggs et al. 2000).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import torch
from torch import Tensor

from vhap.data.sample import FrameBatch
from vhap.tracking.landmark_problem import LandmarkProblem
from vhap.tracking.landmark_solver import (
    NormalEquations,
    empty_equations,
    frame_costs,
    free_unknowns,
    normal_equations,
    shared_cost,
)
from vhap.tracking.motion import Motion, motion_of
from vhap.tracking.outlines import Outline, OutlinePrior
from vhap.tracking.params import PER_FRAME, TrackParams, as_vectors, from_vectors
from vhap.tracking.point_albedo import (
    PointAlbedo,
    PointPrior,
    difference_weight,
    fit_albedo,
    strange_frames,
    told_by_pictures,
)
from vhap.tracking.scene import Scene
from vhap.tracking.surface_points import (
    GOLDEN,
    Glance,
    GreyPicture,
    SurfacePoints,
    choose_points,
    glance,
    grey_pictures,
    outline_columns,
    point_columns,
)
from vhap.tracking.teeth_gaps import TeethGaps
from vhap.util.log import get_logger
from vhap.util.threads import in_threads

N_LIGHT = 9
"""Coefficients of a light's change, the same in all colours."""
MOST_PICTURES, FEWEST_VIEWS = 64, 3
ALIKE = 10.0
"""So many points err as one: neighbours on the surface share the faults of shape and shading, pictures that follow each
other do too (the design effect of clustered samples, Kish 1965). Measured on films with known truth and on video."""
FIRST_DAMPING, LEAST_DAMPING, RAISED, LOWERED, TRIES = 1e-3, 1e-6, 10.0, 0.1, 5
CONVERGED_GAIN, FEWEST_ROUNDS = 1e-3, 2

Result = TypeVar("Result")
Load = Callable[[Tensor], FrameBatch]
Tell = Callable[[int, Tensor], None]


@dataclass(frozen=True)
class PhotometricProblem:
    """What is solved. load: a timestep's pictures of all cameras, at the scene's size; landmarks: all frames';
    landmark_share, outline_share: factors on what landmarks and outlines cost; fixed_texture (F,), fixed_outline (V,)
    bool: triangles whose texture, vertices whose outline moves nothing; teeth: kept behind the skin, where given."""

    scene: Scene
    landmarks: LandmarkProblem
    load: Load
    landmark_share: float = 1.0
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
class KnownPoints:
    """Points with the albedo that pictures have told."""

    points: SurfacePoints
    albedo: PointAlbedo


@dataclass(frozen=True)
class _Task:
    """A problem for B frames rows (B,) that has everything but the unknowns. before (N,): solved frames to which these
    are tied; pictures: some of each frame's; start: unknowns of all frames at the beginning; totals: what the points of
    each picture and of its outline count together."""

    problem: PhotometricProblem
    rows: Tensor
    before: Tensor
    pictures: list[list[GreyPicture]]
    points: SurfacePoints
    known: PointAlbedo | None
    start: TrackParams
    totals: dict[tuple[int, int], tuple[float, float]]

    def landmarks(self) -> tuple[LandmarkProblem, Tensor]:
        """Those of the frames, and their standard deviations (B, C)."""
        chosen = self.problem.landmarks.select(self.rows).with_pairs()
        share, teeth = self.problem.landmark_share, self.problem.teeth
        counting = replace(chosen, weight=chosen.weight * share, teeth=teeth)
        return counting, chosen.sigma_px(beside_pixels=True)

    def motion(self, params: TrackParams) -> Motion:
        """Of the frames rows; its cost is also that of the frames before, which lean on those that follow."""
        whole, rows = self.problem.landmarks, torch.cat([self.before, self.rows])
        local, timesteps = as_vectors(params.rows(rows))[1], whole.timesteps[rows]
        motion = motion_of(whole.prior.motion, local, timesteps, whole.head.expr_names)
        return replace(motion.rows(torch.arange(len(self.before), len(rows))), cost=motion.cost)


@dataclass(frozen=True)
class _State:
    """The unknowns of all frames, what each picture (frame, camera) shows with them, and what that costs."""

    params: TrackParams
    glances: dict[tuple[int, int], Glance]
    albedo: PointAlbedo
    cost: float

    def better_than(self, other: _State) -> bool:
        """Losing the head from sight is no gain."""
        return self.cost < other.cost and self.glances.keys() >= other.glances.keys()


def most_timesteps(n_cameras: int) -> int:
    """Of those that are solved together: with several cameras, so many that each is seen by a few."""
    return MOST_PICTURES // min(n_cameras, FEWEST_VIEWS)


def views_each(n_timesteps: int, n_cameras: int) -> int:
    """Pictures of each timestep that are used, as many as make MOST_PICTURES in all."""
    return min(n_cameras, max(1, MOST_PICTURES // n_timesteps))


@torch.no_grad()
def solve_jointly(
    problem: PhotometricProblem,
    params: TrackParams,
    rows: Tensor,
    names: Sequence[str],
    rounds: int,
    known: KnownPoints | None = None,
    before: Sequence[int] = (),
    tell: Tell = lambda index, cost: None,
) -> TrackParams:
    """Moves the unknowns `names` of the frames rows (B,), ascending, and those that all frames share.

    known: points whose albedo other pictures have told; before: frames just before rows that stay. tell(round, cost)
    hears of each round. Where nothing is gained any more, points are chosen and weighed again where the head is now
    (not known ones), and a look that moves it by less than two rounds is the last. Returns params of all frames; those
    that are not in rows keep their own unknowns. Where no picture shows the head params come back as they were.
    """
    done, damping = 0, FIRST_DAMPING
    while done < rounds:
        task = _open(problem, params, rows, known, before)
        if task is None:
            get_logger().warning("no picture shows enough of the head for %d frames; they stay as they are", len(rows))
            break
        params, moved, damping = _descend(task, params, names, range(done, rounds), min(damping, FIRST_DAMPING), tell)
        done += moved
        if known is not None or moved < FEWEST_ROUNDS:
            break
    return params


def _descend(
    task: _Task, params: TrackParams, names: Sequence[str], rounds: range, damping: float, tell: Tell
) -> tuple[TrackParams, int, float]:
    """Rounds on the same points until one gains less than 1e-3 of the cost: params, how many rounds moved them, and the
    damping that served last."""
    now = _look(task, params)
    if not rounds.start:
        tell(0, torch.tensor(now.cost))
    for index in rounds:
        system, tried = _system(task, now, names), damping
        for _ in range(TRIES):
            trial = _step(task, now, system, tried)
            if trial is not None and trial.better_than(now):
                break
            tried *= RAISED
        else:
            return now.params, index - rounds.start, damping
        gain, now, damping = (now.cost - trial.cost) / now.cost, trial, max(tried * LOWERED, LEAST_DAMPING)
        tell(index + 1, torch.tensor(now.cost))
        if gain < CONVERGED_GAIN:
            return now.params, index + 1 - rounds.start, damping
    return now.params, len(rounds), damping


@torch.no_grad()
def look_at_points(problem: PhotometricProblem, params: TrackParams, rows: Tensor) -> KnownPoints | None:
    """What the pictures of frames rows tell of the albedo, as the head stands; None where none shows the head."""
    task = _open(problem, params, rows, None, ())
    return None if task is None else KnownPoints(task.points, _look(task, params).albedo)


def _open(
    problem: PhotometricProblem, params: TrackParams, rows: Tensor, known: KnownPoints | None, before: Sequence[int]
) -> _Task | None:
    pictures = [grey_pictures(problem.load(row), views) for row, views in zip(rows.split(1), _views(problem, rows))]
    if known is None:
        every = [(params.rows(row), picture) for row, shown in zip(rows.split(1), pictures) for picture in shown]
        each = max(1, problem.prior.count // len(every))
        points = choose_points(problem.scene, every, each, problem.fixed_texture)
    else:
        points = known.points
    if points is None:
        return None
    albedo = None if known is None else known.albedo
    task = _Task(problem, rows, torch.tensor(before, dtype=torch.long), pictures, points, albedo, params, {})
    first = _glances(task, params)
    if albedo is not None:
        found = (problem.landmarks.weight[rows] > 0).flatten(1).any(1).tolist()
        strange = strange_frames(first, albedo.value, found)
        task = replace(task, pictures=[[] if frame in strange else shown for frame, shown in enumerate(pictures)])
        first = {place: seen for place, seen in first.items() if place[0] not in strange}
    if not first:
        return None
    prior = told_by_pictures(points, list(first.values()), problem.prior, albedo)
    totals = {place: (seen.totals[0] / ALIKE, seen.totals[1] / ALIKE) for place, seen in first.items()}
    return replace(task, problem=replace(problem, prior=prior), totals=totals)


def _views(problem: PhotometricProblem, rows: Tensor) -> list[list[int]]:
    """Cameras whose pictures are used at each of the timesteps rows: from all sides, others at each timestep."""
    count = problem.landmarks.weight.shape[1]
    each = views_each(len(rows), count)
    starts = [index * GOLDEN % 1 for index in range(len(rows))]
    return [sorted({int((view + start) * count / each) for view in range(each)}) for start in starts]


def _glances(task: _Task, params: TrackParams) -> dict[tuple[int, int], Glance]:
    problem = task.problem
    count = problem.outlines.count if problem.outline_share > 0 else 0

    @torch.no_grad()
    def look(place: tuple[int, int]) -> Glance | None:
        frame, camera = place
        one = params.rows(task.rows[frame : frame + 1])
        seen = glance(problem.scene, one, task.pictures[frame][camera], task.points, count, problem.fixed_outline)
        return None if seen is None else seen.counting(*task.totals.get(place, seen.totals))

    places = [(frame, camera) for frame, shown in enumerate(task.pictures) for camera in range(len(shown))]
    glances = zip(places, _for_each(look, places, task.points.grey.device))
    return {place: seen for place, seen in glances if seen is not None}


def _look(task: _Task, params: TrackParams) -> _State:
    """A picture counts by what it showed at the start, else a head would gain by hiding points, or by shrinking."""
    glances = _glances(task, params)
    albedo = fit_albedo(task.points, list(glances.values()), task.problem.prior, task.known)
    landmarks, sigma = task.landmarks()
    common, local = as_vectors(params.rows(task.rows))
    anchor = as_vectors(task.start.rows(task.rows))[1]
    cost = albedo.cost.double() + frame_costs(landmarks, common, local, sigma, anchor).double().sum()
    cost = cost + shared_cost(landmarks, common) + task.motion(params).cost.double().sum()
    cost = cost + _light_change(task, params).square().sum()
    for seen in glances.values():
        if seen.outline is not None:
            each = task.problem.outlines.cost(_distance(task.problem, seen.outline))
            cost = cost + task.problem.outline_share * seen.outline.share * each.sum()
    return _State(params, glances, albedo, float(cost))


def _distance(problem: PhotometricProblem, outline: Outline) -> Tensor:
    """(n,) in standard deviations."""
    return outline.distance / problem.outline_spread_px


def _light_change(task: _Task, params: TrackParams) -> Tensor:
    """(9,) in standard deviations."""
    return (params.lights - task.start.lights).mean(1) / task.problem.prior.light


@dataclass(frozen=True)
class _System:
    """matrix (D, D) and right-hand side (D,) of what all frames share, then of every frame's own unknowns."""

    matrix: Tensor
    right: Tensor
    n_shared: int


def _step(task: _Task, now: _State, system: _System, damping: float) -> _State | None:
    """The state after a damped step, None where the system is singular."""
    damped = system.matrix + torch.diag(damping * system.matrix.diagonal())
    factor, failed = torch.linalg.cholesky_ex(damped)
    if int(failed):
        return None
    step = torch.cholesky_solve(system.right[:, None], factor)[:, 0].float()
    shared, own = step[: system.n_shared], step[system.n_shared :].view(len(task.rows), -1)
    params, part = now.params, now.params.rows(task.rows)
    common, local = as_vectors(part)
    moved = from_vectors(part, common + shared[:-N_LIGHT], local + own)
    rows = task.rows.to(local.device)
    placed = {name: getattr(params, name).index_copy(0, rows, getattr(moved, name)) for name in PER_FRAME}
    shared_values = {
        "focal_length": moved.focal_length if bool(shared[0] != 0) else params.focal_length,
        "shape": moved.shape,
        "lights": params.lights + shared[-N_LIGHT:, None],
    }
    return _look(task, replace(params, **placed, **shared_values))


def _for_each(
    work: Callable[[tuple[int, int]], Result], places: Sequence[tuple[int, int]], device: torch.device
) -> Iterator[Result]:
    """work on the pictures, side by side on a CPU; kernels of a GPU fill it by themselves."""
    return in_threads(work, places) if device.type == "cpu" else map(work, places)


def _system(task: _Task, now: _State, names: Sequence[str]) -> _System:
    """Equations of pictures, landmarks, priors and motion, without the points' albedo."""
    common, local = as_vectors(now.params.rows(task.rows))
    n_shared, n_own, frames = len(common) + N_LIGHT, local.shape[1], len(task.rows)
    sums = empty_equations(frames, n_own, n_shared, local.device)
    size = n_shared + frames * n_own
    through = torch.zeros(len(task.points.grey), size, device=local.device)
    sure = now.albedo.held.clone()

    @torch.no_grad()
    def columns(place: tuple[int, int]) -> list[tuple[Tensor, ...]]:
        seen = now.glances[place]
        outline = [] if seen.outline is None else [_outline_columns(task, now, *place, seen.outline)]
        return [_columns(task, now, *place, seen), *outline]

    places = list(now.glances)
    for (frame, camera), (told, *outline) in zip(places, _for_each(columns, places, local.device)):
        seen, (by_shared, by_own, by_albedo, weight, residual) = now.glances[frame, camera], told
        shared, own = _add_rows(sums, frame, by_shared, by_own, weight, residual)
        first = n_shared + frame * n_own
        through[seen.index, :n_shared] += shared * by_albedo[:, None]
        through[seen.index, first : first + n_own] += own * by_albedo[:, None]
        sure.index_add_(0, seen.index, weight * by_albedo.square())
        for equations in outline:
            _add_rows(sums, frame, *equations)
    _add_landmarks(task, now, sums)
    matrix, right = _dense(sums, task.motion(now.params))
    scaled = through / sure.sqrt()[:, None]
    matrix -= (scaled.T @ scaled).double()
    free = _free(now.params, names, frames).to(matrix)
    matrix = matrix * free[:, None] * free + torch.diag(1 - free)
    return _System(matrix, right * free, n_shared)


def _outline_columns(task: _Task, now: _State, frame: int, camera: int, outline: Outline) -> tuple[Tensor, ...]:
    """Derivatives of an outline's distances by shared and own unknowns, weights and distances."""
    problem, one = task.problem, now.params.rows(task.rows[frame : frame + 1])
    by_shared, by_own = outline_columns(problem.scene, one, task.pictures[frame][camera], outline)
    by_shared, by_own = by_shared / problem.outline_spread_px, by_own / problem.outline_spread_px
    residual = _distance(problem, outline)
    weight = problem.outline_share * outline.share * problem.outlines.weight(residual)
    return by_shared, by_own, weight, residual


def _add_rows(
    sums: NormalEquations, frame: int, by_shared: Tensor, by_own: Tensor, weight: Tensor, residual: Tensor
) -> tuple[Tensor, Tensor]:
    """Adds a frame's residuals (n,), weights (n,), and derivatives by the first Q' shared unknowns (n, Q') and its own
    (n, P). Returns the weighted derivatives."""
    shared, own = by_shared * weight[:, None], by_own * weight[:, None]
    count = by_shared.shape[1]
    sums.local[frame] += (own.T @ by_own).double()
    sums.coupling[frame, :, :count] += (own.T @ by_shared).double()
    sums.right_local[frame] -= (own.T @ residual).double()
    sums.shared[:count, :count] += (shared.T @ by_shared).double()
    sums.right_shared[:count] -= (shared.T @ residual).double()
    return shared, own


def _columns(task: _Task, now: _State, frame: int, camera: int, seen: Glance) -> tuple[Tensor, ...]:
    """Derivatives of one picture's differences by shared and own unknowns and by albedo, weights and differences."""
    one, colour = now.params.rows(task.rows[frame : frame + 1]), task.problem.prior.colour
    albedo, picture = now.albedo.value[seen.index], task.pictures[frame][camera]
    by_shared, by_own = point_columns(task.problem.scene, one, picture, task.points, seen, albedo)
    residual, weight = difference_weight(seen, now.albedo.value, task.problem.prior)
    return by_shared / colour, by_own / colour, seen.shading / colour, weight, residual


def _add_landmarks(task: _Task, now: _State, sums: NormalEquations) -> None:
    """Adds the equations of landmarks and priors, and of the light."""
    landmarks, sigma = task.landmarks()
    common, local = as_vectors(now.params.rows(task.rows))
    told = normal_equations(landmarks, common, local, sigma, as_vectors(task.start.rows(task.rows))[1])
    sums.local.add_(told.local)
    sums.right_local.add_(told.right_local)
    sums.coupling[:, :, :-N_LIGHT] += told.coupling
    sums.shared[:-N_LIGHT, :-N_LIGHT] += told.shared
    sums.right_shared[:-N_LIGHT] += told.right_shared
    light = task.problem.prior.light
    sums.shared.diagonal()[-N_LIGHT:] += 1 / light**2
    sums.right_shared[-N_LIGHT:] -= _light_change(task, now.params).double() / light


def _dense(sums: NormalEquations, motion: Motion) -> tuple[Tensor, Tensor]:
    """The arrow-shaped equations with the motion's neighbours, as one matrix."""
    frames, n_own, n_shared = sums.coupling.shape
    size = n_shared + frames * n_own
    matrix = sums.local.new_zeros(size, size)
    matrix[:n_shared, :n_shared] = sums.shared
    matrix[n_shared:, :n_shared] = sums.coupling.reshape(-1, n_shared)
    matrix[:n_shared, n_shared:] = matrix[n_shared:, :n_shared].T
    place = torch.arange(n_shared, size, device=matrix.device).view(frames, n_own)
    matrix[place[:, :, None], place[:, None, :]] = sums.local
    matrix[place, place] += motion.own.double()
    for apart, mixed in ((1, motion.next_frame), (2, motion.after_next)):
        above, below = place[:-apart], place[apart:]
        matrix[above, below] += mixed[:-apart].double()
        matrix[below, above] += mixed[:-apart].double()
    return matrix, torch.cat([sums.right_shared, (sums.right_local - motion.gradient).flatten()])


def _free(params: TrackParams, names: Sequence[str], frames: int) -> Tensor:
    """(D,) 1 for each unknown that may move."""
    own, shared = free_unknowns(params, names, N_LIGHT)
    return torch.cat([shared, own.repeat(frames)])
