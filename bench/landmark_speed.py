"""Seconds of the landmark estimator: the first guess, and the stages of `--exp.no-photometric` after it.

    OMP_NUM_THREADS=1 python bench/landmark_speed.py                       # the built-in head and one of 300 + 100
    OMP_NUM_THREADS=1 python bench/landmark_speed.py --heads ict --frames 300 --threads 2

Landmarks are those of a head that turns, talks and blinks, with noise; there are no pictures, and nothing is read. Wall
time, the least of several runs. The checksum is of the solved unknowns: it depends on the machine, and not on the
number of threads.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from tables import markdown_table

from vhap.cli import parse
from vhap.config.ranges import Count
from vhap.util.errors import exits_cleanly

if TYPE_CHECKING:
    from vhap.fit.params import TrackParams
    from vhap.fit.residuals.landmark_problem import LandmarkProblem
    from vhap.head.model import HeadModel

Head = Literal["builtin", "ict", "gnm", "flame", "flame-like"]
POINTS = {"builtin": "mediapipe", "ict": "mediapipe", "gnm": "mediapipe", "flame": "ibug", "flame-like": "ibug"}
SIDE, NOISE_PX, N_POINTS, INIT_FRAMES = 512, 0.7, 478, 16
N_SHAPE, N_EXPR, MODE_M = 300, 100, 0.002
"""Coefficients of the head that is made like FLAME's, and the size of its first modes."""


@dataclass(frozen=True)
class LandmarkSpeedConfig:
    heads: tuple[Head, ...] = ("builtin", "flame-like")
    """flame-like: the built-in head with 300 + 100 smooth random modes and pose correctives. flame and flame-like have
    70 points, the others 478."""
    frames: Count = 60
    """Length of the sequence."""
    threads: Count = 2
    """Python threads."""
    repeats: Count = 1
    """Timed runs, of which the fastest counts."""


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(LandmarkSpeedConfig, __doc__, args)
    import torch

    from vhap.util.threads import set_threads

    torch.set_num_threads(1)
    set_threads(config.threads)
    rows = []
    for name in config.heads:
        head = head_of(name)
        problem, start, truth = filmed(head, POINTS[name], config.frames)
        measured = [measure(problem, start) for _ in range(config.repeats)]
        (guess, stages, work), params = min(measured, key=lambda one: sum(one[0][:2]))
        error_mm = 1000 * float(face_error_m(head, params, truth))
        figures = [
            f"{guess:.2f}",
            f"{stages:.2f}",
            f"{work:.2f}",
            f"{config.frames / (guess + stages):.0f}",
            f"{error_mm:.3f}",
        ]
        rows.append([name, str(problem.weight.shape[2]), str(config.frames), *figures, checksum(params)])
    names = [
        "head",
        "points",
        "frames",
        "first guess, s",
        "stages, s",
        "processor, s",
        "frames a second",
        "face, mm",
        "checksum",
    ]
    print(markdown_table(names, rows))


def measure(problem: LandmarkProblem, start: TrackParams) -> tuple[tuple[float, float, float], TrackParams]:
    """Seconds of the first guess, of the stages, and of all threads' work on both; and what was found."""
    from vhap.fit.landmarks.first_guess import follow_landmarks, guess_from_landmarks, solve_person
    from vhap.fit.stages import LANDMARK_ROUNDS

    begun, worked = time.perf_counter(), time.process_time()
    guess = guess_from_landmarks(problem, start, INIT_FRAMES)
    guessed = time.perf_counter()
    kept, found, params = problem.only(guess.found), guess.found.any(1), guess.params
    for work in (solve_person, solve_person, follow_landmarks, solve_person, follow_landmarks):
        params = work(kept, params, found, iterations=LANDMARK_ROUNDS)
    return (guessed - begun, time.perf_counter() - guessed, time.process_time() - worked), params


def face_error_m(head: HeadModel, params: TrackParams, truth: TrackParams):
    """() mean distance of the face's vertices in the world, where heads stand at their true places."""
    from vhap.head.model import pose

    ids = head.regions["face"]
    small = head.keep_vertices(ids)
    found, right = (pose(small, one.head()) for one in (params, truth))
    found = found - found.mean(1, keepdim=True) + right.mean(1, keepdim=True)
    return (found - right).norm(dim=-1).mean()


def checksum(params: TrackParams) -> str:
    from vhap.fit.params import as_vectors

    return hashlib.sha256(b"".join(part.numpy().tobytes() for part in as_vectors(params))).hexdigest()[:8]


def head_of(name: Head) -> HeadModel:
    from vhap.head.load import load_head

    head = like_flame(load_head("builtin")) if name == "flame-like" else load_head(name)
    return head if POINTS[name] in head.landmarks else with_points(head)


def with_points(head: HeadModel) -> HeadModel:
    """The same head with as many points as MediaPipe's, spread over the face's vertices."""
    import torch

    from vhap.head.landmark_files import vertex_landmarks

    face = head.regions["face"]
    chosen = face[torch.linspace(0, len(face) - 1, N_POINTS).long()]
    return replace(head, landmarks={**head.landmarks, "mediapipe": vertex_landmarks(head.faces, chosen)})


def like_flame(head: HeadModel) -> HeadModel:
    """The same head with as many anonymous modes as FLAME's, waves across it that get finer and smaller, with pose
    correctives, and a jaw line of as many rows."""
    import torch

    from vhap.head.model import JawLine

    random = torch.Generator().manual_seed(0)
    count, places = N_SHAPE + N_EXPR, head.template / head.template.abs().max()
    order = torch.cat([torch.arange(N_SHAPE), torch.arange(N_EXPR)])
    waves = (1 + order / 20) * torch.randn(3, count, generator=random)
    heights = torch.sin(places @ waves + 6.28 * torch.rand(count, generator=random))
    towards = torch.nn.functional.normalize(torch.randn(3, count, generator=random), dim=0)
    modes = MODE_M / (1 + order / 20) * heights[:, None] * towards
    points = head.landmarks["ibug"]
    return replace(
        head,
        shape_basis=modes[..., :N_SHAPE].contiguous(),
        expr_basis=modes[..., N_SHAPE:].contiguous(),
        joint_shape_basis=modes[:: head.n_vertices // 5][:5, :, :N_SHAPE].contiguous(),
        pose_basis=1e-3 * torch.randn(head.n_vertices, 3, 36, generator=random),
        jaw_line=JawLine(points.face_ids[:17].expand(79, 17), points.barycentrics[:17].expand(79, 17, 3)),
        shape_names=(),
        expr_names=(),
    )


def filmed(head: HeadModel, name: str, frames: int) -> tuple[LandmarkProblem, TrackParams, TrackParams]:
    """Noisy landmarks before the uncalibrated camera, where the search starts, and the truth."""
    import torch

    from vhap.fit.params import as_vectors, initial_params
    from vhap.fit.residuals.landmark_problem import LandmarkProblem
    from vhap.head.model import landmark_head
    from vhap.render.shading import uniform_lights

    random = torch.Generator().manual_seed(1)
    start = initial_params(head, frames, 1, uniform_lights())
    time_s = torch.arange(frames) / 25
    wave = torch.sin(time_s[:, None] * (1 + 2 * torch.rand(head.n_expr, generator=random)) + torch.arange(head.n_expr))
    size = 0.3 if head.has_activations else 0.5
    truth = replace(
        start,
        rotation=torch.stack([0.15 * torch.cos(1.5 * time_s), 0.5 * torch.sin(time_s), 0.1 * torch.sin(time_s)], -1),
        translation=torch.stack([0.02 * torch.sin(time_s), 0.01 * torch.cos(time_s), 0.03 * torch.sin(time_s)], -1),
        expr=size * (wave.clamp(min=0) if head.has_activations else wave),
        shape=0.7 * torch.randn(head.n_shape, generator=random),
        focal_length=torch.full((1,), 1.8),
    )
    small = landmark_head(head, name)
    count = len(small.landmarks[name].face_ids)
    blank = torch.zeros(frames, 1, count, 2)
    problem = LandmarkProblem(small, name, blank, torch.ones(blank.shape[:3]), torch.arange(frames), (SIDE, SIDE), None)
    exact = problem.project(*as_vectors(truth))
    noise = NOISE_PX * torch.randn(exact.shape, generator=random)
    return replace(problem, detected_px=exact + noise), start, truth


if __name__ == "__main__":
    main()
