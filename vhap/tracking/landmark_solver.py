"""Levenberg-Marquardt on landmarks: camera, identity and every frame's pose and expression at once.

The normal equations have an arrow shape (frames meet only in the shared unknowns), so each step solves one small
system a frame and one for the shared unknowns (Schur complement; Triggs et al. 2000, section 6.1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.func import jacfwd, vmap

from vhap.geometry.cameras import Camera, camera_from_focal
from vhap.model.head import HeadModel, HeadParams, coefficient_slopes, landmark_points, pose, yaw_in_camera
from vhap.tracking.params import PER_FRAME, TrackParams

CHUNK_FRAMES = 16
N_MOTION = 18
FREE = 100.0
CONVERGED_GAIN = 1e-6
FIXED_SHAPE = 1e-4
"""Standard deviation of an identity that is known."""


@dataclass(frozen=True)
class LandmarkPrior:
    """Standard deviations. pixel: of a landmark, as a fraction of the face's size in the picture; robust: the
    distance, in those units, from which a point counts less (Cauchy); the others in their own units. expr is for
    anonymous coefficients of unit variance, activation for named ones, which run from 0 to 1, blink for those named so:
    they run through all of it every few seconds. Blinks and eyes are wide, since few points speak for them, and a
    narrow prior leaves lids ajar and gaze short of where it looks."""

    pixel: float = 0.01
    robust: float = 2.0
    shape: float = 1.0
    expr: float = 1.0
    activation: float = 0.4
    blink: float = 1.0
    neck_rad: float = 0.1
    jaw_rad: float = 0.3
    eyes_rad: float = 0.6
    log_focal: float = 0.5


@dataclass(frozen=True)
class LandmarkProblem:
    """What is fitted. head: `landmark_head` of the set `name`; detected_px (B, L, 2), weight (B, L);
    size: (height, width); given: the known camera, or None where the focal length is an unknown; shape (S,): the
    middle of the identity's prior, None for the mean head."""

    head: HeadModel
    name: str
    detected_px: Tensor
    weight: Tensor
    size: tuple[int, int]
    given: Camera | None
    prior: LandmarkPrior = LandmarkPrior()
    shape: Tensor | None = None

    def select(self, frames: Tensor) -> LandmarkProblem:
        return replace(self, detected_px=self.detected_px[frames], weight=self.weight[frames])

    def only(self, frames: Tensor) -> LandmarkProblem:
        """The same with landmarks in frames (B,) bool only; the others count as not detected."""
        return replace(self, weight=self.weight * frames.to(self.weight)[:, None])

    def near_shape(self, shape: Tensor, fixed: bool) -> LandmarkProblem:
        """The same with a known identity: fixed, or in the middle of the prior."""
        return replace(self, shape=shape, prior=replace(self.prior, shape=FIXED_SHAPE) if fixed else self.prior)

    def extent_px(self) -> Tensor:
        """(B,) longer side of the detected points' box; half the picture where there is none, the picture at most."""
        seen = self.weight > 0
        far = torch.full_like(self.detected_px, torch.inf)
        low = torch.where(seen[..., None], self.detected_px, far).amin(1)
        high = torch.where(seen[..., None], self.detected_px, -far).amax(1)
        extent = (high - low).amax(-1)
        fallback = torch.full_like(extent, max(self.size) / 2)
        return torch.where(extent > 1, extent, fallback).clamp(max=max(self.size))

    def sigma_px(self) -> Tensor:
        """(B,) standard deviation of a landmark."""
        return self.prior.pixel * self.extent_px()


def solve_landmarks(problem: LandmarkProblem, params: TrackParams, shared: bool, iterations: int = 40) -> TrackParams:
    """Improves params (B frames, the problem's) on the landmarks.

    shared: solve the focal length and the identity too, else only each frame's own unknowns. Returns new params;
    a frame without landmarks keeps its place, held by the priors. Stops when a step gains less than 1e-6 of the cost.
    """
    local = torch.cat([getattr(params, name) for name in PER_FRAME], -1)
    common = torch.cat([params.focal_length.log(), params.shape])
    sigma = problem.sigma_px()
    anchor, damping = local.clone(), 1e-3
    cost = _cost(problem, common, local, sigma, anchor)
    for _ in range(iterations):
        system = normal_equations(problem, common, local, sigma, anchor)
        improved = False
        for _ in range(6):
            step_common, step_local = solve_step(system, damping, shared)
            trial = (common + step_common, local + step_local)
            trial_cost = _cost(problem, *trial, sigma, anchor)
            if bool(trial_cost < cost):
                improved = True
                break
            damping *= 8
        if not improved:
            break
        gain = float((cost - trial_cost) / cost)
        (common, local), cost, damping = trial, trial_cost, max(damping / 8, 1e-9)
        if gain < CONVERGED_GAIN:
            break
    widths = [getattr(params, name).shape[1] for name in PER_FRAME]
    solved = dict(zip(PER_FRAME, local.split(widths, -1)))
    return replace(params, **solved, focal_length=common[:1].exp(), shape=common[1:])


def landmark_distances_px(problem: LandmarkProblem, params: TrackParams) -> Tensor:
    """(B, L) between the head's landmarks and the detected ones."""
    local = torch.cat([getattr(params, name) for name in PER_FRAME], -1)
    common = torch.cat([params.focal_length.log(), params.shape])
    return (_project(problem, common, local) - problem.detected_px).norm(dim=-1)


def _head_params(local: Tensor, shape: Tensor) -> HeadParams:
    rotation, translation, neck, jaw, eyes, expr = local.split([3, 3, 3, 3, 6, local.shape[-1] - 18], -1)
    return HeadParams(shape, expr, rotation, translation, neck, jaw, eyes)


def _camera(problem: LandmarkProblem, common: Tensor) -> Camera:
    return camera_from_focal(common[0].exp(), *problem.size) if problem.given is None else problem.given


def _points(problem: LandmarkProblem, params: HeadParams, camera: Camera) -> tuple[Tensor, Tensor]:
    """Landmarks in the world (..., L, 3) and the yaw (...,) that places the sliding ones."""
    yaw = yaw_in_camera(params, camera.T_camera_world[..., :3, :3])
    return landmark_points(problem.head, pose(problem.head, params), problem.name, yaw), yaw


def _project(problem: LandmarkProblem, common: Tensor, local: Tensor) -> Tensor:
    """Landmarks of one or several frames, (..., L, 2) px."""
    camera = _camera(problem, common)
    return camera.project(_points(problem, _head_params(local, common[1:]), camera)[0])[0]


def _projection_jacobian(problem: LandmarkProblem, common: Tensor, local: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Landmarks (B, L, 2) px and their derivatives by the shared (B, L, 2, Q) and local unknowns (B, L, 2, P).

    Focal length and joints by forward differentiation (20 directions), coefficients as posed basis vectors.
    """

    def project(focal: Tensor, moving: Tensor, fixed: Tensor) -> Tensor:
        return _project(problem, torch.cat([focal, common[1:]]), torch.cat([moving, fixed]))

    moving, fixed = local[:, :N_MOTION], local[:, N_MOTION:]
    by_focal, by_motion = vmap(jacfwd(project, argnums=(0, 1)), in_dims=(None, 0, 0))(common[:1], moving, fixed)
    params, camera = _head_params(local, common[1:]), _camera(problem, common)
    points, yaw = _points(problem, params, camera)
    slopes = camera.projection_slopes(points)
    by_coefficients = []
    for columns in coefficient_slopes(problem.head, params):
        yaws = yaw[:, None].expand(columns.shape[:2])
        moved = landmark_points(problem.head, columns, problem.name, yaws)
        by_coefficients.append(torch.einsum("blij,bklj->blik", slopes, moved))
    by_shape, by_expr = by_coefficients
    return camera.project(points)[0], torch.cat([by_focal, by_shape], -1), torch.cat([by_motion, by_expr], -1)


def _prior_scales(problem: LandmarkProblem, local: Tensor) -> Tensor:
    """(P,) standard deviations; the pose's is a whisper that holds frames without landmarks in place."""
    prior = problem.prior
    scales = [FREE] * 6 + [prior.neck_rad] * 3 + [prior.jaw_rad] * 3 + [prior.eyes_rad] * 6
    names = problem.head.expr_names
    spreads = [prior.blink if "blink" in name.lower() else prior.activation for name in names]
    return local.new_tensor(scales + (spreads or [prior.expr] * (local.shape[-1] - N_MOTION)))


def _prior_residuals(problem: LandmarkProblem, local: Tensor, anchor: Tensor) -> Tensor:
    """(B, P): joints and expression against zero, the pose against its anchor."""
    centre = torch.cat([anchor[:, :6], torch.zeros_like(anchor[:, 6:])], -1)
    return (local - centre) / _prior_scales(problem, local)


def _robust_weight(problem: LandmarkProblem, residual: Tensor) -> Tensor:
    """Cauchy weights (..., L) of residuals (..., L, 2) in standard deviations."""
    return 1 / (1 + residual.square().sum(-1) / problem.prior.robust**2)


def _shared_prior(problem: LandmarkProblem, common: Tensor) -> tuple[Tensor, Tensor]:
    """Residuals of the shared unknowns and their scales: focal length around 1.5 .. 2.5, identity around the mean."""
    scale = torch.full_like(common, problem.prior.shape)
    scale[0] = problem.prior.log_focal
    centre = torch.zeros_like(common)
    centre[0] = common.new_tensor(2.0).log()
    if problem.shape is not None:
        centre[1:] = problem.shape
    return (common - centre) / scale, scale


def _cost(problem: LandmarkProblem, common: Tensor, local: Tensor, sigma: Tensor, anchor: Tensor) -> Tensor:
    return frame_costs(problem, common, local, sigma, anchor).double().sum() + shared_cost(problem, common)


def frame_costs(problem: LandmarkProblem, common: Tensor, local: Tensor, sigma: Tensor, anchor: Tensor) -> Tensor:
    """(B,) robust landmark residuals and priors of each frame."""
    residual = (_project(problem, common, local) - problem.detected_px) / sigma[:, None, None]
    squared = residual.square().sum(-1)
    robust = problem.prior.robust**2 * torch.log1p(squared / problem.prior.robust**2)
    own = _prior_residuals(problem, local, anchor)
    return (problem.weight * robust).sum(-1) + own.square().sum(-1)


def shared_cost(problem: LandmarkProblem, common: Tensor) -> Tensor:
    """() what the shared unknowns cost by themselves."""
    return _shared_prior(problem, common)[0].square().sum()


@dataclass(frozen=True)
class NormalEquations:
    """Blocks of the normal equations: local (B, P, P), coupling (B, P, Q), shared (Q, Q), and right-hand sides."""

    local: Tensor
    coupling: Tensor
    shared: Tensor
    right_local: Tensor
    right_shared: Tensor


def normal_equations(
    problem: LandmarkProblem, common: Tensor, local: Tensor, sigma: Tensor, anchor: Tensor
) -> NormalEquations:
    parts = []
    for frames in torch.arange(len(local), device=local.device).split(CHUNK_FRAMES):
        parts.append(_frame_blocks(problem.select(frames), common, local[frames], sigma[frames], anchor[frames]))
    blocks, coupling, right_local, shared, right_shared = (list(column) for column in zip(*parts))
    prior, scale = _shared_prior(problem, common)
    shared_sum = torch.stack(shared).sum(0) + torch.diag(1 / scale**2).double()
    right_sum = torch.stack(right_shared).sum(0) - (prior / scale).double()
    return NormalEquations(torch.cat(blocks), torch.cat(coupling), shared_sum, torch.cat(right_local), right_sum)


def _frame_blocks(problem: LandmarkProblem, common: Tensor, local: Tensor, sigma: Tensor, anchor: Tensor):
    projected, by_shared, by_local = _projection_jacobian(problem, common, local)
    value = (projected - problem.detected_px) / sigma[:, None, None]
    weight = (problem.weight * _robust_weight(problem, value)).sqrt()[..., None]
    value = (value * weight).flatten(1)
    weight = weight / sigma[:, None, None]
    by_shared = (by_shared * weight[..., None]).flatten(1, 2)
    by_local = (by_local * weight[..., None]).flatten(1, 2)
    prior, precision = _prior_residuals(problem, local, anchor), 1 / _prior_scales(problem, local)
    blocks = by_local.mT @ by_local + torch.diag(precision**2)
    right = -(by_local.mT @ value[..., None]).squeeze(-1) - prior * precision
    shared = torch.einsum("bnq,bnr->qr", by_shared, by_shared)
    right_shared = -torch.einsum("bnq,bn->q", by_shared, value)
    coupling = by_local.mT @ by_shared
    return blocks.double(), coupling.double(), right.double(), shared.double(), right_shared.double()


def solve_step(system: NormalEquations, damping: float, shared: bool) -> tuple[Tensor, Tensor]:
    """Marquardt step of the shared unknowns (zero where they are held) and of every frame's own."""
    local = system.local + damping * torch.diag_embed(system.local.diagonal(dim1=-2, dim2=-1))
    if not shared:
        step = torch.linalg.solve(local, system.right_local)
        return torch.zeros_like(system.right_shared).float(), step.float()
    stacked = torch.cat([system.coupling, system.right_local[..., None]], -1)
    eliminated = torch.linalg.solve(local, stacked)
    by_coupling, by_right = eliminated[..., :-1], eliminated[..., -1]
    reduced = system.shared + damping * torch.diag(system.shared.diagonal())
    reduced = reduced - (system.coupling.mT @ by_coupling).sum(0)
    right = system.right_shared - (system.coupling.mT @ by_right[..., None]).sum(0).squeeze(-1)
    step_shared = torch.linalg.solve(reduced, right)
    step_local = by_right - by_coupling @ step_shared
    return step_shared.float(), step_local.float()
