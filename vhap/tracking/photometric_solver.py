"""Gauss-Newton on the pictures: what all frames share and every frame's pose and expression at once.

Adam needs hundreds of steps where unknowns hang together (identity with depth, depth with focal length), and while it
creeps a moving texture adapts to the wrong place. Here the texture stands still during a step, and a second-order step
moves the rest together. Landmarks and priors are those of `landmark_solver`, and so is the arrow-shaped system.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from vhap.data.sample import FrameBatch
from vhap.tracking.landmark_problem import LandmarkProblem
from vhap.tracking.landmark_solver import (
    NormalEquations,
    empty_equations,
    frame_costs,
    hold,
    normal_equations,
    shared_cost,
    solve_step,
)
from vhap.tracking.motion import Motion, motion_of
from vhap.tracking.params import PER_FRAME, TrackParams, as_vectors, from_vectors
from vhap.tracking.photometric_pixels import N_LIGHTS, PixelPrior, PixelSystem, pixel_system
from vhap.tracking.scene import Scene

LEAST_SHARE = 1e-6
LIGHT_RIDGE = 0.1
FIRST_DAMPING, LEAST_DAMPING, REJECTED, ACCEPTED = 1e-3, 1e-6, 16.0, 0.25

Load = Callable[[Tensor], FrameBatch]


@dataclass(frozen=True)
class PhotometricProblem:
    """What is solved. load: a timestep's pictures of all cameras, at the scene's size; landmarks: all frames';
    landmark_share: a factor on what landmarks cost."""

    scene: Scene
    landmarks: LandmarkProblem
    load: Load
    sh_lights: bool = True
    landmark_share: float = 1.0
    pixels: PixelPrior = PixelPrior()


@dataclass(frozen=True)
class _Vectors:
    """The unknowns as vectors: common (Q,) log focal length, shape, lights; local (B, P) in the order of PER_FRAME."""

    common: Tensor
    local: Tensor

    @classmethod
    def of(cls, params: TrackParams) -> _Vectors:
        common, local = as_vectors(params)
        return cls(torch.cat([common, params.lights.flatten()]), local)

    def by_name(self, params: TrackParams) -> dict[str, Tensor]:
        moved = from_vectors(params, self.common[:-N_LIGHTS], self.local)
        names = (*PER_FRAME, "focal_length", "shape")
        return {"lights": self.common[-N_LIGHTS:].view(9, 3), **{name: getattr(moved, name) for name in names}}


@dataclass(frozen=True)
class _Linearised:
    """Normal equations at one place, the motion prior there, what each frame costs (B,), what shared unknowns cost by
    themselves, and which frames (B,) have the head in sight."""

    equations: NormalEquations
    motion: Motion
    costs: Tensor
    shared_cost: Tensor
    seen: Tensor

    def better_than(self, other: _Linearised) -> bool:
        """A frame out of sight costs no pixels; losing one is no gain."""
        cheaper = self.costs.sum() + self.shared_cost < other.costs.sum() + other.shared_cost
        return bool(cheaper) and not bool((other.seen & ~self.seen).any())


@dataclass(frozen=True)
class _Pixels:
    """What the pixels of B frames say, all cameras together. equations: sums; light (): the most that they say of one
    light; costs (B,); seen (B,) bool: the head is in sight of some camera."""

    equations: NormalEquations
    light: float
    costs: Tensor
    seen: Tensor


@torch.no_grad()
def solve_shared(
    problem: PhotometricProblem,
    params: TrackParams,
    rows: Tensor,
    names: Sequence[str],
    bake: Callable[[TrackParams], Tensor],
    rounds: int,
    tell: Callable[[int, Tensor], None] = lambda index, cost: None,
) -> TrackParams:
    """Moves the unknowns `names` of the frames rows (B,), ascending, together with what all frames share.

    bake(params) gives the texture (residual) before each round; tell(round, cost) hears of each. A round that raises
    the cost is taken back and tried with smaller steps. Returns params of all frames; those that are not in rows keep
    their own unknowns.
    """
    params = replace(params, residual_texture=bake(params))
    now = _Vectors.of(params.rows(rows))
    anchor, damping, kept, best = now.local, FIRST_DAMPING, params, None
    for index in range(rounds + 1):
        trial = place(params, now, rows, names)
        trial = replace(trial, residual_texture=bake(trial)) if index else trial
        found = _linearise(problem, trial, rows, anchor, names)
        tell(index, found.costs.sum() + found.shared_cost)
        if best is None or found.better_than(best[0]):
            kept, best, damping = trial, (found, now), max(damping * ACCEPTED, LEAST_DAMPING)
        else:
            damping *= REJECTED
        step_common, step_local = solve_step(best[0].equations, damping, True, best[0].motion)
        now = _Vectors(best[1].common + step_common, best[1].local + step_local)
    return kept


@torch.no_grad()
def solve_frames(
    problem: PhotometricProblem, params: TrackParams, rows: Tensor, names: Sequence[str]
) -> tuple[TrackParams, Tensor]:
    """One step of the frames rows (B,), ascending, the texture and what all share held. A frame that it makes worse
    stays where it was. Returns params of all frames, and what these frames cost then."""
    own = [name for name in names if name in PER_FRAME]
    start = _Vectors.of(params.rows(rows))
    found = _linearise(problem, params, rows, start.local, own)
    _, step = solve_step(found.equations, FIRST_DAMPING, False, found.motion)
    moved = place(params, _Vectors(start.common, start.local + step), rows, own)
    pixels = _pixels(problem, moved, rows, columns=False)
    after = _frame_costs(problem, moved, rows, start.local, pixels)
    better = (after < found.costs) & (pixels.seen | ~found.seen)
    local = torch.where(better[:, None], start.local + step, start.local)
    params = place(params, _Vectors(start.common, local), rows, own)
    return params, torch.where(better, after, found.costs).sum()


def place(params: TrackParams, values: _Vectors, rows: Tensor, names: Sequence[str]) -> TrackParams:
    """params of all frames with the unknowns `names` put in: those of the frames rows, and shared ones."""
    found = {name: value for name, value in values.by_name(params).items() if name in names}
    rows = rows.to(params.rotation.device)
    own = {name: getattr(params, name).index_copy(0, rows, found[name]) for name in PER_FRAME if name in names}
    return replace(params, **(found | own))


def _pixels(problem: PhotometricProblem, params: TrackParams, rows: Tensor, columns: bool = True) -> _Pixels:
    """Picture after picture: memory does not grow with their number."""
    n_shared, n_own = (vector.shape[-1] for vector in (_Vectors.of(params).common, _Vectors.of(params).local))
    sums, light = empty_equations(len(rows), n_own, n_shared, params.shape.device), 0.0
    costs = torch.zeros(len(rows), device=params.shape.device)
    seen = torch.zeros(len(rows), dtype=torch.bool, device=params.shape.device)
    for index, row in enumerate(rows.split(1)):
        one, pictures = params.rows(row), problem.load(row)
        for camera in range(len(pictures.cameras)):
            picture = pictures.select(slice(camera, camera + 1))
            system = pixel_system(problem.scene, one, picture, problem.pixels, problem.sh_lights, columns)
            if system is None:
                continue
            seen[index] = True
            costs[index] += system.cost
            if columns:
                _add(sums, index, system)
                light += float((system.by_shared[:, -N_LIGHTS:].square() * system.weight[:, None]).sum(0).max())
    return _Pixels(sums, light, costs, seen)


def _add(sums: NormalEquations, row: int, system: PixelSystem) -> None:
    """Adds the normal equations of one picture of a frame."""
    weighted = system.by_local * system.weight[:, None]
    sums.local[row] += (weighted.T @ system.by_local).double()
    sums.coupling[row] += (weighted.T @ system.by_shared).double()
    sums.right_local[row] -= (weighted.T @ system.residual).double()
    weighted = system.by_shared * system.weight[:, None]
    sums.shared.add_((weighted.T @ system.by_shared).double())
    sums.right_shared.sub_((weighted.T @ system.residual).double())


def _landmarks(problem: PhotometricProblem, rows: Tensor) -> tuple[LandmarkProblem, Tensor]:
    chosen = problem.landmarks.select(rows)
    return chosen, chosen.sigma_px(beside_pixels=True) / max(problem.landmark_share, LEAST_SHARE) ** 0.5


def _frame_costs(
    problem: PhotometricProblem, params: TrackParams, rows: Tensor, anchor: Tensor, pixels: _Pixels
) -> Tensor:
    """(B,) pixels, landmarks, priors and motion of each frame."""
    values = _Vectors.of(params.rows(rows))
    landmarks, sigma = _landmarks(problem, rows)
    own = frame_costs(landmarks, values.common[:-N_LIGHTS], values.local, sigma, anchor)
    return own + pixels.costs + _motion(problem, params, rows).cost


def _motion(problem: PhotometricProblem, params: TrackParams, rows: Tensor) -> Motion:
    """Of the frames rows against all frames."""
    whole = problem.landmarks
    return motion_of(whole.prior.motion, as_vectors(params)[1], whole.timesteps, whole.head.expr_names).rows(rows)


def _linearise(
    problem: PhotometricProblem, params: TrackParams, rows: Tensor, anchor: Tensor, names: Sequence[str]
) -> _Linearised:
    values = _Vectors.of(params.rows(rows))
    pixels = _pixels(problem, params, rows)
    landmarks, sigma = _landmarks(problem, rows)
    common = values.common[:-N_LIGHTS]
    told = _with_lights(normal_equations(landmarks, common, values.local, sigma, anchor), pixels.light)
    total = NormalEquations(*(getattr(told, f.name) + getattr(pixels.equations, f.name) for f in fields(told)))
    costs = _frame_costs(problem, params, rows, anchor, pixels)
    motion = _motion(problem, params, rows)
    equations, free = hold(total, params, names)
    return _Linearised(equations, motion.only(free), costs, shared_cost(landmarks, common), pixels.seen)


def _with_lights(equations: NormalEquations, told: float) -> NormalEquations:
    """Landmarks' equations with room for the lights, whose change is held to a share of what pixels say of them."""
    pad = torch.nn.functional.pad
    shared = pad(equations.shared, (0, N_LIGHTS, 0, N_LIGHTS))
    shared.diagonal()[-N_LIGHTS:] += 1.0 + LIGHT_RIDGE * told
    return replace(
        equations,
        coupling=pad(equations.coupling, (0, N_LIGHTS)),
        shared=shared,
        right_shared=pad(equations.right_shared, (0, N_LIGHTS)),
    )
