"""The head of each timestep as files: parameters, meshes, expression coefficients, and the canonical head."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from vhap.export.centred_result import CentredTrack, dynamic_offset, static_offset
from vhap.export.files import TargetFiles, npz
from vhap.export.meshes import ObjWriter
from vhap.head.model import HeadModel, HeadParams, pose

CANONICAL_JAW = (0.3, 0.0, 0.0)
POSED_BY_TRAINERS = "flame"
"""Trainers bring FLAME's own layer; any other head's parameters mean nothing to them, so its meshes go along."""

FlameMode = Literal["param", "mesh"]


def is_posed_by_trainers(head: HeadModel) -> bool:
    """Whether trainers can pose the head by its parameters."""
    return head.name.lower().startswith(POSED_BY_TRAINERS)


class HeadFiles:
    """Writes the head's files of a dataset; files that are there are left as they are.

    mode param: flame_param/%05d.npz and, for heads other than FLAME, meshes. mode mesh: meshes/%05d.obj,
    flame/exp/%05d.txt (one coefficient a line) and canonical.obj. Meshes stand in the exported world.
    """

    def __init__(self, files: TargetFiles, track: CentredTrack, mode: FlameMode) -> None:
        self.files = files
        self.track = track
        self.mode = mode
        self.with_meshes = mode == "mesh" or not is_posed_by_trainers(track.head)
        head = track.head
        scale = 1.0 if track.result.scale is None else float(track.result.scale)
        self.obj = ObjWriter(head.faces.numpy(), head.uvs.numpy(), head.uv_faces.numpy(), scale)

    def keys(self, row: int) -> dict[str, str]:
        """Frame keys that name this timestep's files."""
        keys = {}
        if self.mode == "param":
            keys["flame_param_path"] = f"flame_param/{row:05d}.npz"
        if self.with_meshes:
            keys["mesh_path"] = f"meshes/{row:05d}.obj"
        if self.mode == "mesh":
            keys["exp_path"] = f"flame/exp/{row:05d}.txt"
        return keys

    def write(self, row: int) -> None:
        """The files of one timestep."""
        missing = {key: name for key, name in self.keys(row).items() if not self.files.has(name)}
        if "flame_param_path" in missing:
            self.files.write(missing["flame_param_path"], npz(timestep_arrays(self.track, row)))
        if "mesh_path" in missing:
            self.files.write(missing["mesh_path"], self.obj.content(self.track.vertices(row).numpy()))
        if "exp_path" in missing:
            lines = (f"{value:.8g}\n" for value in self.track.result.expr[row])
            self.files.write(missing["exp_path"], "".join(lines).encode())

    def write_canonical(self) -> None:
        """The head in its canonical pose: parameters (always), and its mesh where meshes are written."""
        arrays = canonical_arrays(self.track)
        head_model = np.array(self.track.head.identity)
        self.files.write("canonical_flame_param.npz", npz({**arrays, "head_model": head_model}))
        if self.with_meshes:
            mesh = self.obj.content(pose_arrays(self.track.head, arrays).numpy())
            self.files.write("canonical.obj", mesh)


def timestep_arrays(track: CentredTrack, row: int) -> dict[str, np.ndarray]:
    """float32: translation, rotation, neck_pose, jaw_pose (1, 3); eyes_pose (1, 6); expr (1, E); shape (S,);
    static_offset (1, V, 3), zeros where unused; dynamic_offset (1, V, 3) and scale () where used."""
    result = track.result
    names = ("translation", "rotation", "neck_pose", "jaw_pose", "eyes_pose", "expr")
    arrays = {name: getattr(result, name)[row][None] for name in names}
    static, dynamic = static_offset(result), dynamic_offset(result, row)
    arrays["shape"] = result.shape
    arrays["static_offset"] = np.zeros((1, track.head.n_vertices, 3)) if static is None else static[None]
    if dynamic is not None:
        arrays["dynamic_offset"] = dynamic[None]
    if result.scale is not None:
        arrays["scale"] = result.scale
    return {name: np.asarray(value, np.float32) for name, value in arrays.items()}


def canonical_arrays(track: CentredTrack) -> dict[str, np.ndarray]:
    """The person's shape at the origin with the mouth open: by the jaw, or by the expression of a head without one."""
    arrays = timestep_arrays(track, 0)
    kept = {name: arrays[name] for name in ("shape", "static_offset", "scale") if name in arrays}
    neutral = {name: np.zeros_like(value) for name, value in arrays.items() if name not in kept}
    if track.head.has_jaw:
        neutral["jaw_pose"][0] = CANONICAL_JAW
    for index, value in track.head.open_mouth.items():
        if not track.head.has_jaw and index < track.head.n_expr:
            neutral["expr"][0, index] = value
    return {**neutral, **kept}


def pose_arrays(head: HeadModel, arrays: dict[str, np.ndarray]) -> torch.Tensor:
    """(V, 3) vertices of the arrays of a flame_param file, as a trainer poses them."""
    tensors = {name: torch.from_numpy(value) for name, value in arrays.items()}
    offset = tensors["static_offset"][0]
    if "dynamic_offset" in tensors:
        offset = offset + tensors["dynamic_offset"][0]
    names = ("expr", "rotation", "translation", "neck_pose", "jaw_pose", "eyes_pose")
    params = HeadParams(
        tensors["shape"],
        **{name: tensors[name][0] for name in names},
        static_offset=offset,
        scale=tensors.get("scale"),
    )
    with torch.no_grad():
        return pose(head, params).double()
