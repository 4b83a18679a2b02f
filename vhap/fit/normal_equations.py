"""Normal equations of frames that share unknowns: blocks of the frames, of what they share, and between both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from vhap.fit.params import CAMERA, PER_FRAME, TrackParams
from vhap.fit.residuals.mean_expression import MeanExpression


@dataclass(frozen=True)
class NormalEquations:
    """Of B frames with P unknowns each and Q that they share: frames (B, P, P), coupling (B, P, Q), shared (Q, Q), and
    the right-hand sides."""

    frames: Tensor
    coupling: Tensor
    shared: Tensor
    right_frames: Tensor
    right_shared: Tensor


def empty_equations(frames: int, per_frame: int, shared: int, device: torch.device) -> NormalEquations:
    """Zeros, to which the equations of single pictures are added."""

    def zeros(*shape: int) -> Tensor:
        return torch.zeros(shape, dtype=torch.double, device=device)

    return NormalEquations(
        frames=zeros(frames, per_frame, per_frame),
        coupling=zeros(frames, per_frame, shared),
        shared=zeros(shared, shared),
        right_frames=zeros(frames, per_frame),
        right_shared=zeros(shared),
    )


def free_unknowns(params: TrackParams, names: Sequence[str], n_lights: int = 0) -> tuple[Tensor, Tensor]:
    """1 for each unknown that may move, 0 for the others: of a frame (P,), and shared ones: camera
    (N_CAMERA), shape (S,), lights."""
    frame = [(name, getattr(params, name).shape[1]) for name in PER_FRAME]
    shared = [*((name, 1) for name in CAMERA), ("shape", len(params.shape)), ("lights", n_lights)]
    like = params.shape.double()
    free = [torch.cat([like.new_full((width,), name in names) for name, width in part]) for part in (frame, shared)]
    return free[0], free[1]


def hold(
    equations: NormalEquations, params: TrackParams, names: Sequence[str], n_lights: int = 0
) -> tuple[NormalEquations, Tensor, Tensor]:
    """The equations with the unknowns that are not in names kept where they are, and 1 for each that is free: of a
    frame (P,), of the shared ones."""
    frame, shared = free_unknowns(params, names, n_lights)
    shared = shared[: len(equations.right_shared)]
    if bool(frame.all()) and bool(shared.all()):
        return equations, frame, shared
    held = NormalEquations(
        frames=equations.frames * torch.outer(frame, frame) + torch.diag(1 - frame),
        coupling=equations.coupling * torch.outer(frame, shared),
        shared=equations.shared * torch.outer(shared, shared) + torch.diag(1 - shared),
        right_frames=equations.right_frames * frame,
        right_shared=equations.right_shared * shared,
    )
    return held, frame, shared


def with_mean(equations: NormalEquations, mean: MeanExpression, free: Tensor) -> NormalEquations:
    """The equations with the prior of the mean expression, whose K multipliers stand behind the shared unknowns;
    free (P,): 0 for a frame's unknowns that are held."""
    count = len(mean.columns)
    shared = pad(equations.shared, (0, count, 0, count))
    shared[-count:, -count:] = mean.curvature()
    return NormalEquations(
        frames=equations.frames,
        coupling=torch.cat([equations.coupling, mean.coupling(free)], -1),
        shared=shared,
        right_frames=equations.right_frames - mean.gradient(len(free)).double() * free,
        right_shared=pad(equations.right_shared, (0, count)),
    )
