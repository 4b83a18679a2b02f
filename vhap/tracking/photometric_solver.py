"""Gauss-Newton on the pictures: what all frames share and every frame's pose and expression at once.

Adam needs hundreds of steps where unknowns hang together (identity with depth, depth with focal length), and while it
creeps a moving texture adapts to the wrong place. Here the texture stands still during a step, and a second-order step
moves the rest together. Landmarks and priors are those of `landmark_solver`, and so is the arrow-shaped system.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vhap.data.sample import FrameBatch
from vhap.tracking.landmark_solver import (
    N_MOTION,
    LandmarkProblem,
    NormalEquations,
    frame_costs,
    normal_equations,
    shared_cost,
    solve_step,
)
from vhap.tracking.params import PER_FRAME, TrackParams
from vhap.tracking.photometric_pixels import N_LIGHTS, PixelPrior, PixelSystem, pixel_system
from vhap.tracking.scene import Scene

LANDMARK_SHARE = 0.2
"""Landmarks count less than where they stand alone: a detector has a bias for each face, pictures have none."""
LIGHT_RIDGE = 0.1
FIRST_DAMPING, LEAST_DAMPING, REJECTED, ACCEPTED = 1e-3, 1e-6, 16.0, 0.25

Load = Callable[[Tensor], FrameBatch]


@dataclass(frozen=True)
class MotionPrior:
    """Standard deviations of a frame's unknowns against the mean of its neighbours'."""

    rotation_rad: float = 0.02
    translation_m: float = 0.003
    neck_rad: float = 0.02
    jaw_rad: float = 0.2
    eyes_rad: float = 0.5
    expr: float = 0.5

    def scales(self, local: Tensor) -> Tensor:
        """(P,) in the order of PER_FRAME."""
        values = [self.rotation_rad] * 3 + [self.translation_m] * 3 + [self.neck_rad] * 3 + [self.jaw_rad] * 3
        return local.new_tensor(values + [self.eyes_rad] * 6 + [self.expr] * (local.shape[1] - N_MOTION))


@dataclass(frozen=True)
class PhotometricProblem:
    """What is solved. load: pictures of one row, at the scene's size; landmarks: all frames'."""

    scene: Scene
    landmarks: LandmarkProblem
    load: Load
    sh_lights: bool = True
    pixels: PixelPrior = PixelPrior()
    motion: MotionPrior = MotionPrior()


@dataclass(frozen=True)
class _Vectors:
    """The unknowns as vectors: common (Q,) log focal length, shape, lights; local (B, P) in the order of PER_FRAME."""

    common: Tensor
    local: Tensor

    @classmethod
    def of(cls, params: TrackParams) -> _Vectors:
        common = [params.focal_length.log(), params.shape, params.lights.flatten()]
        return cls(torch.cat(common), torch.cat([getattr(params, name) for name in PER_FRAME], -1))

    def by_name(self, params: TrackParams) -> dict[str, Tensor]:
        widths = [getattr(params, name).shape[1] for name in PER_FRAME]
        return {
            **dict(zip(PER_FRAME, self.local.split(widths, -1))),
            "focal_length": self.common[:1].exp(),
            "shape": self.common[1:-N_LIGHTS],
            "lights": self.common[-N_LIGHTS:].view(9, 3),
        }


@dataclass(frozen=True)
class _Linearised:
    """Normal equations at one place, what each frame costs there (B,), what shared unknowns cost by themselves, and
    which frames (B,) have the head in sight."""

    equations: NormalEquations
    costs: Tensor
    shared_cost: Tensor
    seen: Tensor

    def better_than(self, other: _Linearised) -> bool:
        """A frame out of sight costs no pixels; losing one is no gain."""
        cheaper = self.costs.sum() + self.shared_cost < other.costs.sum() + other.shared_cost
        return bool(cheaper) and not bool((other.seen & ~self.seen).any())


@torch.no_grad()
def solve_shared(
    problem: PhotometricProblem, params: TrackParams, rows: Tensor, names: Sequence[str], bake: Callable, rounds: int
) -> TrackParams:
    """Moves the unknowns `names` of the frames rows (B,) together with what all frames share.

    bake(params) gives the texture (residual) before each round. A round that raises the cost is taken back and tried
    with smaller steps. Returns params of all frames; those that are not in rows keep their own unknowns.
    """
    params = replace(params, residual_texture=bake(params))
    now = _Vectors.of(params.rows(rows))
    anchor, damping, kept, best = now.local, FIRST_DAMPING, params, None
    for index in range(rounds + 1):
        trial = place(params, now, rows, names)
        trial = replace(trial, residual_texture=bake(trial)) if index else trial
        found = _linearise(problem, trial, rows, anchor, names)
        if best is None or found.better_than(best[0]):
            kept, best, damping = trial, (found, now), max(damping * ACCEPTED, LEAST_DAMPING)
        else:
            damping *= REJECTED
        step_common, step_local = solve_step(best[0].equations, damping, True)
        now = _Vectors(best[1].common + step_common, best[1].local + step_local)
    return kept


@torch.no_grad()
def solve_frames(problem: PhotometricProblem, params: TrackParams, rows: Tensor, names: Sequence[str]) -> TrackParams:
    """One step of each of the frames rows (B,) alone, the texture and what all share held. A frame that it makes
    worse stays where it was. Returns params of all frames."""
    own = [name for name in names if name in PER_FRAME]
    start = _Vectors.of(params.rows(rows))
    found = _linearise(problem, params, rows, start.local, own)
    _, step = solve_step(found.equations, FIRST_DAMPING, False)
    moved = place(params, _Vectors(start.common, start.local + step), rows, own)
    systems = _systems(problem, moved, rows, columns=False)
    after = _frame_costs(problem, moved, rows, start.local, systems)
    better = ((after < found.costs) & (_seen(systems, after) | ~found.seen))[:, None]
    return place(params, _Vectors(start.common, torch.where(better, start.local + step, start.local)), rows, own)


def place(params: TrackParams, values: _Vectors, rows: Tensor, names: Sequence[str]) -> TrackParams:
    """params of all frames with the unknowns `names` put in: those of the frames rows, and shared ones."""
    found = {name: value for name, value in values.by_name(params).items() if name in names}
    rows = rows.to(params.rotation.device)
    own = {name: getattr(params, name).index_copy(0, rows, found[name]) for name in PER_FRAME if name in names}
    return replace(params, **(found | own))


def _seen(systems: list[PixelSystem | None], like: Tensor) -> Tensor:
    """(B,) bool: the head is in sight."""
    return torch.tensor([system is not None for system in systems], device=like.device)


def _systems(
    problem: PhotometricProblem, params: TrackParams, rows: Tensor, columns: bool = True
) -> list[PixelSystem | None]:
    return [
        pixel_system(problem.scene, params.rows(row), problem.load(row), problem.pixels, problem.sh_lights, columns)
        for row in rows.split(1)
    ]


def _landmarks(problem: PhotometricProblem, rows: Tensor) -> tuple[LandmarkProblem, Tensor]:
    chosen = problem.landmarks.select(rows)
    return chosen, chosen.sigma_px() / LANDMARK_SHARE**0.5


def _frame_costs(
    problem: PhotometricProblem, params: TrackParams, rows: Tensor, anchor: Tensor, systems: list[PixelSystem | None]
) -> Tensor:
    """(B,) pixels, landmarks, priors and motion of each frame."""
    values = _Vectors.of(params.rows(rows))
    landmarks, sigma = _landmarks(problem, rows)
    pixels = torch.stack([values.local.new_zeros(()) if s is None else s.cost for s in systems])
    own = frame_costs(landmarks, values.common[:-N_LIGHTS], values.local, sigma, anchor)
    return own + pixels + _motion_residual(problem, params, rows).square().sum(-1)


def _motion_residual(problem: PhotometricProblem, params: TrackParams, rows: Tensor) -> Tensor:
    """(B, P): each frame against the mean of its neighbours (the only one at an end; zero where there is none)."""
    local = _Vectors.of(params).local
    last = len(local) - 1
    if last == 0:
        return torch.zeros_like(local)
    before = torch.where(rows == 0, 1, rows - 1)
    after = torch.where(rows == last, last - 1, rows + 1)
    return (local[rows] - (local[before] + local[after]) / 2) / problem.motion.scales(local)


def _linearise(
    problem: PhotometricProblem, params: TrackParams, rows: Tensor, anchor: Tensor, names: Sequence[str]
) -> _Linearised:
    values = _Vectors.of(params.rows(rows))
    systems = _systems(problem, params, rows)
    landmarks, sigma = _landmarks(problem, rows)
    common = values.common[:-N_LIGHTS]
    told = _with_lights(normal_equations(landmarks, common, values.local, sigma, anchor), systems)
    residual, scales = _motion_residual(problem, params, rows), problem.motion.scales(values.local)
    seen = _pixel_equations(systems, told)
    total = NormalEquations(
        local=told.local + seen.local + torch.diag(scales**-2).double(),
        coupling=told.coupling + seen.coupling,
        shared=told.shared + seen.shared,
        right_local=told.right_local + seen.right_local - (residual / scales).double(),
        right_shared=told.right_shared + seen.right_shared,
    )
    costs = _frame_costs(problem, params, rows, anchor, systems)
    return _Linearised(_held(total, params, names), costs, shared_cost(landmarks, common), _seen(systems, costs))


def _pixel_equations(systems: list[PixelSystem | None], like: NormalEquations) -> NormalEquations:
    """Normal equations of all frames' pixels; zeros for frames out of sight."""
    sums = NormalEquations(*(torch.zeros_like(getattr(like, name)) for name in NormalEquations.__annotations__))
    for row, system in enumerate(systems):
        if system is None:
            continue
        weighted = system.by_local * system.weight[:, None]
        sums.local[row] = (weighted.T @ system.by_local).double()
        sums.coupling[row] = (weighted.T @ system.by_shared).double()
        sums.right_local[row] = -(weighted.T @ system.residual).double()
        weighted = system.by_shared * system.weight[:, None]
        sums.shared.add_((weighted.T @ system.by_shared).double())
        sums.right_shared.sub_((weighted.T @ system.residual).double())
    return sums


def _with_lights(equations: NormalEquations, systems: list[PixelSystem | None]) -> NormalEquations:
    """Landmarks' equations with room for the lights, whose change is held to a share of what pixels say of them."""
    pad = torch.nn.functional.pad
    shared = pad(equations.shared, (0, N_LIGHTS, 0, N_LIGHTS))
    told = [(s.by_shared[:, -N_LIGHTS:].square() * s.weight[:, None]).sum(0).max() for s in systems if s is not None]
    shared.diagonal()[-N_LIGHTS:] += 1.0 + LIGHT_RIDGE * float(sum(told))
    return replace(
        equations,
        coupling=pad(equations.coupling, (0, N_LIGHTS)),
        shared=shared,
        right_shared=pad(equations.right_shared, (0, N_LIGHTS)),
    )


def _held(equations: NormalEquations, params: TrackParams, names: Sequence[str]) -> NormalEquations:
    """The equations with the unknowns that are not in names kept where they are."""
    widths = [(name, getattr(params, name).shape[1]) for name in PER_FRAME]
    shared = [("focal_length", 1), ("shape", len(params.shape)), ("lights", N_LIGHTS)]
    free_local, free_shared = (
        torch.cat([torch.full((width,), float(name in names), dtype=torch.double) for name, width in part])
        for part in (widths, shared)
    )
    free_local, free_shared = free_local.to(equations.local), free_shared.to(equations.local)
    return NormalEquations(
        local=equations.local * torch.outer(free_local, free_local) + torch.diag(1 - free_local),
        coupling=equations.coupling * torch.outer(free_local, free_shared),
        shared=equations.shared * torch.outer(free_shared, free_shared) + torch.diag(1 - free_shared),
        right_local=equations.right_local * free_local,
        right_shared=equations.right_shared * free_shared,
    )
