"""Writes a synthetic recording of a rig as users have them, and the truth beside.

Every file appears whole, so a recording that was interrupted is completed by writing it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from vhap.data.landmark_files import save_landmarks
from vhap.data.pictures import BACKGROUNDS, composite, write_picture
from vhap.data.results import save_result
from vhap.head.model import HeadModel, HeadParams, pose
from vhap.synthetic.benchmark_writer import write_benchmark
from vhap.synthetic.camera import FilmCamera
from vhap.synthetic.motion import frame_params
from vhap.synthetic.person import Person
from vhap.synthetic.rig import SyntheticRig
from vhap.synthetic.rig_calibration import camera_info, camera_params, take_out, transforms, write_colmap
from vhap.synthetic.rig_layouts import RigFiles
from vhap.synthetic.writer import (
    camera_numbers,
    frame_names,
    noisy_landmarks,
    project_landmarks,
    true_result,
    write_vertices,
    write_video,
)
from vhap.util.errors import InputError
from vhap.util.files import atomic_path, read_json, write_json, write_npz
from vhap.util.progress import progress

LEAST_SEEN = 0.4
"""Of a face's points; a detector that sees fewer finds no face."""


@dataclass(frozen=True)
class RigTruth:
    """A person in motion before a rig. params: in the space the person is filmed in, shape (S,), all else (T, ...).

    film_cameras, colors: in the order of rig.names; colors: correction matrices, empty where pictures are right.
    """

    model: HeadModel
    person: Person
    params: HeadParams
    rig: SyntheticRig
    film_cameras: tuple[FilmCamera, ...]
    colors: tuple[np.ndarray, ...]

    @property
    def timesteps(self) -> list[str]:
        return frame_names(len(self.params.rotation))

    def film(self, camera: int, vertices: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Picture, as the camera would store it, and alpha map."""
        rgb, alpha = self.film_cameras[camera].film(vertices)
        return self.stored(camera, rgb), alpha

    def stored(self, camera: int, rgb: np.ndarray) -> np.ndarray:
        return take_out(rgb, self.colors[camera]) if self.colors else rgb


def write_rig_capture(
    files: RigFiles, truth: RigTruth, fps: float, landmark_sets: Sequence[str], noise_px: float, seed: int, videos: bool
) -> None:
    """Everything that is missing. InputError where the subject has another calibration already."""
    write_calibration(files, truth)
    write_truth(files, truth)
    write_landmarks(files, truth, landmark_sets, noise_px, seed)
    write_frames(files, truth)
    for serial in files.given(truth.rig.names) if videos else ():
        write_video(files.video(serial), [files.image(serial, timestep) for timestep in truth.timesteps], fps)
    if files.is_benchmark:
        write_benchmark(files, truth.model, truth.person, truth.rig.names, truth.timesteps, fps)


def write_calibration(files: RigFiles, truth: RigTruth) -> None:
    """Cameras, colours and plates of the empty scene, which all sequences of a subject share."""
    rig = truth.rig
    if not files.is_nersemble:
        images = [files.image(name, "000000") for name in rig.names]
        pictures = [str(image.relative_to(files.folder)) for image in images]
        if files.layout == "single_frame":
            write_json(files.cameras, camera_info(rig, [image.name for image in images]))
        elif files.camera_file == "colmap":
            write_colmap(files.cameras.parent, rig, pictures)
        else:
            content = transforms(rig, pictures) if files.camera_file == "transforms" else camera_params(rig, False)
            write_json(files.cameras, content)
        return
    content = camera_params(rig, shared=not files.is_benchmark)
    if files.is_benchmark:
        # The benchmark does not say the size, which is that of its videos.
        content = {name: content[name] for name in ("world_2_cam", "intrinsics")}
    if files.cameras.is_file() and read_json(files.cameras) != content:
        raise InputError(
            f"expected the cameras of these options in {files.cameras}, found others; give the --seed, --cameras and "
            "--focal of the subject's other sequences, or another --subject"
        )
    write_json(files.cameras, content)
    if not files.has_colors:
        return
    if files.layout == "nersemble_v2":
        write_json(files.color(""), {name: matrix.tolist() for name, matrix in zip(rig.names, truth.colors)})
    for camera, name in enumerate(rig.names):
        if files.layout == "nersemble_v1":
            with atomic_path(files.color(name)) as temporary:
                np.save(temporary, truth.colors[camera])
        write_picture(files.background(name), truth.stored(camera, truth.film_cameras[camera].empty))


def write_truth(files: RigFiles, truth: RigTruth) -> None:
    """Vertices, parameters, light and cameras in the calibration's world; cameras in pixels of the pictures."""
    rig, world = truth.rig, truth.rig.world
    moved = world.params(truth.model, truth.params)
    write_vertices(files.vertices, truth.model, moved)
    cameras = [film_camera.camera for film_camera in truth.film_cameras]
    person = replace(truth.person, lights=world.lights(truth.person.lights))
    save_result(files.params, true_result(truth.model, person, moved, (cameras[0].height, cameras[0].width)))
    poses = torch.from_numpy(world.camera_pose(rig.T_camera_head))
    numbers = {
        name: camera_numbers(replace(camera, T_camera_world=T_camera_world))
        for name, camera, T_camera_world in zip(rig.names, cameras, poses)
    }
    # x_world = scale * rotation @ x_metric + translation
    similarity = {
        "scale": world.scale,
        "rotation": world.rotation.tolist(),
        "translation": world.translation.tolist(),
    }
    write_json(files.truth / "cameras.json", {"axes": "opengl", "cameras": numbers, "similarity": similarity})


def write_landmarks(files: RigFiles, truth: RigTruth, landmark_sets: Sequence[str], noise_px: float, seed: int) -> None:
    """Detector files with the asked noise; the exact points, (T, C, L, 2), go to ground_truth/landmarks.npz."""
    vertices = np.stack([posed(truth, t).numpy() for t in range(len(truth.timesteps))])
    exact: dict[str, np.ndarray] = {}
    for name in landmark_sets:
        points_px, visibility = [], []
        for index, (serial, film_camera) in enumerate(zip(truth.rig.names, truth.film_cameras)):
            camera = film_camera.camera
            points, seen = project_landmarks(truth.model, truth.params, camera, vertices, name)
            seen = seen * (seen.sum(1, keepdims=True) >= LEAST_SEEN * len(truth.model.landmarks[name].detector_ids))
            random = np.random.default_rng((seed, 30, len(name), index))
            found = noisy_landmarks(points, seen, (camera.height, camera.width), noise_px, random)
            save_landmarks(files.landmarks(name, serial), found)
            points_px.append(points)
            visibility.append(seen)
        exact[f"{name}_px"], exact[f"{name}_visibility"] = np.stack(points_px, 1), np.stack(visibility, 1)
    write_npz(files.truth / "landmarks.npz", exact)


def write_frames(files: RigFiles, truth: RigTruth) -> None:
    """Pictures and alpha maps that are missing."""
    for t, timestep in enumerate(progress(truth.timesteps, "filming")):
        missing = [
            (index, serial) for index, serial in enumerate(truth.rig.names) if not files.has_frame(serial, timestep)
        ]
        vertices = posed(truth, t) if missing else None
        for index, serial in missing:
            assert vertices is not None
            rgb, alpha = truth.film(index, vertices)
            # The benchmark's recordings come without their background.
            rgb = composite(rgb, alpha, BACKGROUNDS["white"]) if files.is_benchmark else rgb
            write_picture(files.alpha(serial, timestep), alpha)
            write_picture(files.image(serial, timestep), rgb)


def posed(truth: RigTruth, t: int) -> torch.Tensor:
    """(V, 3) in the space the person is filmed in, metres."""
    return pose(truth.model, frame_params(truth.params, t))
