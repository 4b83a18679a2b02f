"""Writes a synthetic capture: pictures, alpha maps, landmarks and video as users have them, and the truth beside.

Every file appears whole, so a capture that was interrupted is completed by writing it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import torch

from vhap.data.ffmpeg import file_url
from vhap.data.landmark_files import POINT_COUNTS, Landmarks, save_landmarks
from vhap.data.pictures import read_rgb, write_picture
from vhap.data.results import TrackResult, save_result
from vhap.data.video import require_frames
from vhap.geometry.cameras import Camera
from vhap.head.model import HeadModel, HeadParams, landmark_points, pose, yaw_in_camera
from vhap.synthetic.camera import FilmCamera, point_visibility
from vhap.synthetic.motion import frame_params
from vhap.synthetic.person import Person
from vhap.util.errors import InputError
from vhap.util.files import atomic_path, map_npy, write_json, write_npz
from vhap.util.progress import progress

DETECTOR_FILES = {"mediapipe": "mediapipe", "ibug": "face-alignment"}
"""Landmark set -> name of the landmark file of a detector that gives these points."""
VIDEO_CRF = 14
"""x264's constant rate factor; visually lossless."""


def frame_names(count: int) -> list[str]:
    return [f"{t:06d}" for t in range(count)]


@dataclass(frozen=True)
class Truth:
    """A person in motion before a camera. params: shape (S,), all else (T, ...); focal in units of the size."""

    model: HeadModel
    person: Person
    params: HeadParams
    focal: float
    film_camera: FilmCamera

    @property
    def n_frames(self) -> int:
        return len(self.params.rotation)

    @property
    def frame_names(self) -> list[str]:
        return frame_names(self.n_frames)


@dataclass(frozen=True)
class CaptureFiles:
    """Where everything of ROOT/NAME lies."""

    folder: Path
    image_format: str

    @property
    def video(self) -> Path:
        return self.folder.with_name(self.folder.name + ".mp4")

    @property
    def truth(self) -> Path:
        return self.folder / "ground_truth"

    @property
    def settings(self) -> Path:
        return self.truth / "settings.json"

    @property
    def vertices(self) -> Path:
        return self.truth / "vertices.npy"

    @property
    def params(self) -> Path:
        return self.truth / "tracked_flame_params_0.npz"

    def image(self, name: str) -> Path:
        return self.folder / "images" / f"{name}.{self.image_format}"

    def alpha(self, name: str) -> Path:
        return self.folder / "alpha_maps" / f"{name}.png"

    def landmarks(self, landmark_set: str) -> Path:
        return self.folder / "landmark2d" / f"{DETECTOR_FILES[landmark_set]}.npz"

    def has_frame(self, name: str) -> bool:
        return self.image(name).is_file() and self.alpha(name).is_file()

    def complete(self, frame_names: Sequence[str], landmark_sets: Sequence[str]) -> bool:
        """Whether every file is there."""
        single = [self.video, self.vertices, self.params, *map(self.landmarks, landmark_sets)]
        return all(path.is_file() for path in single) and all(map(self.has_frame, frame_names))


def write_capture(
    files: CaptureFiles, truth: Truth, fps: float, landmark_sets: Sequence[str], noise_px: float, seed: int
) -> None:
    """Everything that is missing. landmark_sets: names of the head's sets whose detector files are written."""
    write_vertices(files.vertices, truth.model, truth.params)
    vertices, expected = map_npy(files.vertices), (len(truth.params.rotation), truth.model.n_vertices, 3)
    if vertices.shape != expected or vertices.dtype != np.float32:
        raise InputError(
            f"expected float32 of shape {expected} in {files.vertices}, found {vertices.dtype} of {vertices.shape}; "
            "remove that folder to make the capture again"
        )
    write_truth(files, truth)
    write_landmarks(files, truth, vertices, landmark_sets, noise_px, seed)
    write_frames(files, truth, vertices)
    write_video(files.video, [files.image(name) for name in truth.frame_names], fps)


def write_vertices(path: Path, model: HeadModel, params: HeadParams) -> None:
    """(T, V, 3) float32 metres, frame by frame, so that memory does not grow with the clip."""
    if path.is_file():
        return
    count = len(params.rotation)
    with atomic_path(path) as temporary:
        array = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=(count, model.n_vertices, 3))
        for t in range(count):
            array[t] = pose(model, frame_params(params, t)).numpy()
        array.flush()
        del array


def write_truth(files: CaptureFiles, truth: Truth) -> None:
    """Parameters as a tracking run writes them, and the camera."""
    camera = truth.film_camera.camera
    result = true_result(truth.model, truth.person, truth.params, (camera.height, camera.width))
    save_result(files.params, replace(result, focal_length=np.array([truth.focal], np.float32)))
    write_json(files.truth / "cameras.json", {"axes": "opengl", "cameras": {"0": camera_numbers(camera)}})


def true_result(model: HeadModel, person: Person, params: HeadParams, size: tuple[int, int]) -> TrackResult:
    """The truth as a tracking run with given cameras would write it. size: (height, width) of the pictures."""
    moving = ("rotation", "translation", "neck_pose", "jaw_pose", "eyes_pose", "expr", "shape")
    count = len(params.rotation)
    return TrackResult(
        **{name: getattr(params, name).numpy() for name in moving},
        timestep_id=np.array(frame_names(count)),
        timestep_index=np.arange(count),
        n_processed_frames=np.array(count),
        image_size=np.array(size),
        head_model=np.array(model.identity),
        albedo=person.texture.permute(2, 0, 1).numpy(),
        lights=person.lights.numpy(),
        scale=None if params.scale is None else params.scale.numpy(),
    )


def camera_numbers(camera: Camera) -> dict[str, Any]:
    """One camera for JSON; T_camera_world in OpenGL axes."""
    numbers = {name: float(getattr(camera, name)) for name in ("fx", "fy", "cx", "cy")}
    pose_rows = camera.T_camera_world.tolist()
    return {**numbers, "height": camera.height, "width": camera.width, "T_camera_world": pose_rows}


def write_landmarks(
    files: CaptureFiles,
    truth: Truth,
    vertices: np.ndarray,
    landmark_sets: Sequence[str],
    noise_px: float,
    seed: int,
) -> None:
    """Detector files with the asked noise; the exact points go to ground_truth/landmarks.npz."""
    exact: dict[str, np.ndarray] = {}
    camera = truth.film_camera.camera
    for name in landmark_sets:
        points_px, visibility = project_landmarks(truth.model, truth.params, camera, vertices, name)
        exact[f"{name}_px"], exact[f"{name}_visibility"] = points_px, visibility
        random = np.random.default_rng((seed, 30, len(name)))
        size = (camera.height, camera.width)
        save_landmarks(files.landmarks(name), noisy_landmarks(points_px, visibility, size, noise_px, random))
    write_npz(files.truth / "landmarks.npz", exact)


def noisy_landmarks(
    points_px: np.ndarray, visibility: np.ndarray, size: tuple[int, int], noise_px: float, random: np.random.Generator
) -> Landmarks:
    """As a detector would write points_px (T, L, 2) and visibility (T, L) of pictures of size (height, width)."""
    noisy = points_px + noise_px * random.standard_normal(points_px.shape)
    known = visibility.sum(0) > 0
    points = np.where(known[None, :, None], noisy / np.array(size[::-1]), -1)
    low, high = (points[:, known].min(1), points[:, known].max(1)) if known.any() else (points[:, 0], points[:, 0])
    boxes = np.concatenate([low, high, np.full((len(points), 1), float(known.any()))], 1)
    return Landmarks(np.concatenate([points, visibility[..., None]], -1), boxes, frame_names(len(points)))


def project_landmarks(
    model: HeadModel, params: HeadParams, camera: Camera, vertices: np.ndarray, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """(T, L, 2) px in the detector's own order and visibility (T, L); points that the head lacks have visibility 0."""
    ids = model.landmarks[name].detector_ids.numpy()
    count = max(POINT_COUNTS[DETECTOR_FILES[name]])
    points_px = np.zeros((len(vertices), count, 2), np.float32)
    visibility = np.zeros((len(vertices), count), np.float32)
    for t in range(len(vertices)):
        posed = torch.from_numpy(np.array(vertices[t]))
        yaw = yaw_in_camera(frame_params(params, t), camera.T_camera_world[:3, :3])
        points = landmark_points(model, posed[None], name, yaw[None])[0]
        points_px[t, ids] = camera.project(points)[0].numpy()
        visibility[t, ids] = point_visibility(model, posed, name, points, camera.centre()).numpy()
    return points_px, visibility


def write_frames(files: CaptureFiles, truth: Truth, vertices: np.ndarray) -> None:
    """Pictures and alpha maps that are missing."""
    missing = [t for t, name in enumerate(truth.frame_names) if not files.has_frame(name)]
    for t in progress(missing, "filming"):
        rgb, alpha = truth.film_camera.film(torch.from_numpy(np.array(vertices[t])))
        name = truth.frame_names[t]
        write_picture(files.alpha(name), alpha)
        write_picture(files.image(name), rgb)


def write_video(path: Path, pictures: Sequence[Path], fps: float) -> None:
    """H.264 in yuv420p, of the pictures as they were written; nothing where the video is there."""
    if path.is_file():
        return
    height, width = read_rgb(pictures[0]).shape[:2]
    with atomic_path(path) as temporary:
        writer = imageio_ffmpeg.write_frames(
            file_url(temporary),
            (width, height),
            fps=fps,  # type: ignore[arg-type]  (fractions are passed on to ffmpeg)
            codec="libx264",
            pix_fmt_out="yuv420p",
            macro_block_size=2,
            quality=None,  # type: ignore[arg-type]  (rate factor below)
            output_params=["-crf", str(VIDEO_CRF), "-preset", "veryfast"],
        )
        writer.send(None)
        for picture in pictures:
            writer.send(read_rgb(picture))
        writer.close()
        require_frames(temporary, len(pictures), path)
