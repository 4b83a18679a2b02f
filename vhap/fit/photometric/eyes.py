"""Where the eyes look: pitch and yaw of each eyeball, by pictures, with head and lids as they are.

Landmarks without irises leave gaze where it rests. Here the pixels between the lids are compared with the albedo of an
eye, a profile about the optical axis that pictures of the whole sequence determine. The search starts on a grid, since
an iris that is missed gives no gradient; Gauss-Newton rounds follow, whose time is linear in the number of frames. Of a
long sequence some frames tell the albedo, and the others are solved with it in groups, so that memory does not grow.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from vhap.fit.levenberg_marquardt import Schedule, descend
from vhap.fit.params import TrackParams, as_vectors
from vhap.fit.photometric.eyes_albedo import (
    Profile,
    fit_profile,
    painted_axes,
    painted_detail,
    surface_colours,
    texture_profile,
)
from vhap.fit.photometric.eyes_equations import (
    N_GAIN,
    Differences,
    EyePrior,
    EyeState,
    differences,
    robust_cost,
)
from vhap.fit.photometric.eyes_views import (
    Eyeballs,
    EyePixels,
    eye_surface,
    eyeballs_of,
    has_eyes,
    joined,
    pixels_of,
    surface_directions,
)
from vhap.fit.photometric.problem import PhotometricProblem, for_each
from vhap.fit.residuals.landmark_problem import LandmarkProblem
from vhap.fit.residuals.motion import Motion, motion_of, solve_chain
from vhap.util.choice import even_choice

GAZE_COLUMNS = (12, 13, 15, 16)
"""Pitch and yaw of both eyes among a frame's unknowns (PER_FRAME)."""
GRID_RAD, GRID_STEPS = 0.52, 7
"""Ten degrees apart: an iris has thirty of radius."""
GRID_PIXELS, AT_ONCE = 40, 100_000
ROUNDS, STEPS = 4, 2
MOST_TOLD, OVERLAP = 128, 4
"""Frames that tell the eyes' albedo at most, and that are solved at a time; those beside them that are solved along."""
FIRST_IRIS = {"ibug": 68, "mediapipe": 468}
"""Landmarks from these on are irises'."""
LANDMARKS_RAD = 0.1
"""Standard deviation of a gaze by landmarks of irises, whose errors repeat from frame to frame."""
SCHEDULE = Schedule(damping=1e-3, least=1e-3, raised=100.0, lowered=1e-4, tries=3, converged=1e-4, promise=0.0)
"""Every step is tried first as good as undamped, and whatever it promises, damped more."""


@dataclass(frozen=True)
class EyeProblem:
    """T frames. pixels: of all views; roll (T, 2): third component of each eye's rotation, which stays; per_frame
    (T, P): unknowns; expected (T, 4), hold (T,): gaze without pictures and its precision; sigma: standard deviation of
    a pixel."""

    pixels: EyePixels
    balls: Eyeballs
    roll: Tensor
    per_frame: Tensor
    expected: Tensor
    hold: Tensor
    landmarks: LandmarkProblem
    prior: EyePrior = field(default_factory=EyePrior)
    sigma: float = 0.05

    @property
    def frames(self) -> int:
        return len(self.roll)

    def motion(self, gaze: Tensor) -> Motion:
        """Of the gaze alone, (T, 4)."""
        per_frame = self.per_frame.clone()
        per_frame[:, list(GAZE_COLUMNS)] = gaze.flatten(1)
        whole = self.landmarks
        found = motion_of(whole.prior.motion, per_frame, whole.timesteps, whole.head.expr_names)
        parts = (
            part[:, list(GAZE_COLUMNS)] for part in (found.own, found.next_frame, found.after_next, found.gradient)
        )
        return Motion(*parts, cost=found.cost)

    def held(self, gaze: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What holds the gaze (T, 4) without pictures: cost (T,), half the gradient (T, 4) and half the second
        derivatives (T, 4, 4)."""
        rows = gaze.new_tensor([[1.0, 0, -1, 0], [0, 1, 0, -1]])
        weighted = rows / gaze.new_tensor([self.prior.pitch_rad**2, self.prior.yaw_rad**2])[:, None]
        bend = rows.T @ weighted + self.hold[:, None, None] * torch.eye(4).to(gaze)
        centre = self.hold[:, None] * self.expected
        gradient = (bend @ gaze[..., None])[..., 0] - centre
        cost = (gaze * (gradient - centre)).sum(1) + self.hold * self.expected.square().sum(1)
        return cost, gradient, bend


@dataclass(frozen=True)
class Painted:
    """What the head's texture says of its eyes. axes: where they look at rest; detail: of each point of their surface,
    beside round eyes; expected: the profile of these."""

    axes: Tensor
    detail: Tensor
    expected: Profile


@dataclass(frozen=True)
class SolvedEyes:
    """gaze (T, 2, 2); profile, task: with which it was found."""

    gaze: Tensor
    profile: Profile
    task: EyeProblem


@torch.no_grad()
def follow_eyes(problem: PhotometricProblem, params: TrackParams, rows: Tensor) -> TrackParams:
    """params with the gaze of the frames rows (N,) as their pictures show it."""
    if not has_eyes(problem.scene.head) or not len(rows):
        return params
    painted = painted_eyes(problem, params.rows(rows[:1]))
    told = rows[even_choice(len(rows), MOST_TOLD)]
    task = open_task(problem, params, told, painted)
    if task is None:
        return params
    solved = solve_gaze(task, params.eyes_pose[told].unflatten(-1, (2, 3))[..., :2], painted)
    if len(told) == len(rows):
        return _with_gaze(params, rows, solved.gaze)

    @torch.no_grad()
    def turned(group: tuple[Tensor, slice]) -> Tensor:
        around, kept = group
        return _turned(problem, params, around, painted, solved)[kept]

    groups = [_group(rows, start) for start in range(0, len(rows), MOST_TOLD)]
    return _with_gaze(params, rows, torch.cat(list(for_each(turned, groups, params.rotation.device))))


def _group(rows: Tensor, start: int) -> tuple[Tensor, slice]:
    """MOST_TOLD of the rows with those beside them, and where they stand among these."""
    first = max(0, start - OVERLAP)
    around = rows[first : start + MOST_TOLD + OVERLAP]
    return around, slice(start - first, start - first + len(rows[start : start + MOST_TOLD]))


def _turned(
    problem: PhotometricProblem, params: TrackParams, rows: Tensor, painted: Painted, known: SolvedEyes
) -> Tensor:
    """(N, 2, 2) gaze of the frames rows (N,) with eyes that are known."""
    start = params.eyes_pose[rows].unflatten(-1, (2, 3))[..., :2]
    task = open_task(problem, params, rows, painted)
    if task is None:
        return start
    detail = known.task.balls.detail
    task = replace(task, sigma=known.task.sigma, balls=replace(task.balls, detail=detail))
    state = search(task, EyeState(start, start.new_zeros(task.pixels.n_views, N_GAIN)), known.profile)
    return solve_round(task, state, known.profile, ROUNDS * STEPS).gaze


def _with_gaze(params: TrackParams, rows: Tensor, gaze: Tensor) -> TrackParams:
    changed = params.eyes_pose.clone()
    roll = params.eyes_pose[rows].unflatten(-1, (2, 3))[..., 2:]
    changed[rows] = torch.cat([gaze, roll], -1).flatten(1)
    return replace(params, eyes_pose=changed)


def painted_eyes(problem: PhotometricProblem, params: TrackParams) -> Painted:
    """params: of one frame."""
    head = problem.scene.head
    surface = eye_surface(head)
    colour, direction = surface_colours(problem.scene.base_texture, surface), surface_directions(head, surface)
    axes = painted_axes(head, surface, direction, colour)
    balls, direction = eyeballs_of(head, params.head(), surface, axes)
    angle = torch.acos((direction * balls.axis[surface.eye]).sum(-1).clamp(-1, 1))
    expected = texture_profile(angle, colour)
    return Painted(axes, painted_detail(expected, angle, colour, direction, surface.eye), expected)


def open_task(problem: PhotometricProblem, params: TrackParams, rows: Tensor, painted: Painted) -> EyeProblem | None:
    """The eyes' pixels in the frames rows (N,); None where there are none."""
    head, ours = problem.scene.head, params.rows(rows)
    balls, _ = eyeballs_of(head, ours.head(), eye_surface(head), painted.axes)

    @torch.no_grad()
    def seen(frame: tuple[int, Tensor]) -> list[EyePixels]:
        index, row = frame
        return pixels_of(problem.scene, params.rows(row), balls, index, problem.pictures.load(row))

    shown = for_each(seen, list(enumerate(rows.split(1))), params.rotation.device)
    views = [view for views in shown for view in views]
    if not views:
        return None
    eyes = ours.eyes_pose.unflatten(-1, (2, 3))
    landmarks = problem.landmarks.select(rows)
    known, hold = without_pictures(landmarks, eyes[..., :2])
    return EyeProblem(joined(views), balls, eyes[..., 2], as_vectors(ours)[1], known, hold, landmarks)


def without_pictures(landmarks: LandmarkProblem, gaze: Tensor) -> tuple[Tensor, Tensor]:
    """Gaze (T, 4) and its precision (T,): that of the landmarks where these include irises, else at rest."""
    ids = landmarks.head.landmarks[landmarks.name].detector_ids
    seen = (landmarks.weight[..., ids >= FIRST_IRIS[landmarks.name]] > 0).flatten(1).any(1).to(gaze.device)
    precision = torch.where(seen, 1 / LANDMARKS_RAD**2, 1 / landmarks.prior.eyes_rad**2)
    return gaze.flatten(1) * seen[:, None], precision.to(gaze)


def solve_gaze(task: EyeProblem, start: Tensor, painted: Painted) -> SolvedEyes:
    """From a first guess (T, 2, 2). What is painted beside round eyes is taken where it explains the pictures better
    than these do."""
    state = EyeState(start, start.new_zeros(task.pixels.n_views, N_GAIN))
    profile = expected = painted.expected
    for _ in range(2):
        state = search(task, state, profile)
        state, profile, task = alternate(task, state, profile, expected)
    other_task = replace(task, balls=replace(task.balls, detail=painted.detail))
    other, other_profile, other_task = alternate(other_task, state, profile, expected)
    sigma = min(task.sigma, other_task.sigma)
    round_cost = total_cost(replace(task, sigma=sigma), state, profile)
    painted_cost = total_cost(replace(other_task, sigma=sigma), other, other_profile)
    if painted_cost < round_cost:
        return SolvedEyes(other.gaze, other_profile, other_task)
    return SolvedEyes(state.gaze, profile, task)


def alternate(
    task: EyeProblem, state: EyeState, profile: Profile, expected: Profile
) -> tuple[EyeState, Profile, EyeProblem]:
    """Albedo and gaze in turns."""
    for _ in range(ROUNDS):
        profile, task = with_profile(task, state, profile, expected)
        state = solve_round(task, state, profile)
    return state, profile, task


def with_profile(task: EyeProblem, state: EyeState, profile: Profile, expected: Profile) -> tuple[Profile, EyeProblem]:
    """The profile that explains the pixels best as the eyes stand, and the noise level with it."""
    for _ in range(2):
        found = differences(task.pixels, task.balls, task.roll, profile, state, slopes=False)
        task = replace(task, sigma=noise_level(found, task.prior))
        _, precision = robust_cost(found.value, task.pixels, found.valid, task.sigma, task.prior)
        profile = fit_profile(found.angle, found.factor, task.pixels.colour, precision, expected)
    return profile, task


def noise_level(found: Differences, prior: EyePrior) -> float:
    """Standard deviation of a colour, from the median."""
    size = found.value.square().mean(-1).sqrt()[found.valid]
    return max(prior.colour, float(size.median()) if len(size) else prior.colour)


def search(task: EyeProblem, state: EyeState, profile: Profile) -> EyeState:
    """Each frame's best of a grid of directions, both eyes alike, and of where it stands; then of those around it."""
    coarse = replace(task, pixels=thinned(task.pixels, GRID_PIXELS))
    best, cost = state.gaze, _frame_cost(coarse, state.gaze, profile)
    best, cost = _best_of(coarse, torch.zeros_like(best), _grid(GRID_RAD, GRID_STEPS).to(best), profile, best, cost)
    finer = GRID_RAD / (GRID_STEPS - 1)
    best, _ = _best_of(coarse, best, _grid(finer, 3).to(best), profile, best, cost)
    return replace(state, gaze=best)


def _grid(reach: float, steps: int) -> Tensor:
    """(steps^2, 2) from -reach to reach on both axes."""
    along = torch.linspace(-reach, reach, steps)
    return torch.stack(torch.meshgrid(along, along, indexing="ij"), -1).flatten(0, 1)


def _best_of(
    task: EyeProblem, middle: Tensor, turns: Tensor, profile: Profile, best: Tensor, cost: Tensor
) -> tuple[Tensor, Tensor]:
    """Gaze (T, 2, 2) and cost (T,): of middle (T, 2, 2) turned by turns (N, 2), where one is better than best."""
    for some in turns.split(max(1, AT_ONCE // len(task.pixels.view))):
        gaze = middle + some[:, None, None]
        values, which = _frame_cost(repeated(task, len(some)), gaze.flatten(0, 1), profile).view(len(some), -1).min(0)
        better = values < cost
        best = torch.where(better[:, None, None], gaze[which, torch.arange(len(which))], best)
        cost = torch.where(better, values, cost)
    return best, cost


def repeated(task: EyeProblem, count: int) -> EyeProblem:
    """The same frames several times behind one another."""
    pixels, offset = task.pixels, torch.arange(count, device=task.pixels.view.device)
    index = torch.arange(len(pixels.view), device=offset.device).repeat(count)
    copy = offset.repeat_interleave(len(pixels.view))
    many = pixels.select(index)
    many = replace(
        many,
        view=many.view + copy * pixels.n_views,
        frame=many.frame + copy * task.frames,
        n_views=pixels.n_views * count,
    )
    roll, expected, hold = task.roll.repeat(count, 1), task.expected.repeat(count, 1), task.hold.repeat(count)
    return replace(task, pixels=many, roll=roll, expected=expected, hold=hold)


def thinned(pixels: EyePixels, most: int) -> EyePixels:
    """About so many of each view at most."""
    count = torch.bincount(pixels.view, minlength=pixels.n_views)
    stride = (count / most).ceil().clamp(min=1).long()
    first = count.cumsum(0) - count
    rank = torch.arange(len(pixels.view), device=pixels.view.device) - first[pixels.view]
    chosen = torch.nonzero(rank % stride[pixels.view] == 0).flatten()
    few = pixels.select(chosen)
    return replace(few, counts=few.counts * stride[few.view])


def _frame_cost(task: EyeProblem, gaze: Tensor, profile: Profile) -> Tensor:
    """(T,) of pictures with the brightness that suits each view, and of what holds the gaze (T, 2, 2)."""
    pixels = task.pixels
    state = EyeState(gaze, gaze.new_zeros(pixels.n_views, N_GAIN))
    found = differences(pixels, task.balls, task.roll, profile, state, slopes=False)
    model = found.value + pixels.colour
    top, bottom = (model.new_zeros(pixels.n_views) for _ in range(2))
    top.index_add_(0, pixels.view, (model * pixels.colour).sum(-1))
    bottom.index_add_(0, pixels.view, model.square().sum(-1))
    gain = (top / bottom.clamp(min=1e-6)).clamp(0.5, 2)
    value = gain[pixels.view][:, None] * model - pixels.colour
    cost, _ = robust_cost(value, pixels, found.valid, task.sigma, task.prior)
    held, _, _ = task.held(gaze.flatten(1))
    missed = task.prior.robust**2 * (~found.valid) * pixels.counts / task.prior.correlation
    return held.index_add(0, pixels.frame, cost + missed)


def total_cost(task: EyeProblem, state: EyeState, profile: Profile) -> Tensor:
    found = differences(task.pixels, task.balls, task.roll, profile, state, slopes=False)
    cost, _ = robust_cost(found.value, task.pixels, found.valid, task.sigma, task.prior)
    held = task.held(state.gaze.flatten(1))[0].double().sum()
    nuisance = (state.gain / _gain_scale(task)).square().sum()
    return cost.double().sum() + held + nuisance + task.motion(state.gaze).cost.double().sum()


def _gain_scale(task: EyeProblem) -> Tensor:
    prior = task.prior
    return task.roll.new_tensor([prior.brightness, prior.tilt, prior.tilt])


@dataclass(frozen=True)
class CostedState:
    eyes: EyeState
    cost: float


def costed(task: EyeProblem, eyes: EyeState, profile: Profile) -> CostedState:
    return CostedState(eyes, float(total_cost(task, eyes, profile)))


def solve_round(task: EyeProblem, state: EyeState, profile: Profile, steps: int = STEPS) -> EyeState:
    """A few damped Gauss-Newton steps."""

    def equations_at(now: CostedState) -> Equations:
        return equations_of(task, now.eyes, profile)

    return descend(costed(task, state, profile), equations_at, steps, SCHEDULE).state.eyes


@dataclass(frozen=True)
class Equations:
    """Half the second derivatives and gradients, the views' brightness eliminated. frames (T, 4, 4); right (T, 4);
    motion; by_gaze (W, N_GAIN, 2), right_gain (W, N_GAIN): how a view's brightness follows its gaze, and what it
    changes by alone; frame, eye (W,) of the views; task, now, profile: what they are of."""

    task: EyeProblem
    now: EyeState
    profile: Profile
    frames: Tensor
    right: Tensor
    motion: Motion
    by_gaze: Tensor
    right_gain: Tensor
    frame: Tensor
    eye: Tensor

    def solve(self, damping: float) -> EyeState:
        """By how much gaze and brightness move in a damped step."""
        blocks = self.frames + damping * torch.diag_embed(self.frames.diagonal(dim1=1, dim2=2))
        gaze = solve_chain(blocks, self.motion, self.right[..., None])[..., 0].unflatten(-1, (2, 2))
        gain = self.right_gain - (self.by_gaze @ gaze[self.frame, self.eye][..., None])[..., 0]
        return EyeState(gaze.to(self.now.gaze), gain.to(self.now.gain))

    def gain(self, step: EyeState) -> float:
        """What the gaze alone promises."""
        return float((self.right * step.gaze.flatten(1)).sum())

    def after(self, step: EyeState) -> CostedState:
        moved = EyeState(self.now.gaze + step.gaze, self.now.gain + step.gain)
        return costed(self.task, moved, self.profile)


def equations_of(task: EyeProblem, state: EyeState, profile: Profile) -> Equations:
    pixels = task.pixels
    found = differences(pixels, task.balls, task.roll, profile, state)
    _, precision = robust_cost(found.value, pixels, found.valid, task.sigma, task.prior)
    columns = torch.cat([found.by_gaze, found.by_gain], -1).double()
    weighted = columns * precision.double()[:, None, None]
    width = columns.shape[-1]
    normal = columns.new_zeros(pixels.n_views, width, width)
    normal.index_add_(0, pixels.view, weighted.transpose(1, 2) @ columns)
    right = columns.new_zeros(pixels.n_views, width)
    right.index_add_(0, pixels.view, -(weighted * found.value.double()[..., None]).sum(1))
    scale = _gain_scale(task).double()
    brightness = normal[:, 2:, 2:] + torch.diag(scale**-2)
    by_gaze = torch.linalg.solve(brightness, normal[:, 2:, :2])
    right_gain = torch.linalg.solve(brightness, (right[:, 2:] - state.gain.double() / scale**2)[..., None])
    reduced = normal[:, :2, :2] - normal[:, :2, 2:] @ by_gaze
    pull = right[:, :2] - (normal[:, :2, 2:] @ right_gain)[..., 0]
    return _assembled(task, state, profile, reduced, pull, by_gaze, right_gain[..., 0])


def _assembled(
    task: EyeProblem,
    state: EyeState,
    profile: Profile,
    normal: Tensor,
    right: Tensor,
    by_gaze: Tensor,
    right_gain: Tensor,
) -> Equations:
    """Views (W, 2, 2) put together to frames of both eyes, with what holds them."""
    pixels, count = task.pixels, task.frames
    none = pixels.frame.new_zeros(pixels.n_views)
    frame, eye = (none.index_put((pixels.view,), part) for part in (pixels.frame, pixels.eye))
    frames, pulls = normal.new_zeros(count, 2, 2, 2, 2), normal.new_zeros(count, 2, 2)
    frames.permute(0, 1, 3, 2, 4).index_put_((frame, eye, eye), normal, accumulate=True)
    pulls.index_put_((frame, eye), right, accumulate=True)
    motion, (_, gradient, bend) = task.motion(state.gaze), task.held(state.gaze.flatten(1))
    return Equations(
        task=task,
        now=state,
        profile=profile,
        frames=frames.flatten(3).flatten(1, 2) + bend.double(),
        right=pulls.flatten(1) - gradient.double() - motion.gradient.double(),
        motion=motion,
        by_gaze=by_gaze,
        right_gain=right_gain,
        frame=frame,
        eye=eye,
    )
