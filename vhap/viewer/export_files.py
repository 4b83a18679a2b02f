"""An exported dataset as it is looked at: cameras, and the files of every moment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from vhap.data.pictures import read_alpha, read_rgb
from vhap.evaluate.rig_scene import RigCamera
from vhap.export.transforms import PATH_KEYS, Frame, Head
from vhap.util.errors import InputError
from vhap.util.files import read_bytes, read_json, read_npz
from vhap.util.paths import inside

TRANSFORMS = "transforms.json"
SPLITS = ("train", "val", "test")
TO_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])
Pose = Callable[[dict[str, np.ndarray]], np.ndarray]
"""Arrays of a flame_param file -> vertices (V, 3)."""


class Split(Head):
    """A transforms file, which may be empty where it is one of a split."""

    frames: list[Frame]


@dataclass(frozen=True)
class ExportFiles:
    """cameras: in the order of their indices; held out are those of no training picture, where there are any.

    moments: one for every timestep of every sequence, in order. parts: to which splits each belongs.
    frames: (moment, camera) -> the frame's entry. head_model: the head's name and hash, or None.
    """

    folder: Path
    cameras: list[RigCamera]
    moments: list[str]
    parts: list[tuple[str, ...]]
    frames: dict[tuple[int, int], dict[str, Any]]
    head_model: str | None

    def picture(self, moment: int, camera: int) -> np.ndarray | None:
        """(H, W, 3) uint8, or None where the camera has none of that moment."""
        frame = self.frames.get((moment, camera))
        return None if frame is None else read_rgb(self._path(frame["file_path"]))

    def mask(self, moment: int, camera: int) -> np.ndarray | None:
        """(H, W, 3) uint8 grey."""
        frame = self.frames.get((moment, camera))
        if frame is None or "fg_mask_path" not in frame:
            return None
        return np.repeat(read_alpha(self._path(frame["fg_mask_path"]))[..., None], 3, -1)

    def vertices(self, moment: int, pose: Pose | None) -> np.ndarray | None:
        """(V, 3) in the exported world: of the mesh file, else by pose of the parameters; None without both."""
        frame = self._any_frame(moment)
        if "mesh_path" in frame:
            return read_obj(self._path(frame["mesh_path"]))[0]
        if pose is None or "flame_param_path" not in frame:
            return None
        return pose(read_npz(self._path(frame["flame_param_path"])))

    def faces(self) -> np.ndarray | None:
        """(F, 3) of the first mesh file; None where there is none."""
        frame = self._any_frame(0)
        return read_obj(self._path(frame["mesh_path"]))[1] if "mesh_path" in frame else None

    def _any_frame(self, moment: int) -> dict[str, Any]:
        return next(frame for (row, _), frame in self.frames.items() if row == moment)

    def _path(self, name: str) -> Path:
        return resolved(self.folder, name)


def transforms_files(folder: Path) -> list[Path]:
    """transforms.json, or where there is none, as in a union, the files of the splits."""
    if (folder / TRANSFORMS).is_file():
        return [folder / TRANSFORMS]
    return [path for path in _split_files(folder).values() if path.is_file()]


def read_export(folder: Path) -> ExportFiles:
    """Raises InputError where a transforms file is damaged, or names files elsewhere than in the dataset or, of a
    union, in those beside it."""
    files = transforms_files(folder)
    contents = [_read(path) for path in files]
    splits = {name: _read(path)["frames"] for name, path in _split_files(folder).items() if path.is_file()}
    frames = [frame for content in contents for frame in content["frames"]]
    if not frames:
        raise InputError(f"expected frames in {' and '.join(map(str, files))}, found none; export again")
    keys = sorted({_moment(frame) for frame in frames})
    index = {key: row for row, key in enumerate(keys)}
    numbers = sorted({frame["camera_index"] for frame in frames})
    trained = {frame["camera_index"] for frame in splits.get("train", [])}
    cameras = []
    for number in numbers:
        first = next(frame for frame in frames if frame["camera_index"] == number)
        cameras.append(_camera(first, is_held_out=bool(trained) and number not in trained))
    parts: list[set[str]] = [set() for _ in keys]
    for name, own in splits.items():
        for frame in own:
            if _moment(frame) in index:
                parts[index[_moment(frame)]].add(name)
    return ExportFiles(
        folder=folder,
        cameras=cameras,
        moments=[f"{sequence} {timestep:05d}".strip() for sequence, timestep in keys],
        parts=[tuple(name for name in SPLITS if name in part) for part in parts],
        frames={(index[_moment(frame)], numbers.index(frame["camera_index"])): frame for frame in frames},
        head_model=contents[0].get("head_model"),
    )


def resolved(folder: Path, name: str) -> Path:
    """The path of a frame's file: below the dataset, or as `../OTHER/...` below one that lies beside it."""
    parts = PurePosixPath(name).parts
    if parts[:1] == ("..",):
        return inside(folder.resolve().parent, "/".join(parts[1:]), folder)
    return inside(folder, name, folder)


def read_obj(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) and triangles (F, 3) of a mesh file as exports write it."""
    lines = read_bytes(path, "a mesh").decode("ascii", "replace").splitlines()
    try:
        vertices = np.array([line.split()[1:4] for line in lines if line.startswith("v ")], np.float64)
        corners = [[word.split("/")[0] for word in line.split()[1:4]] for line in lines if line.startswith("f ")]
        faces = np.array(corners, np.int64) - 1
    except ValueError as error:
        raise InputError(f"expected vertices and triangles in {path}, found others ({error}); export again") from error
    if vertices.shape[1:] != (3,) or faces.shape[1:] != (3,) or faces.min() < 0 or faces.max() >= len(vertices):
        raise InputError(f"expected triangles of its vertices in {path}, found others; export again")
    return vertices, faces


def _split_files(folder: Path) -> dict[str, Path]:
    return {name: folder / f"transforms_{name}.json" for name in SPLITS}


def _read(path: Path) -> dict[str, Any]:
    content = read_json(path, Split)
    for frame in content["frames"]:
        for key in PATH_KEYS:
            if key in frame:
                resolved(path.parent, frame[key])
    return content


def _moment(frame: dict[str, Any]) -> tuple[str, int]:
    """The sequence (of a union, the folder that its files lie in), and the timestep."""
    parts = PurePosixPath(frame["file_path"]).parts
    return (parts[1] if parts[0] == ".." else "", frame["timestep_index"])


def _camera(frame: dict[str, Any], is_held_out: bool) -> RigCamera:
    K = np.array([[frame["fl_x"], 0, frame["cx"]], [0, frame["fl_y"], frame["cy"]], [0, 0, 1]], np.float64)
    pose = TO_OPENCV @ np.linalg.inv(np.array(frame["transform_matrix"], np.float64))
    return RigCamera(str(frame["camera_id"]), K, pose, (int(frame["h"]), int(frame["w"])), is_held_out=is_held_out)
