"""One mesh file a timestep in the world of its parameters, and the cameras that put them over the pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import trimesh

from vhap.data.results import TrackResult
from vhap.export.meshes import ObjWriter, write_material
from vhap.export.nerf_dataset import intrinsics
from vhap.geometry.cameras import Camera
from vhap.head.model import HeadModel, HeadParams, pose
from vhap.util.files import atomic_path, write_json

DEFAULT_FPS = 25.0
"""Frames a second of recordings that do not say theirs."""
FRAME_FORMATS = ("obj", "ply")
PER_FRAME = ("expr", "rotation", "translation", "neck_pose", "jaw_pose", "eyes_pose")


@dataclass(frozen=True)
class TrackedHead:
    """A head on the CPU with everything that was tracked of it.

    params: T timesteps along one leading axis; only the shape, and an offset that does not move, lack it.
    albedo (H, W, 3) uint8, row 0 on top. times_s (T,) ascending, from the recording's first frame.
    """

    model: HeadModel
    params: HeadParams
    albedo: np.ndarray
    times_s: np.ndarray

    @property
    def n_timesteps(self) -> int:
        return len(self.times_s)

    @property
    def has_moving_offset(self) -> bool:
        return self.params.static_offset is not None and self.params.static_offset.ndim == 3

    def at(self, row: int) -> HeadParams:
        """One timestep, without a leading axis."""
        names = (*PER_FRAME, "static_offset") if self.has_moving_offset else PER_FRAME
        return replace(self.params, **{name: getattr(self.params, name)[row] for name in names})

    def vertices(self, row: int) -> np.ndarray:
        """(V, 3) in the world of the params."""
        with torch.no_grad():
            return pose(self.model, self.at(row)).numpy()


class FrameMeshes:
    """Writes frame_%05d.obj, which share head.mtl and head.png, or frame_%05d.ply, which have neither UVs nor colour.

    kind: obj or ply. Vertices are in the head's own order. Files that are there are left as they are.
    """

    def __init__(self, folder: Path, head: TrackedHead, kind: str) -> None:
        self.folder = folder
        self.head = head
        self.kind = kind
        model = head.model
        self.faces = model.faces.numpy()
        self.material = folder / "head.mtl"
        scale = 1.0 if head.params.scale is None else float(head.params.scale)
        self.obj = ObjWriter(self.faces, model.uvs.numpy(), model.uv_faces.numpy(), scale)
        if kind == "obj":
            write_material(self.material, head.albedo)

    def write(self, row: int) -> None:
        path = self.folder / mesh_name(row, self.kind)
        if path.exists():
            return
        if self.kind == "obj":
            self.obj.write(path, self.head.vertices(row), self.material)
            return
        mesh = trimesh.Trimesh(self.head.vertices(row), self.faces, process=False)
        with atomic_path(path) as temporary:
            mesh.export(temporary, file_type="ply")


def mesh_name(row: int, kind: str) -> str:
    return f"frame_{row:05d}.{kind}"


def write_cameras(
    path: Path, cameras: Mapping[str, Camera], result: TrackResult, times_s: np.ndarray, kinds: Sequence[str]
) -> None:
    """What puts meshes over the pictures they were tracked in.

    `cameras`: for each of the recording's cameras camera_id, `world_to_camera` (4x4 rows, OpenGL axes: x right, y up,
    looking down -z), `fl_x, fl_y, cx, cy` in pixels of pictures of `w` x `h` (origin at the upper left corner,
    pixel centres at half integers), and `camera_angle_x, camera_angle_y` in radians. With
    (X, Y, Z, 1) = world_to_camera (x, y, z, 1) a vertex lies at the pixel (fl_x X / -Z + cx, cy - fl_y Y / -Z).
    `frames`: for each timestep its number in the file names, timestep_index in the recording, timestep_id (the
    picture's name), time_s, and `meshes`, the names of its files. Of a rig also `T_exported_given` (4x4 rows):
    x_exported = T_exported_given @ x_given, given being the world of the calibration.
    """
    rows = range(len(times_s))
    frames = [
        {
            "frame": row,
            "timestep_index": int(result.timestep_index[row]),
            "timestep_id": str(result.timestep_id[row]),
            "time_s": float(times_s[row]),
            "meshes": [mesh_name(row, kind) for kind in kinds],
        }
        for row in rows
    ]
    entries = [_camera_entry(name, camera) for name, camera in cameras.items()]
    T = result.T_tracked_given
    write_json(path, {"cameras": entries, **({} if T is None else {"T_exported_given": T.tolist()}), "frames": frames})


def _camera_entry(name: str, camera: Camera) -> dict[str, Any]:
    return {"camera_id": name, "world_to_camera": camera.T_camera_world.tolist(), **intrinsics(camera)}
