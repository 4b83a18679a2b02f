"""Frames solved one after the other as they come, the identity held: a window of frames that lean on each other.

Landmarks of a frame become normal equations once, where the frame was when it came (twice or three times while it is
the newest). A window of such blocks, joined by the motion prior, is a banded system of a few milliseconds: frames that
came before are smoothed by those that follow without being looked at again (a fixed-lag smoother; Moore 1973). Frames
that leave the window stay as they are, and those after them lean on the last two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from vhap.fit.landmarks.equations import frame_costs, normal_equations
from vhap.fit.landmarks.first_guess import pose_from_landmarks
from vhap.fit.params import PER_FRAME, TrackParams, as_vectors, from_vectors
from vhap.fit.residuals.landmark_problem import LandmarkProblem
from vhap.fit.residuals.motion import Motion, factored_chain, motion_of

LEAST_WINDOW, TIED = 4, 2
"""Frames that may still move, however small the lag is; those before them on which they lean."""
ROUNDS, BESIDE_PICTURE, FIRST_ROUNDS, PICTURE_ROUNDS = 2, 1, 8, 2
"""Times that the newest frame's landmarks are looked at: where the frame before is known, the same where its picture is
looked at after that, and where no frame before is known; times that its picture is."""
FROM_MOTION = 3
"""Frames from which on the next one begins where the last two lead to: the first, which none went before, may be
centimetres off in its distance, and its step to the second is no motion."""
HALVINGS, LEAST_GAIN = 3, 1e-3
DAMPING = 1e-4
ROTATION, POSE = slice(0, 3), slice(0, 6)


@dataclass(frozen=True)
class FrameEquations:
    """What one frame says of its own unknowns about `at` (P,): curvature (P, P) and right-hand side (P,), in double."""

    at: Tensor
    curvature: Tensor
    right: Tensor

    def right_at(self, unknowns: Tensor) -> Tensor:
        """(P,) the right-hand side at other unknowns (P,)."""
        return self.right - self.curvature @ (unknowns - self.at).double()


@dataclass(frozen=True)
class OnlineFrame:
    """One frame of the window. time_s: when it was taken; unknowns (P,): as they are known now; tag: what the caller
    wants to have back with it."""

    time_s: float
    unknowns: Tensor
    equations: FrameEquations
    tag: Any


Due = tuple[TrackParams | None, Any]
"""A frame that is given out: its unknowns, None where its landmarks are no head's, and its tag."""
Look = Callable[[TrackParams], FrameEquations | None]
"""Equations of a frame by its picture and its landmarks, about given unknowns; None where the picture says nothing."""
Looking = Callable[[LandmarkProblem], Look]
"""A look at the frame with those landmarks."""
SolverState = tuple[list[OnlineFrame], list[Tensor], int]


class OnlineSolver:
    """Follows one person whose identity and camera are known.

    problem: the person's landmarks, of any frames, whose points are replaced by each frame's; params: one frame, whose
    shared tensors are the person's. lag: so many frames a frame waits for those after it before it is given out.
    gap_s: a longer time without a frame and the next one is a new beginning.
    """

    def __init__(self, problem: LandmarkProblem, params: TrackParams, lag: int, gap_s: float = 0.2) -> None:
        self.problem, self.params, self.lag, self.gap_s = problem, params.rows(torch.tensor([0])), lag, gap_s
        self.shared = as_vectors(self.params)[0]
        self.window: list[OnlineFrame] = []
        self.tied: list[Tensor] = []
        self.waiting = 0

    def of_frame(self, pixels: Tensor, weight: Tensor) -> LandmarkProblem:
        """The problem of one frame: landmarks (L, 2) px and their weights (L,)."""
        return replace(
            self.problem, detected_px=pixels[None, None], weight=weight[None, None], timesteps=torch.zeros(1).long()
        )

    def predicted(self, time_s: float) -> Tensor | None:
        """(1, P) unknowns of a frame at a time, as the last two move on, as the last one where there are fewer than
        three; None where none went before."""
        last = self.window[-1:]
        if not last or time_s - last[0].time_s > self.gap_s:
            return None
        if len(self.window) < FROM_MOTION:
            return last[0].unknowns[None].clone()
        before, now = self.window[-2:]
        share = min(2.0, (time_s - now.time_s) / max(1e-6, now.time_s - before.time_s))
        guess = now.unknowns.clone()
        guess[POSE] += share * (now.unknowns - before.unknowns)[POSE]
        return guess[None]

    @torch.inference_mode()
    def add(
        self,
        time_s: float,
        pixels: Tensor,
        weight: Tensor,
        tag: Any = None,
        looking: Looking | None = None,
        looks: int = PICTURE_ROUNDS,
    ) -> list[Due]:
        """One more frame: landmarks (L, 2) px, weights (L,); looking: how its picture is looked at, `looks` times.
        Returns the frames that have waited long enough, with their tags, in order."""
        problem = self.of_frame(pixels, weight)
        start = self.predicted(time_s)
        done: list[Due] = []
        if start is None:
            done = self.flush()
            placed, found = pose_from_landmarks(problem, self._neutral())
            if not bool(found.any()):
                return [*done, (None, tag)]
            start = as_vectors(placed)[1]
        self._join(problem, start, time_s, tag, ROUNDS if looking is None else BESIDE_PICTURE)
        if looking is not None:
            self._look(looking(problem), looks)
        self._move()
        self.waiting += 1
        return done + self._due()

    def flush(self) -> list[Due]:
        """The frames that still wait, as the head was lost or nothing more comes; the next one is a new beginning."""
        rest = self.window[len(self.window) - self.waiting :] if self.waiting else []
        self.window, self.tied, self.waiting = [], [], 0
        return [(self._params_of(frame.unknowns), frame.tag) for frame in rest]

    def change(self, problem: LandmarkProblem, params: TrackParams) -> list[Due]:
        """Another estimate of the person: as `flush`, and what follows is solved with it."""
        rest = self.flush()
        self.problem, self.params = problem, params.rows(torch.tensor([0]))
        self.shared = as_vectors(self.params)[0]
        return rest

    def state(self) -> SolverState:
        """All that frames have changed, for `restore`."""
        return list(self.window), list(self.tied), self.waiting

    def restore(self, state: SolverState) -> None:
        """As it was when it had that state: frames since then have not come."""
        self.window, self.tied, self.waiting = list(state[0]), list(state[1]), state[2]

    def newest(self) -> TrackParams | None:
        """The last frame as it is known now."""
        return self._params_of(self.window[-1].unknowns) if self.window else None

    def _neutral(self) -> TrackParams:
        return replace(self.params, **{name: torch.zeros_like(getattr(self.params, name)) for name in PER_FRAME})

    def _params_of(self, unknowns: Tensor) -> TrackParams:
        return from_vectors(self.params, self.shared, unknowns[None])

    def _join(self, problem: LandmarkProblem, start: Tensor, time_s: float, tag: Any, rounds: int) -> None:
        """Adds a frame to the window and solves it there, the newest one looked at anew in every round."""
        sigma, anchor = problem.sigma_px(), start.clone()
        is_first = not self.window
        self.window.append(OnlineFrame(time_s, start[0], self._equations(problem, start, sigma, anchor), tag))
        for index in range(FIRST_ROUNDS if is_first else rounds):
            if index:
                equations = self._equations(problem, self.window[-1].unknowns[None], sigma, anchor)
                self.window[-1] = replace(self.window[-1], equations=equations)
            begun = self.window[-1].unknowns
            self._move_newest()
            if is_first and not self._settled(problem, begun, sigma, anchor):
                break

    def _look(self, look: Look, looks: int) -> None:
        """Moves the newest frame by its picture."""
        for _ in range(looks):
            seen = look(self._params_of(self.window[-1].unknowns))
            if seen is None:
                return
            self.window[-1] = replace(self.window[-1], equations=seen)
            self._move_newest()

    def _settled(self, problem: LandmarkProblem, begun: Tensor, sigma: Tensor, anchor: Tensor) -> bool:
        """Makes the step of a frame that stands alone shorter until it gains something; whether more are worth it."""
        cost = frame_costs(problem, self.shared, begun[None], sigma, anchor)
        for _ in range(HALVINGS):
            here = self.window[-1].unknowns
            moved = frame_costs(problem, self.shared, here[None], sigma, anchor)
            if bool(moved < cost):
                return float(cost - moved) > LEAST_GAIN * float(cost)
            self.window[-1] = replace(self.window[-1], unknowns=(here + begun) / 2)
        self.window[-1] = replace(self.window[-1], unknowns=begun)
        return False

    def _equations(self, problem: LandmarkProblem, unknowns: Tensor, sigma: Tensor, anchor: Tensor) -> FrameEquations:
        sums = normal_equations(problem, self.shared, unknowns, sigma, anchor, with_shared=False)
        return FrameEquations(unknowns[0], sums.frames[0], sums.right_frames[0])

    def _move(self) -> None:
        """One step of all frames of the window."""
        motion = self._motion_of(self.tied, [frame.unknowns for frame in self.window])
        blocks = torch.stack([frame.equations.curvature for frame in self.window])
        right = torch.stack([frame.equations.right_at(frame.unknowns) for frame in self.window])
        band = factored_chain(blocks, motion, DAMPING * blocks.diagonal(dim1=1, dim2=2))
        step = band.solve((right - motion.gradient)[..., None])[..., 0].float()
        self.window = [
            replace(frame, unknowns=frame.unknowns + own) for frame, own in zip(self.window, step, strict=True)
        ]

    def _move_newest(self) -> None:
        """One step of the newest frame, the others held."""
        *held, newest = self.window
        before = [*self.tied, *(frame.unknowns for frame in held)][-TIED:]
        motion = self._motion_of(before, [newest.unknowns])
        equations = newest.equations
        curvature = equations.curvature + torch.diag(motion.own[0].double() + DAMPING * equations.curvature.diagonal())
        right = equations.right_at(newest.unknowns) - motion.gradient[0]
        step = torch.cholesky_solve(right[:, None], torch.linalg.cholesky(curvature))[:, 0].float()
        self.window[-1] = replace(newest, unknowns=newest.unknowns + step)

    def _motion_of(self, before: list[Tensor], frames: list[Tensor]) -> Motion:
        """The motion prior of frames that follow each other, tied to those before."""
        unknowns = torch.stack([*before, *frames])
        times, names = torch.arange(len(unknowns)), self.problem.head.expr_names
        motion = motion_of(self.problem.prior.motion, unknowns, times, names)
        return motion.rows(torch.arange(len(before), len(unknowns)))

    def _due(self) -> list[Due]:
        """Frames that have waited for `lag` others; what the window no longer needs is tied."""
        done = []
        while self.waiting > self.lag:
            frame = self.window[len(self.window) - self.waiting]
            done.append((self._params_of(frame.unknowns), frame.tag))
            self.waiting -= 1
        while len(self.window) > max(LEAST_WINDOW, self.lag + 1):
            self.tied = [*self.tied, self.window[0].unknowns][-TIED:]
            self.window = self.window[1:]
        return done
