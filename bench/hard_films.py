"""Synthetic films of the things that go wrong in real ones; their truth is as exact as a clean film's."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from common import NOISE_PX, Landmarks
from torch import Tensor

from vhap.config.loading import to_plain
from vhap.config.synthetic import SyntheticConfig
from vhap.data.landmark_files import load_landmarks, save_landmarks
from vhap.data.pictures import write_picture
from vhap.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from vhap.head.model import HeadParams, pose, yaw_in_camera
from vhap.pipeline.make_synthetic_capture import landmark_sets, load_synthetic_head, make_truth
from vhap.render.shading import uniform_lights
from vhap.synthetic.motion import frame_params
from vhap.synthetic.person import directional_light
from vhap.synthetic.writer import (
    CaptureFiles,
    Truth,
    frame_names,
    write_frames,
    write_landmarks,
    write_truth,
    write_vertices,
    write_video,
)
from vhap.util.files import read_json, write_json

INITIAL_YAW_RAD = math.radians(45)
FRAMES_WITHOUT = 20
OUTLIER_SHARE, OUTLIER_PX = 0.1, 30.0
SIDE_LIGHT_AZIMUTH_RAD, SIDE_LIGHT_SHARE = math.radians(80), 0.85
OTHER_DISTANCE_M, OTHER_PLACE = 2.0, 0.75
"""Of the second person: distance from the camera, and place from the picture's middle (0) to its edge (1)."""
OUT_OF_PICTURE_M = 100.0


@dataclass(frozen=True)
class Case:
    """One thing made hard. What is None stays as in the clean film.

    change_truth: person, light or motion; change_pictures: writes pictures (and alpha maps) again; change_points:
    detections (T, L, 3), x and y in pixels, in place. without: frames in which no face is found or shown.
    """

    name: str
    landmarks: Landmarks
    change_truth: Callable[[Truth], Truth] | None = None
    change_pictures: Callable[[CaptureFiles, Truth, SyntheticConfig], None] | None = None
    change_points: Callable[[np.ndarray], None] | None = None
    without: Callable[[int], range] = lambda count: range(0)

    @property
    def slug(self) -> str:
        return re.sub(r"\W+", "_", self.name)


def film_case(config: SyntheticConfig, case: Case) -> tuple[Path, tuple[str, ...]]:
    """Writes config.output as a synthetic capture, unless it is there with the same options.

    Returns the capture and the names of the frames that do not count.
    """
    files = CaptureFiles(config.output, config.image_format)
    done = files.truth / "case.json"
    settings = to_plain(replace(config, output=Path(case.slug)))
    model = load_synthetic_head(config)
    if not done.is_file() or read_json(done) != settings:
        shutil.rmtree(files.folder, ignore_errors=True)
        files.video.unlink(missing_ok=True)
        truth = make_truth(config, model)
        truth = case.change_truth(truth) if case.change_truth else truth
        write_film(files, truth, config, case, landmark_sets(config, model))
        write_json(done, settings)
    names = frame_names(config.frames)
    return files.folder, tuple(names[t] for t in case.without(config.frames))


def write_film(files: CaptureFiles, truth: Truth, config: SyntheticConfig, case: Case, sets: Sequence[str]) -> None:
    write_vertices(files.vertices, truth.model, truth.params)
    vertices = np.load(files.vertices, mmap_mode="r")
    write_truth(files, truth)
    write_landmarks(files, truth, vertices, sets, NOISE_PX, config.seed)
    write_frames(files, truth, vertices)
    if case.change_pictures:
        case.change_pictures(files, truth, config)
    if case.change_points:
        for name in sets:
            rewrite_points(files.landmarks(name), config.size, case.change_points)
    write_video(files.video, [files.image(name) for name in truth.frame_names], config.frame_rate)


def rewrite_points(path: Path, size: int, change: Callable[[np.ndarray], None]) -> None:
    found = load_landmarks(path)
    scale = np.array([size, size, 1], np.float32)
    points = found.points * scale
    change(points)
    save_landmarks(path, replace(found, points=points / scale))


def turn_at_start(truth: Truth) -> Truth:
    """The head faces 45 degrees to the side in the first frame and joins its own motion by the middle of the clip."""
    first = frame_params(truth.params, 0)
    missing = INITIAL_YAW_RAD - float(yaw_in_camera(first, truth.film_camera.camera.T_camera_world[:3, :3]))
    passed = (torch.arange(truth.n_frames) / max(1, truth.n_frames / 2)).clamp(max=1)
    turn = torch.zeros(truth.n_frames, 3)
    turn[:, 1] = missing * (1 + torch.cos(math.pi * passed)) / 2
    rotation = matrix_to_axis_angle(axis_angle_to_matrix(turn) @ axis_angle_to_matrix(truth.params.rotation))
    turned = HeadParams(**{**vars(truth.params), "rotation": rotation})
    # The head turns about its root, far behind the face, which would leave the picture.
    shift = face_centres(truth, truth.params) - face_centres(truth, turned)
    moved = HeadParams(**{**vars(turned), "translation": truth.params.translation + shift})
    return replace(truth, params=moved)


def face_centres(truth: Truth, params: HeadParams) -> Tensor:
    """(T, 3) metres."""
    face = truth.model.keep_vertices(truth.model.regions["face"])
    return torch.stack([pose(face, frame_params(params, t)).mean(0) for t in range(truth.n_frames)])


def light_from_side(truth: Truth) -> Truth:
    """A hard key light at 80 degrees, little on the other side."""
    key = directional_light(SIDE_LIGHT_AZIMUTH_RAD, 0.0)[:, None].expand(9, 3)
    lights = (1 - SIDE_LIGHT_SHARE) * uniform_lights() + SIDE_LIGHT_SHARE * key
    person = replace(truth.person, lights=lights)
    return replace(truth, person=person, film_camera=replace(truth.film_camera, person=person))


def enter_late(files: CaptureFiles, truth: Truth, config: SyntheticConfig) -> None:
    """The first frames show the background alone."""
    rgb, alpha = empty_picture(truth)
    for name in truth.frame_names[: len(first_frames(truth.n_frames))]:
        write_picture(files.image(name), rgb)
        write_picture(files.alpha(name), alpha)


def empty_picture(truth: Truth) -> tuple[np.ndarray, np.ndarray]:
    """The film's background, and its alpha map of zeros."""
    return truth.film_camera.film(truth.model.template + OUT_OF_PICTURE_M)


def add_person(files: CaptureFiles, truth: Truth, config: SyntheticConfig) -> None:
    """Another person, half as large since twice as far away, at the side and behind the first one."""
    other = make_truth(replace(config, seed=config.seed + 1000, focal=truth.focal), truth.model)
    camera = replace(other.film_camera, background=truth.film_camera.background)
    place = torch.tensor([OTHER_PLACE * OTHER_DISTANCE_M / (2 * truth.focal), 0.0, 1 - OTHER_DISTANCE_M])
    background = empty_picture(truth)[0].astype(np.float32)
    for t, name in enumerate(truth.frame_names):
        beside, _ = camera.film(pose(other.model, frame_params(other.params, t)) + place)
        first, alpha = truth.film_camera.film(pose(truth.model, frame_params(truth.params, t)))
        free = 1 - alpha[..., None].astype(np.float32) / 255
        picture = first + free * (beside - background)
        write_picture(files.image(name), np.rint(picture).clip(0, 255).astype(np.uint8))


def first_frames(count: int) -> range:
    """Twenty frames, at most a third of the clip."""
    return range(min(FRAMES_WITHOUT, count // 3))


def middle_frames(count: int) -> range:
    """As many in the middle."""
    length = len(first_frames(count))
    start = (count - length) // 2
    return range(start, start + length)


def lose_detections(points: np.ndarray) -> None:
    rows = middle_frames(len(points))
    points[rows.start : rows.stop] = 0


def add_outliers(points: np.ndarray) -> None:
    """Moves a tenth of every frame's points by 30 px in any direction."""
    random = np.random.default_rng(40)
    moved = random.random(points.shape[:2]) < OUTLIER_SHARE
    angle = random.uniform(0, 2 * np.pi, points.shape[:2])
    steps = OUTLIER_PX * np.stack([np.cos(angle), np.sin(angle)], -1)
    points[..., :2] += (moved & (points[..., 2] > 0))[..., None] * steps


CASES = (
    Case("initial yaw of 45 degrees", "noisy478", change_truth=turn_at_start),
    Case("face enters late", "detector", change_pictures=enter_late, without=first_frames),
    Case("second person", "detector", change_pictures=add_person),
    Case("20 missing detections", "noisy478", change_points=lose_detections, without=middle_frames),
    Case("10 % outliers of 30 px", "noisy478", change_points=add_outliers),
    Case("light from one side", "noisy478", change_truth=light_from_side),
)
