"""Where the optimisation starts: pose in closed form from landmarks, then a few second-order steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from vhap.fit.landmarks.equations import frame_costs
from vhap.fit.landmarks.false_detections import find_brief_faces, find_misfits
from vhap.fit.landmarks.focal_length import log_focal_spread
from vhap.fit.landmarks.noise import trusted_pixel
from vhap.fit.landmarks.solver import LANDMARK_UNKNOWNS, solve_landmarks
from vhap.fit.params import CAMERA, PER_FRAME, TrackParams, as_vectors
from vhap.fit.residuals.landmark_problem import LandmarkProblem
from vhap.geometry.cameras import Camera
from vhap.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from vhap.head.model import landmark_points
from vhap.util.threads import in_threads, one_torch_thread

OPENGL_FROM_OPENCV = np.diag([1.0, -1.0, -1.0])
NO_DISTORTION = np.zeros(4)
MIN_POINTS = 6
MOST_SOLVED_TOGETHER = 96
SOLVED_AT_A_TIME, OVERLAP = 64, 8
MOST_ITERATIONS = 40


def pose_from_landmarks(problem: LandmarkProblem, params: TrackParams) -> tuple[TrackParams, Tensor]:
    """Rotation and translation of every frame by perspective-n-point (SQPnP, Terzakis and Lourakis 2020).

    Of the poses that several cameras find, the one counts that explains all of them best. Frames in which no camera
    sees 6 points take the pose between their neighbours'. Returns the params and (B, C) bool: the pictures that gave a
    pose.
    """
    points = landmark_points(problem.head, problem.head.template, problem.name).cpu().numpy().astype(np.float64)
    shared, _ = as_vectors(params)
    cameras = _pinholes(problem.cameras(shared))
    root = problem.head.joint_template[0].cpu().numpy().astype(np.float64)
    seen, detected_px = (problem.weight > 0).cpu().numpy(), problem.detected_px.cpu().numpy()
    found = torch.zeros(problem.weight.shape[:2], dtype=torch.bool)
    rotation, translation = params.rotation.clone(), params.translation.clone()

    def solve(picture: tuple[int, int]) -> tuple[np.ndarray, np.ndarray] | None:
        kept = seen[picture]
        return _solve_pnp(points[kept], detected_px[picture][kept], cameras[picture[1]][0])

    every = in_threads(solve, [(frame, camera) for frame in range(seen.shape[0]) for camera in range(seen.shape[1])])
    for frame in range(params.n_timesteps):
        candidates = []
        for index, (_, T_world_camera) in enumerate(cameras):
            solved = next(every)
            if solved is None:
                continue
            matrix = T_world_camera[:3, :3] @ solved[0]
            position = T_world_camera[:3, :3] @ solved[1] + T_world_camera[:3, 3]
            turn = matrix_to_axis_angle(torch.from_numpy(matrix))
            candidates.append(torch.cat([turn, torch.from_numpy(position + matrix @ root - root)]))
            found[frame, index] = True
        if candidates:
            best = _best_pose(problem, params, frame, torch.stack(candidates).to(rotation))
            rotation[frame], translation[frame] = best[:3], best[3:]
    guess = fill_between(replace(params, rotation=rotation, translation=translation), found.any(1))
    return replace(guess, rotation=without_jumps(guess.rotation)), found


def _best_pose(problem: LandmarkProblem, params: TrackParams, frame: int, poses: Tensor) -> Tensor:
    """The one of poses (N, 6) that explains a frame's landmarks in all cameras best."""
    if len(poses) == 1:
        return poses[0]
    rows = torch.full((len(poses),), frame)
    shared, per_frame = as_vectors(params.rows(rows))
    per_frame = torch.cat([poses, per_frame[:, 6:]], 1)
    several = problem.select(rows)
    return poses[frame_costs(several, shared, per_frame, several.sigma_px(), per_frame).argmin()]


def _pinholes(cameras: Camera) -> list[tuple[np.ndarray, np.ndarray]]:
    """Intrinsics (3, 3) and camera-to-world (4, 4) of each camera, float64."""
    fx, fy, cx, cy = (getattr(cameras, name).double().cpu().numpy() for name in ("fx", "fy", "cx", "cy"))
    T_world_camera = torch.linalg.inv(cameras.T_camera_world.double()).cpu().numpy()
    return [
        (np.array([[fx[c], 0, cx[c]], [0, fy[c], cy[c]], [0, 0, 1]]), T_world_camera[c])
        for c in range(len(T_world_camera))
    ]


def without_jumps(rotation: Tensor) -> Tensor:
    """(T, 3) axis-angle, each of its two forms (angle and angle - 2 pi) chosen nearest to the frame before."""
    chosen = [rotation[0]]
    for vector in rotation[1:]:
        angle = vector.norm()
        other = vector * (1 - 2 * math.pi / angle.clamp(min=1e-6)) if angle > 1e-6 else vector
        chosen.append(min(vector, other, key=lambda form: float((form - chosen[-1]).norm())))
    return torch.stack(chosen)


def _solve_pnp(points: np.ndarray, pixels: np.ndarray, intrinsics: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Rotation (3, 3) and translation (3,) in OpenGL camera axes, or None where there is no plausible answer."""
    if len(points) < MIN_POINTS:
        return None
    pixels = np.ascontiguousarray(pixels, np.float64)
    good, turn, shift = cv2.solvePnP(points, pixels, intrinsics, NO_DISTORTION, flags=cv2.SOLVEPNP_SQPNP)
    if not good or not np.isfinite(turn).all() or shift[2, 0] <= 0:
        return None
    turn, shift = cv2.solvePnPRefineLM(points, pixels, intrinsics, NO_DISTORTION, turn, shift)
    matrix = OPENGL_FROM_OPENCV @ cv2.Rodrigues(turn)[0]
    return (matrix, OPENGL_FROM_OPENCV @ shift[:, 0]) if shift[2, 0] > 0 else None


def fill_between(params: TrackParams, found: Tensor) -> TrackParams:
    """Frames that were not found take values between their neighbours' (the nearest one's at the ends)."""
    known = torch.nonzero(found).flatten().cpu().numpy()
    if len(known) in (0, params.n_timesteps):
        return params
    frames = np.arange(params.n_timesteps)
    filled = {}
    for name in PER_FRAME:
        value = getattr(params, name)
        columns = [np.interp(frames, known, column[known]) for column in value.cpu().numpy().T]
        filled[name] = torch.from_numpy(np.stack(columns, -1)).to(value)
    return replace(params, **filled)


def choose_frames(problem: LandmarkProblem, params: TrackParams, found: Tensor, count: int) -> list[int]:
    """Of the frames found (B,), those for the initialisation: the most frontal one, then always the one least like
    those already chosen.

    Likeness is the distance of the landmark pictures, centred and scaled, so poses and expressions both spread.
    """
    candidates = torch.nonzero(found.to(params.rotation.device)).flatten()
    if len(candidates) == 0:
        return list(range(min(count, params.n_timesteps)))
    frontal = axis_angle_to_matrix(params.rotation[candidates])[:, 2, 2].argmax()
    return choose_more(problem, [int(candidates[frontal])], found, count)


def choose_more(problem: LandmarkProblem, chosen: list[int], found: Tensor, count: int) -> list[int]:
    """`count` of the frames found (B,): those chosen (the first one where none of these is found), then always the one
    least like those already there."""
    candidates = torch.nonzero(found.to(problem.weight.device)).flatten()
    if len(candidates) == 0:
        return chosen
    spread = _landmark_shapes(problem, candidates)
    picked = torch.nonzero(torch.isin(candidates, candidates.new_tensor(chosen))).flatten().tolist() or [0]
    distance = torch.cdist(spread, spread[picked]).amin(1)
    while len(picked) < min(count, len(candidates)):
        distance[picked] = -1
        picked.append(int(distance.argmax()))
        distance = torch.minimum(distance, torch.cdist(spread, spread[picked[-1]][None]).squeeze(1))
    return sorted(int(candidates[index]) for index in picked)


def choose_of_each(problem: LandmarkProblem, first: int, found: Tensor, group: Tensor, count: int) -> list[int]:
    """At most `count` of the frames found (B,), from every group (B,) about as many: `first`, then always the one least
    like those already there, of a group that has not got its share."""
    candidates = torch.nonzero(found.to(problem.weight.device)).flatten()
    spread, groups = _landmark_shapes(problem, candidates), group.to(candidates.device)[candidates]
    left = _shares(groups, count)
    picked: list[int] = []
    distance = torch.where(candidates == first, torch.inf, 1.0)
    while sum(left.values()):
        allowed = torch.isin(groups, groups.new_tensor([name for name, number in left.items() if number]))
        picked.append(int(torch.where(allowed, distance, -torch.inf).argmax()))
        left[int(groups[picked[-1]])] -= 1
        nearest = torch.cdist(spread, spread[picked[-1]][None]).squeeze(1)
        distance = nearest if len(picked) == 1 else torch.minimum(distance, nearest)
        distance[picked] = -1
    return sorted(int(candidates[index]) for index in picked)


def _shares(groups: Tensor, count: int) -> dict[int, int]:
    """How many each group gets of `count`: evenly, what a small one has not is for the others."""
    names, sizes = groups.unique(return_counts=True)
    shares = dict.fromkeys(names.tolist(), 0)
    size = dict(zip(names.tolist(), sizes.tolist()))
    for _ in range(min(count, len(groups))):
        open_ones = [name for name in shares if shares[name] < size[name]]
        shares[min(open_ones, key=lambda name: shares[name])] += 1
    return shares


def _landmark_shapes(problem: LandmarkProblem, frames: Tensor) -> Tensor:
    """(N, D) landmark pictures of frames (N,), centred and scaled."""
    pixels, seen = problem.detected_px[frames], (problem.weight[frames] > 0)[..., None]
    mean = (pixels * seen).sum(-2, keepdim=True) / seen.sum(-2, keepdim=True).clamp(min=1)
    centred = (pixels - mean) * seen
    return (centred / centred.square().mean((-1, -2), keepdim=True).sqrt().clamp(min=1e-6)).flatten(1)


@dataclass(frozen=True)
class FirstGuess:
    """params of all frames; found: (T, C) bool, pictures whose landmarks gave the head's pose; init_frames: rows chosen
    for the initialisation; beside_pixels: see LandmarkPrior; log_focal_spread: standard deviation of the focal length's
    logarithm, None where it is given or was not solved."""

    params: TrackParams
    found: Tensor
    init_frames: list[int]
    beside_pixels: float
    log_focal_spread: float | None = None


@one_torch_thread()
def guess_from_landmarks(problem: LandmarkProblem, params: TrackParams, n_init: int, first_row: int = 0) -> FirstGuess:
    """Everything that landmarks determine: pose by PnP, camera and identity from many frames, then each frame.

    Frames of the initialisation are chosen from first_row on. Landmarks that are not the head's (a face found in the
    background, another person's) count as not detected. Without any detection the params come back as they were.
    """
    problem = problem.only(~find_brief_faces(problem))
    guess = _solve_guess(problem, params, n_init, first_row)
    misfits = find_misfits(problem, guess.params, guess.found)
    if bool(misfits.any()):
        guess = _solve_guess(problem.only(~misfits), params, n_init, first_row)
    return guess


def _solve_guess(problem: LandmarkProblem, params: TrackParams, n_init: int, first_row: int) -> FirstGuess:
    params, found = pose_from_landmarks(problem, params)
    frames = found.any(1)
    chosen = choose_frames(problem, params, frames & (torch.arange(len(frames)) >= first_row), n_init)
    if not bool(frames.any()):
        return FirstGuess(params, found, chosen, problem.prior.beside_pixels)
    rows = frames_of_person(problem, params, frames)
    moved = solve_person(problem, params, frames)
    spread = log_focal_spread(problem.select(rows), moved.rows(rows)) if problem.given is None else None
    if problem.given is None or problem.unknown_unit:
        moved = pose_from_landmarks(problem, moved)[0]
    solved = follow_landmarks(problem, moved, frames)
    return FirstGuess(solved, found, chosen, trusted_pixel(problem, solved, found), spread)


@one_torch_thread()
def solve_person(
    problem: LandmarkProblem,
    params: TrackParams,
    found: Tensor,
    names: Sequence[str] = LANDMARK_UNKNOWNS,
    iterations: int = MOST_ITERATIONS,
) -> TrackParams:
    """The unknowns `names` of the frames that differ most, each with those beside it, and what all frames share; the
    other frames' own unknowns stay. found: (B,) bool, frames to choose from."""
    rows = frames_of_person(problem, params, found)
    solved = solve_landmarks(problem.select(rows), params.rows(rows), True, iterations, True, names)
    index = rows.to(params.rotation.device)
    own = {name: getattr(params, name).index_copy(0, index, getattr(solved, name)) for name in PER_FRAME}
    return replace(params, **own, **{name: getattr(solved, name) for name in (*CAMERA, "shape")})


def frames_of_person(problem: LandmarkProblem, params: TrackParams, found: Tensor) -> Tensor:
    """Rows (N,), ascending: the frames that differ most of those found (B,), each with those beside it."""
    most = max(1, MOST_SOLVED_TOGETHER // problem.weight.shape[1])
    chosen = torch.tensor(choose_frames(problem, params, found, most))
    around = torch.cat([chosen - 1, chosen, chosen + 1]).unique()
    return around[(around >= 0) & (around < params.n_timesteps)]


@one_torch_thread()
def follow_landmarks(
    problem: LandmarkProblem,
    params: TrackParams,
    found: Tensor,
    names: Sequence[str] = LANDMARK_UNKNOWNS,
    iterations: int = 8,
) -> TrackParams:
    """Every frame's own unknowns `names` from its landmarks and its neighbours, camera and identity held; frames that
    are not found (B,) in between.

    Frames are solved in groups that overlap: memory does not grow with their number.
    """
    everything = torch.arange(params.n_timesteps)

    def solve(group: Tensor) -> TrackParams:
        first, last = max(0, int(group[0]) - OVERLAP), min(params.n_timesteps, int(group[-1]) + 1 + OVERLAP)
        rows = everything[first:last]
        solved = solve_landmarks(problem.select(rows), params.rows(rows), False, iterations, True, names)
        return solved.rows(group - first)

    groups = everything.split(SOLVED_AT_A_TIME)
    parts = list(in_threads(solve, groups) if params.shape.device.type == "cpu" else map(solve, groups))
    moved = {name: torch.cat([getattr(part, name) for part in parts]) for name in PER_FRAME}
    return fill_between(replace(params, **moved), found)
