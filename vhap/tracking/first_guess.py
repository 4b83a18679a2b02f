"""Where the optimisation starts: pose in closed form from landmarks, then a few second-order steps."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor

from vhap.geometry.cameras import camera_from_focal
from vhap.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from vhap.model.head import landmark_points
from vhap.tracking.landmark_solver import LandmarkProblem, solve_landmarks
from vhap.tracking.params import PER_FRAME, TrackParams
from vhap.tracking.sightings import find_glimpses, find_misfits

OPENGL_FROM_OPENCV = np.diag([1.0, -1.0, -1.0])
NO_DISTORTION = np.zeros(4)
MIN_POINTS = 6
MOST_SOLVED_TOGETHER = 96
SOLVED_AT_A_TIME = 64


def pose_from_landmarks(problem: LandmarkProblem, params: TrackParams) -> tuple[TrackParams, Tensor]:
    """Rotation and translation of every frame by perspective-n-point (SQPnP, Terzakis and Lourakis 2020).

    Frames with fewer than 6 points take the pose between their neighbours'. Returns the params and (B,) bool:
    the frames whose pose was found.
    """
    points = landmark_points(problem.head, problem.head.template, problem.name).cpu().numpy().astype(np.float64)
    camera = camera_from_focal(params.focal_length[0], *problem.size) if problem.given is None else problem.given
    intrinsics = np.array([[float(camera.fx), 0, float(camera.cx)], [0, float(camera.fy), float(camera.cy)], [0, 0, 1]])
    T_world_camera = torch.linalg.inv(camera.T_camera_world.double()).cpu().numpy()
    root = problem.head.joint_template[0].cpu().numpy().astype(np.float64)
    found = torch.zeros(params.n_timesteps, dtype=torch.bool)
    rotation, translation = params.rotation.cpu().clone(), params.translation.cpu().clone()
    for frame in range(params.n_timesteps):
        kept = (problem.weight[frame] > 0).cpu().numpy()
        solved = _solve_pnp(points[kept], problem.detected_px[frame].cpu().numpy()[kept], intrinsics)
        if solved is None:
            continue
        matrix = T_world_camera[:3, :3] @ solved[0]
        place = T_world_camera[:3, :3] @ solved[1] + T_world_camera[:3, 3]
        rotation[frame] = matrix_to_axis_angle(torch.from_numpy(matrix)).to(rotation)
        translation[frame] = torch.from_numpy(place + matrix @ root - root).to(translation)
        found[frame] = True
    guess = replace(params, rotation=rotation.to(params.rotation), translation=translation.to(params.translation))
    return fill_between(guess, found), found


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
    """Frames for the initialisation: the most frontal one, then always the one least like those already chosen.

    Likeness is the distance of the landmark pictures, centred and scaled, so poses and expressions both spread.
    """
    candidates = torch.nonzero(found.to(params.rotation.device)).flatten()
    if len(candidates) == 0:
        return list(range(min(count, params.n_timesteps)))
    pixels = problem.detected_px[candidates]
    centred = pixels - pixels.mean(1, keepdim=True)
    spread = (centred / centred.square().mean((1, 2), keepdim=True).sqrt().clamp(min=1e-6)).flatten(1)
    frontal = axis_angle_to_matrix(params.rotation[candidates])[:, 2, 2].argmax()
    chosen, distance = [int(frontal)], torch.cdist(spread, spread[frontal][None]).squeeze(1)
    while len(chosen) < min(count, len(candidates)):
        distance[chosen] = -1
        chosen.append(int(distance.argmax()))
        distance = torch.minimum(distance, torch.cdist(spread, spread[chosen[-1]][None]).squeeze(1))
    return sorted(int(candidates[index]) for index in chosen)


@dataclass(frozen=True)
class FirstGuess:
    """params of all frames; found: (T,) bool, frames whose landmarks gave the head's pose; init_frames: rows chosen for
    the initialisation."""

    params: TrackParams
    found: Tensor
    init_frames: list[int]


def guess_from_landmarks(problem: LandmarkProblem, params: TrackParams, n_init: int, first_row: int = 0) -> FirstGuess:
    """Everything that landmarks tell: pose by PnP, focal length and identity from many frames, then each frame.

    Frames of the initialisation are chosen from first_row on. Landmarks that are not the head's (a face found in the
    background, another person's) count as not detected. Without any detection the params come back as they were.
    """
    problem = problem.only(~find_glimpses(problem))
    guess = _solve_guess(problem, params, n_init, first_row)
    misfits = find_misfits(problem, guess.params, guess.found)
    if bool(misfits.any()):
        guess = _solve_guess(problem.only(~misfits), params, n_init, first_row)
    return guess


def _solve_guess(problem: LandmarkProblem, params: TrackParams, n_init: int, first_row: int) -> FirstGuess:
    params, found = pose_from_landmarks(problem, params)
    chosen = choose_frames(problem, params, found & (torch.arange(len(found)) >= first_row), n_init)
    if not bool(found.any()):
        return FirstGuess(params, found, chosen)
    many = choose_frames(problem, params, found, MOST_SOLVED_TOGETHER)
    rows = torch.tensor(many, device=params.rotation.device)
    solved = solve_landmarks(problem.select(rows), params.rows(rows), shared=True)
    moved = replace(params, shape=solved.shape, focal_length=solved.focal_length)
    if problem.given is None:
        moved = pose_from_landmarks(problem, moved)[0]
    return FirstGuess(follow_landmarks(problem, moved, found), found, chosen)


def follow_landmarks(problem: LandmarkProblem, params: TrackParams, found: Tensor) -> TrackParams:
    """Every frame's own unknowns from its landmarks, camera and identity held; frames without any in between.

    Frames do not meet here, so they are solved in groups: memory does not grow with their number.
    """
    groups = torch.arange(params.n_timesteps, device=params.rotation.device).split(SOLVED_AT_A_TIME)
    parts = [solve_landmarks(problem.select(rows), params.rows(rows), shared=False, iterations=8) for rows in groups]
    moved = {name: torch.cat([getattr(part, name) for part in parts]) for name in PER_FRAME}
    return fill_between(replace(params, **moved), found)
