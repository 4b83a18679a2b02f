"""Writes single pictures as the NeRSemble benchmark of single-view reconstruction has them, and the truth beside.

Every file appears whole, so a recording that was interrupted is completed by writing it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from trimesh import Trimesh
from trimesh.exchange.ply import export_ply

from vhap.data.landmark_files import save_landmarks
from vhap.data.pictures import BACKGROUNDS, composite, write_picture
from vhap.data.results import save_result
from vhap.geometry.cameras import Camera
from vhap.head.model import HeadModel, HeadParams, pose, zero_params
from vhap.render.backend import get_backend
from vhap.synthetic.camera import make_film_camera, make_surface
from vhap.synthetic.person import Person
from vhap.synthetic.writer import (
    DETECTOR_FILES,
    camera_numbers,
    noisy_landmarks,
    project_landmarks,
    true_result,
    write_vertices,
)
from vhap.util.files import map_npy, write_bytes, write_json, write_npz
from vhap.util.progress import progress

Task = Literal["posed", "neutral"]
TASKS: tuple[Task, ...] = ("posed", "neutral")


@dataclass(frozen=True)
class SvfrFiles:
    """Where everything of one participant lies. name: of a picture's folder, SEQUENCE_TIMESTEP_SERIAL."""

    root: Path
    subject: str

    @property
    def folder(self) -> Path:
        return self.root / "svfr" / self.subject

    @property
    def truth(self) -> Path:
        """Has no numbers in its name, therefore readers of the benchmark do not take it for a picture."""
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

    @property
    def cameras(self) -> Path:
        return self.truth / "cameras.json"

    @property
    def exact_landmarks(self) -> Path:
        return self.truth / "landmarks.npz"

    def landmarks(self, landmark_set: str) -> Path:
        return self.truth / "landmark2d" / f"{DETECTOR_FILES[landmark_set]}.npz"

    def image(self, name: str) -> Path:
        return self.folder / name / "rgb.png"

    def alpha(self, name: str) -> Path:
        return self.truth / name / "alpha.png"

    def mesh(self, name: str, task: Task) -> Path:
        """Named as in a submission."""
        return self.truth / name / f"mesh_{task}.ply"

    def has_picture(self, name: str) -> bool:
        return self.image(name).is_file() and self.alpha(name).is_file()

    def complete(self, names: Sequence[str], landmark_sets: Sequence[str]) -> bool:
        """Whether every file is there."""
        single = [self.vertices, self.params, self.cameras, self.exact_landmarks]
        single += map(self.landmarks, landmark_sets)
        single += [self.mesh(name, task) for name in names for task in TASKS]
        return all(map(self.has_picture, names)) and all(path.is_file() for path in single)


@dataclass(frozen=True)
class Shot:
    """One picture. params: shape (S,), all else (1, ...), in the camera's world, metres."""

    name: str
    params: HeadParams
    camera: Camera


def write_svfr(
    files: SvfrFiles,
    model: HeadModel,
    person: Person,
    shots: Sequence[Shot],
    supersampling: int,
    landmark_sets: Sequence[str],
    noise_px: float,
    seed: int,
) -> None:
    """Everything that is missing. Rows of all arrays are the pictures, in the order of the shots."""
    params = _joined([shot.params for shot in shots])
    write_vertices(files.vertices, model, params)
    vertices = map_npy(files.vertices)
    size = (shots[0].camera.height, shots[0].camera.width)
    save_result(files.params, true_result(model, person, params, size))
    numbers = {shot.name: camera_numbers(shot.camera) for shot in shots}
    write_json(files.cameras, {"axes": "opengl", "cameras": numbers})
    neutral = pose(model, replace(zero_params(model), shape=person.shape))
    for row, shot in enumerate(shots):
        _write_mesh(files.mesh(shot.name, "posed"), vertices[row], model)
        _write_mesh(files.mesh(shot.name, "neutral"), neutral.numpy(), model)
    _write_landmarks(files, model, shots, vertices, landmark_sets, noise_px, seed)
    _write_pictures(files, model, person, shots, vertices, supersampling)


def _joined(params: Sequence[HeadParams]) -> HeadParams:
    names = [field.name for field in fields(HeadParams) if field.name != "shape"]
    moving = {name: [getattr(one, name) for one in params] for name in names}
    return replace(params[0], **{n: torch.cat(v) for n, v in moving.items() if isinstance(v[0], Tensor)})


def _write_mesh(path: Path, vertices: np.ndarray, model: HeadModel) -> None:
    if not path.is_file():
        mesh = Trimesh(np.array(vertices), model.faces.numpy(), process=False)
        write_bytes(path, export_ply(mesh, vertex_normal=False))


def _write_landmarks(
    files: SvfrFiles,
    model: HeadModel,
    shots: Sequence[Shot],
    vertices: np.ndarray,
    landmark_sets: Sequence[str],
    noise_px: float,
    seed: int,
) -> None:
    """Detector files with the asked noise; the exact points, (N, L, 2), go to landmarks.npz."""
    exact: dict[str, np.ndarray] = {}
    size = (shots[0].camera.height, shots[0].camera.width)
    for name in landmark_sets:
        found = [
            project_landmarks(model, shot.params, shot.camera, vertices[row : row + 1], name)
            for row, shot in enumerate(shots)
        ]
        points_px, visibility = (np.concatenate(parts) for parts in zip(*found))
        exact[f"{name}_px"], exact[f"{name}_visibility"] = points_px, visibility
        random = np.random.default_rng((seed, 30, len(name)))
        noisy = noisy_landmarks(points_px, visibility, size, noise_px, random)
        save_landmarks(files.landmarks(name), replace(noisy, timestep_ids=[shot.name for shot in shots]))
    write_npz(files.exact_landmarks, exact)


def _write_pictures(
    files: SvfrFiles, model: HeadModel, person: Person, shots: Sequence[Shot], vertices: np.ndarray, supersampling: int
) -> None:
    """Over white, as the benchmark's are; those that are missing."""
    missing = [row for row, shot in enumerate(shots) if not files.has_picture(shot.name)]
    backend, surface = get_backend("auto"), make_surface(model, person)
    for row in progress(missing, "filming"):
        shot = shots[row]
        film_camera = make_film_camera(model, person, backend, shot.camera, supersampling, row, surface)
        rgb, alpha = film_camera.film(torch.from_numpy(np.array(vertices[row])))
        write_picture(files.alpha(shot.name), alpha)
        write_picture(files.image(shot.name), composite(rgb, alpha, BACKGROUNDS["white"]))
