"""The whole conversion: identity, offsets, then every frame, then the eyes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vhap.fit.conversion.eyes import copied_gaze
from vhap.fit.conversion.offsets import smooth_offset, teeth_behind_lips
from vhap.fit.conversion.problem import (
    ConversionPrior,
    ConversionProblem,
    chosen_vertices,
    normals_at,
    point_axes,
    skinned,
)
from vhap.fit.conversion.solver import solve
from vhap.fit.params import PER_FRAME, TrackParams, initial_params
from vhap.fit.residuals.motion import N_MOTION
from vhap.geometry.rotations import axis_angle_to_matrix
from vhap.head.model import HeadModel, HeadParams, pose, zero_params
from vhap.head.registration.correspondence import Correspondence
from vhap.render.shading import uniform_lights
from vhap.util.progress import progress

KEYFRAMES = 12
"""That join the neutral head where the identity is found."""
NEUTRAL_EMPHASIS = 10.0
"""The neutral head counts as so many frames: it has no expression that could stand for a part of the identity."""
WINDOW, OVERLAP = 256, 8
"""Frames that are solved at once, and how many of them the next ones repeat."""
MOVING = ("rotation", "translation", "neck_pose", "jaw_pose", "expr")
IDENTITY_ROUNDS, KEY_ROUNDS, FRAME_ROUNDS = 6, 8, 15


@dataclass(frozen=True)
class Motion:
    """A source's head in T frames. params: of all frames, its static offset and moving ones in one (V, 3) or (T, V, 3);
    timesteps (T,): frames that follow each other differ by one."""

    head: HeadModel
    params: HeadParams
    timesteps: Tensor

    @property
    def count(self) -> int:
        return len(self.params.rotation)

    def vertices(self, rows: slice | list[int]) -> Tensor:
        """(B, W, 3)."""
        return pose(self.head, self.rows(rows))

    def rows(self, rows: slice | list[int]) -> HeadParams:
        """Those frames, of a head without scale."""
        moving = {name: getattr(self.params, name)[rows] for name in PER_FRAME}
        offset = self.params.static_offset
        if offset is not None and offset.ndim == 3:
            offset = offset[rows]
        return replace(self.params, **moving, static_offset=offset, scale=None)

    def neutral(self) -> Tensor:
        """(1, W, 3): the person without expression, at the origin."""
        offset = self.params.static_offset
        if offset is not None and offset.ndim == 3:
            offset = offset.mean(0)
        zero = zero_params(self.head, (1,))
        return pose(self.head, replace(zero, shape=self.params.shape, static_offset=offset))


@dataclass(frozen=True)
class Converted:
    """params: the target's in all frames, without offset; offset (V, 3) metres: what the target's identity leaves of
    the source's neutral head."""

    params: TrackParams
    offset: Tensor


@torch.no_grad()
def convert(motion: Motion, target: HeadModel, match: Correspondence) -> Converted:
    """The target's parameters that lay its surface onto the source's, in every frame.

    Expressions are fitted upon the target with its offset, so that a face that the target's identity cannot be is no
    expression."""
    ids, weights = chosen_vertices(target, match)
    fitting = _Fitting(motion, target, match, ids, weights)
    neutral, shape = fitting.neutral()
    keys = torch.linspace(0, motion.count - 1, min(KEYFRAMES, motion.count)).round().long().tolist()
    shape = fitting.identity(neutral, shape, keys)
    offset, neutral = fitting.offset(neutral, shape)
    frames = fitting.frames(shape, offset)
    return Converted(frames, offset)


@dataclass(frozen=True)
class _Fitting:
    motion: Motion
    target: HeadModel
    match: Correspondence
    ids: Tensor
    weights: Tensor

    def neutral(self) -> tuple[TrackParams, Tensor]:
        """The neutral head alone: its pose, and the identity (S,) to begin with."""
        vertices = self.motion.neutral()
        problem = self._problem(vertices, None, torch.zeros(1), zero_params(self.motion.head, (1,)).neck_pose)
        start = initial_params(self.target, 1, 1, uniform_lights())
        start = self._placed(start, problem)
        held = torch.zeros_like(problem.held)
        held[:, 6:] = True
        solved = solve(replace(problem, held=held), start, ("shape", "rotation", "translation"), IDENTITY_ROUNDS)
        return solved, solved.shape

    def identity(self, neutral: TrackParams, shape: Tensor, keys: list[int]) -> Tensor:
        """(S,) of the neutral head and of some frames together."""
        motion = self.motion
        vertices = torch.cat([motion.neutral(), motion.vertices(keys)])
        necks = torch.cat([torch.zeros(1, 3), motion.params.neck_pose[keys]])
        # Frames by themselves: none follows another.
        problem = self._problem(vertices, None, torch.arange(len(vertices)) * 2, necks)
        held = torch.zeros_like(problem.held)
        held[0, 6:] = True
        emphasis = torch.ones(len(vertices))
        emphasis[0] = NEUTRAL_EMPHASIS
        start = self._start(motion.rows(keys), shape)
        start = start.mapped(
            lambda name, value: torch.cat([getattr(neutral, name), value]) if name in PER_FRAME else value
        )
        problem = replace(problem, held=held, emphasis=emphasis)
        start = solve(problem, self._placed(start, problem), MOVING, 2)
        return solve(problem, start, (*MOVING, "shape"), KEY_ROUNDS).shape

    def offset(self, neutral: TrackParams, shape: Tensor) -> tuple[Tensor, TrackParams]:
        """(V, 3): what is left of the neutral head, in its own axes; and its pose."""
        vertices = self.motion.neutral()
        problem = self._problem(vertices, None, torch.zeros(1), torch.zeros(1, 3))
        held = torch.zeros_like(problem.held)
        held[:, 6:] = True
        start = replace(neutral, shape=shape)
        solved = solve(replace(problem, held=held), start, ("rotation", "translation"), IDENTITY_ROUNDS)
        own = pose(self.target, solved.head())[0]
        turn = axis_angle_to_matrix(solved.rotation[0])
        left = (self.match.points(self.motion.head, vertices)[0] - own) @ turn
        smooth = smooth_offset(self.target, left, self.match.weights)
        return teeth_behind_lips(self.target, smooth, shape), solved

    def frames(self, shape: Tensor, offset: Tensor) -> TrackParams:
        """Every frame, window by window."""
        parts = []
        for window, kept in progress(list(_windows(self.motion.count)), "converting"):
            source = self.motion.rows(window)
            vertices = pose(self.motion.head, source)
            problem = self._problem(vertices, offset, self.motion.timesteps[window], source.neck_pose)
            start = self._placed(self._start(source, shape), problem)
            solved = solve(problem, start, MOVING, FRAME_ROUNDS, smooth=True)
            parts.append(solved.rows(torch.arange(len(vertices))[kept]))
        whole = parts[0].mapped(
            lambda name, _: torch.cat([getattr(part, name) for part in parts]) if name in PER_FRAME else _
        )
        gaze = copied_gaze(self.motion.head, self.motion.rows(slice(None)), whole.head(), self.target)
        return replace(whole, eyes_pose=gaze)

    def _start(self, source: HeadParams, shape: Tensor) -> TrackParams:
        """The source's joints, where both heads have them, and no expression."""
        start = initial_params(self.target, len(source.rotation), 1, uniform_lights())
        jaw = source.jaw_pose if self.motion.head.has_jaw and self.target.has_jaw else start.jaw_pose
        return replace(
            start,
            shape=shape,
            rotation=source.rotation.clone(),
            neck_pose=source.neck_pose.clone(),
            eyes_pose=source.eyes_pose.clone(),
            jaw_pose=jaw.clone(),
        )

    def _placed(self, start: TrackParams, problem: ConversionProblem) -> TrackParams:
        """Moved so that points lie about their goals in the mean."""
        own = pose(self.target, start.head())[:, self.ids]
        share = (self.weights / self.weights.sum())[:, None]
        return replace(start, translation=start.translation + ((problem.goals - own) * share).sum(1))

    def _problem(self, vertices: Tensor, offset: Tensor | None, timesteps: Tensor, neck: Tensor) -> ConversionProblem:
        goals, normals = normals_at(self.motion.head, vertices, self.match, self.ids)
        held = torch.zeros(len(vertices), N_MOTION + self.target.n_expr, dtype=torch.bool)
        held[:, 9:12] = not self.target.has_jaw
        held[:, 12:18] = True
        return ConversionProblem(
            head=self.target,
            points=skinned(self.target, offset, self.ids),
            goals=goals,
            axes=point_axes(normals, self.weights),
            timesteps=timesteps,
            emphasis=torch.ones(len(vertices)),
            neck=neck,
            held=held,
            prior=ConversionPrior(),
        )


def _windows(count: int) -> Iterator[tuple[slice, slice]]:
    """Frames solved at once, and which of these are kept."""
    first = 0
    while first < count:
        begin, end = max(0, first - OVERLAP), min(count, first + WINDOW)
        stop = min(count, end + OVERLAP)
        yield slice(begin, stop), slice(first - begin, end - begin)
        first = end
