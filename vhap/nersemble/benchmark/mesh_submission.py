"""Submissions of meshes: single-view face reconstruction."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from trimesh import Trimesh
from trimesh.exchange.ply import export_ply, load_ply

from vhap.nersemble.benchmark.archives import SubmissionDataReader, SubmissionDataWriter
from vhap.nersemble.benchmark.constants import BENCHMARK_SVFR_IMAGE_KEYS
from vhap.util.errors import InputError, shown
from vhap.util.files import read_npy, write_bytes

FLAME_VERTICES = 5023
LANDMARKS_SHAPE = (7, 3)
Task = Literal["posed", "neutral"]
TASKS: tuple[Task, ...] = ("posed", "neutral")


class Mesh(Protocol):
    """vertices (V, 3), faces (F, 3); a trimesh.Trimesh is one."""

    @property
    def vertices(self) -> Any: ...

    @property
    def faces(self) -> Any: ...


def get_mesh_path(participant_id: int, sequence_name: str, timestep: int, serial: str, task: Task) -> str:
    # The timestep is padded here, in the downloaded folder it is not.
    return f"{participant_id:03d}/{sequence_name}_{timestep:03d}_{serial}/mesh_{task}.ply"


def get_landmarks_path(participant_id: int, sequence_name: str, timestep: int, serial: str, task: Task) -> str:
    return f"{participant_id:03d}/{sequence_name}_{timestep:03d}_{serial}/landmarks_{task}.npy"


def svfr_paths(
    task: Task, participants: Collection[int] | None = None, sequences: Collection[str] | None = None
) -> list[tuple[str, str]]:
    """Mesh and landmarks of each picture, of all participants and sequences or these, in the official order."""
    return [
        (get_mesh_path(p, *key, task), get_landmarks_path(p, *key, task))
        for p, keys in BENCHMARK_SVFR_IMAGE_KEYS.items()
        if participants is None or p in participants
        for key in keys
        if sequences is None or key[0] in sequences
    ]


class SVFRSubmissionDataWriter(SubmissionDataWriter):
    """Meshes of the pictures, as they are posed in them, neutral, or both; at any rigid place, in any unit."""

    def __init__(self, zip_path: str | Path) -> None:
        super().__init__(zip_path, [name for task in TASKS for names in svfr_paths(task) for name in names])

    def add_posed_mesh(
        self,
        participant_id: int,
        sequence_name: str,
        timestep: int,
        serial: str,
        mesh: Mesh,
        now_landmarks: np.ndarray | None = None,
    ) -> None:
        """now_landmarks: (7, 3), NoW's points; needed unless the mesh has FLAME's 5023 vertices.

        InputError where the picture is not one of the benchmark's, or the mesh or the landmarks cannot be used.
        """
        self._add((participant_id, sequence_name, timestep, serial), mesh, "posed", now_landmarks)

    def add_neutral_mesh(
        self,
        participant_id: int,
        sequence_name: str,
        timestep: int,
        serial: str,
        mesh: Mesh,
        now_landmarks: np.ndarray | None = None,
    ) -> None:
        """As `add_posed_mesh`."""
        self._add((participant_id, sequence_name, timestep, serial), mesh, "neutral", now_landmarks)

    def keep_packed(self) -> None:
        """As `SubmissionDataWriter.keep_packed`; a mesh that was written anew keeps no landmarks of the old one."""
        made_anew = [
            landmarks
            for task in TASKS
            for mesh, landmarks in svfr_paths(task)
            if self.path_of(mesh).is_file() and not self.path_of(landmarks).is_file()
        ]
        super().keep_packed()
        for name in made_anew:
            self.path_of(name).unlink(missing_ok=True)

    def _add(self, key: tuple[int, str, int, str], mesh: Mesh, task: Task, landmarks: np.ndarray | None) -> None:
        with self._noting_failure():
            if key[1:] not in BENCHMARK_SVFR_IMAGE_KEYS.get(key[0], []):
                raise InputError(f"expected a picture of the benchmark, found {shown(key)}; see its list of keys")
            checked = _checked_mesh(mesh, landmarks is not None, get_mesh_path(*key, task))
            landmarks_path = self.path_of(get_landmarks_path(*key, task))
            # The mesh comes last: where it is, its landmarks are.
            if landmarks is None:
                landmarks_path.unlink(missing_ok=True)
            else:
                stream = io.BytesIO()
                np.save(stream, _checked_landmarks(landmarks, landmarks_path), allow_pickle=False)
                write_bytes(landmarks_path, stream.getvalue())
            write_bytes(self.path_of(get_mesh_path(*key, task)), export_ply(checked, vertex_normal=False))


class SVFRSubmissionDataReader(SubmissionDataReader):
    """Meshes and landmarks of a submission. Vertices keep their order and number."""

    def load_posed_mesh(self, participant_id: int, sequence_name: str, timestep: int, serial: str) -> Trimesh:
        return self._load_mesh(get_mesh_path(participant_id, sequence_name, timestep, serial, "posed"))

    def load_neutral_mesh(self, participant_id: int, sequence_name: str, timestep: int, serial: str) -> Trimesh:
        return self._load_mesh(get_mesh_path(participant_id, sequence_name, timestep, serial, "neutral"))

    def load_posed_landmarks(self, participant_id: int, sequence_name: str, timestep: int, serial: str) -> np.ndarray:
        return self._load_landmarks(get_landmarks_path(participant_id, sequence_name, timestep, serial, "posed"))

    def load_neutral_landmarks(self, participant_id: int, sequence_name: str, timestep: int, serial: str) -> np.ndarray:
        return self._load_landmarks(get_landmarks_path(participant_id, sequence_name, timestep, serial, "neutral"))

    def has_posed_reconstructions(self) -> bool:
        return self._has_task("posed")

    def has_neutral_reconstructions(self) -> bool:
        return self._has_task("neutral")

    def validate_submission(
        self, participants: Collection[int] | None = None, sequences: Collection[str] | None = None
    ) -> dict[str, list[Any]]:
        """Empty where all is right, else the official kit's keys, and invalid_{task}_meshes and
        invalid_{task}_landmarks [(path, why)]: damaged ones, of which the kit raises an error, and numbers that are
        not finite, which it lets pass beside landmarks. participants, sequences: of which
        meshes are looked at; None: all."""
        tasks: list[Task] = [task for task in TASKS if self._has_task(task)]
        issues: dict[str, list[Any]] = {}
        for task in tasks:
            for kind, found in self._issues_of(task, svfr_paths(task, participants, sequences)).items():
                issues[kind] = found
        expected = {name for task in tasks for names in svfr_paths(task) for name in names}
        if unexpected := [name for name in self._names if name not in expected]:
            issues["unexpected_files"] = unexpected
        if not tasks:
            issues["missing_svfr_tasks"] = list(TASKS)
        return issues

    def _issues_of(self, task: Task, paths: list[tuple[str, str]]) -> dict[str, list[Any]]:
        issues: dict[str, list[Any]] = {}
        present = set(self._names)
        for mesh_path, landmarks_path in paths:
            if mesh_path not in present:
                issues.setdefault(f"missing_{task}_meshes", []).append(mesh_path)
                continue
            try:
                mesh = self._load_mesh(mesh_path)
            except InputError as error:
                issues.setdefault(f"invalid_{task}_meshes", []).append((mesh_path, str(error)))
                continue
            if not len(mesh.vertices) or not len(mesh.faces):
                issues.setdefault(f"empty_{task}_meshes", []).append(mesh_path)
            elif reason := _unusable(mesh):
                issues.setdefault(f"invalid_{task}_meshes", []).append((mesh_path, reason))
            if landmarks_path in present:
                self._check_landmarks(landmarks_path, task, issues)
            elif _count_merged(mesh) != FLAME_VERTICES:
                issues.setdefault(f"missing_{task}_landmarks", []).append(landmarks_path)
        return issues

    def _check_landmarks(self, path: str, task: Task, issues: dict[str, list[Any]]) -> None:
        try:
            landmarks = self._load_landmarks(path)
        except InputError as error:
            issues.setdefault(f"invalid_{task}_landmarks", []).append((path, str(error)))
            return
        if landmarks.shape != LANDMARKS_SHAPE:
            issues.setdefault(f"wrong_{task}_landmarks", []).append((path, landmarks.shape))
        elif not _is_finite(landmarks):
            issues.setdefault(f"invalid_{task}_landmarks", []).append((path, "numbers that are not finite"))

    def _has_task(self, task: Task) -> bool:
        present = set(self._names)
        return any(mesh_path in present for mesh_path, _ in svfr_paths(task))

    def _load_mesh(self, name: str) -> Trimesh:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "mesh.ply")
            self.extract(name, path)
            try:
                with open(path, "rb") as file:
                    return Trimesh(**load_ply(file), process=False)
            except (MemoryError, PermissionError):
                raise
            # A damaged file raises almost any exception; all of them mean the same here.
            except Exception as error:
                reason = shown(f"{type(error).__name__}: {error}")
                raise InputError(
                    f"expected a readable PLY at {name} in {self._zip_path}, found {reason}; write it again"
                ) from error

    def _load_landmarks(self, name: str) -> np.ndarray:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, Path(name).name)
            self.extract(name, path)
            return read_npy(path)


def _checked_mesh(mesh: Mesh, has_landmarks: bool, name: str) -> Trimesh:
    vertices, faces = np.asarray(mesh.vertices), np.asarray(mesh.faces)
    if vertices.ndim != 2 or vertices.shape[1:] != (3,) or faces.ndim != 2 or faces.shape[1:] != (3,):
        raise InputError(
            f"expected vertices (V, 3) and faces (F, 3) for {name}, found {vertices.shape}, {faces.shape}; correct them"
        )
    if not len(vertices) or not len(faces):
        raise InputError(
            f"expected a mesh for {name}, found {len(vertices)} vertices and {len(faces)} faces; give one with both"
        )
    if faces.dtype.kind not in "iu":
        raise InputError(f"expected faces of whole numbers for {name}, found {faces.dtype}; correct them")
    checked = Trimesh(vertices, faces, process=False)
    if reason := _unusable(checked):
        raise InputError(f"expected a sound mesh for {name}, found {reason}; correct it")
    # The official reader merges vertices of one position, and drops those of no face, before it counts them.
    if not has_landmarks and (len(vertices) != FLAME_VERTICES or _count_merged(checked) != FLAME_VERTICES):
        raise InputError(
            f"expected {FLAME_VERTICES} distinct vertices in faces for {name}, or landmarks (7, 3), found "
            f"{_count_merged(checked)} of {len(vertices)} and none; give NoW's seven landmarks"
        )
    return checked


def _checked_landmarks(landmarks: np.ndarray, path: Path) -> np.ndarray:
    landmarks = np.asarray(landmarks)
    if landmarks.shape != LANDMARKS_SHAPE or not _is_finite(landmarks):
        raise InputError(
            f"expected finite landmarks {LANDMARKS_SHAPE} for {path}, found {landmarks.dtype} {landmarks.shape}"
            f"{'' if landmarks.shape != LANDMARKS_SHAPE else ', some not finite'}; give NoW's seven points"
        )
    return landmarks


def _is_finite(array: np.ndarray) -> bool:
    return array.dtype.kind in "iuf" and bool(np.isfinite(array).all())


def _unusable(mesh: Trimesh) -> str:
    """Why a mesh cannot be measured; nothing where it can. In the single precision of the file."""
    vertices = np.asarray(mesh.vertices)
    with np.errstate(over="ignore"):
        bad = int((~np.isfinite(vertices.astype(np.float32)).all(1)).sum())
    if bad:
        return f"{bad} vertices with coordinates that are not finite"
    if mesh.faces.min() < 0 or mesh.faces.max() >= len(vertices):
        return f"faces of vertices {mesh.faces.min()} to {mesh.faces.max()} of {len(vertices)}"
    return ""


def _count_merged(mesh: Trimesh) -> int:
    """Vertices as the official reader counts them: merged by position, finite, of some face."""
    try:
        return len(Trimesh(np.float32(mesh.vertices), mesh.faces, process=True).vertices)
    except (ValueError, IndexError):
        return 0
