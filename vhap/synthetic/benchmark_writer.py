"""What the NeRSemble benchmark has beside pictures: mattes as videos, metadata, and for novel views point clouds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vhap.geometry.meshes import vertex_normals
from vhap.head.model import HeadModel
from vhap.synthetic.person import Person
from vhap.synthetic.rig_layouts import RigFiles
from vhap.synthetic.writer import write_video
from vhap.util.files import map_npy, read_json, write_bytes, write_json
from vhap.util.progress import progress

FIELDS = ("x", "y", "z", "normal_x", "normal_y", "normal_z", "rgb")


def write_benchmark(
    files: RigFiles, model: HeadModel, person: Person, serials: Sequence[str], timesteps: Sequence[str], fps: float
) -> None:
    """Everything that is missing."""
    for serial in files.given(serials):
        write_video(files.alpha_video(serial), [files.alpha(serial, timestep) for timestep in timesteps], fps)
    if files.has_point_clouds:
        write_point_clouds(files, model, person, len(timesteps))


def write_point_clouds(files: RigFiles, model: HeadModel, person: Person, count: int) -> None:
    """Those that are missing: the true vertices, in the calibration's world."""
    vertices, colors = map_npy(files.vertices), vertex_colors(model, person)
    for t in progress(range(count), "point clouds"):
        points = torch.from_numpy(np.array(vertices[t]))
        if not files.point_cloud(t).is_file():
            write_point_cloud(files.point_cloud(t), points.numpy(), vertex_normals(points, model.faces).numpy(), colors)


def write_metadata(files: RigFiles, count: int) -> None:
    """How many timesteps the sequence has, beside what is known of others; nothing where that is there already. Novel
    views have one sequence of each subject."""
    key, subject = ("sequences" if files.has_point_clouds else "participants_metadata"), str(int(files.subject))
    before = read_json(files.metadata, dict[str, dict[str, Any]]) if files.metadata.is_file() else {}
    of_subjects = before.get(key, {})
    if files.has_point_clouds:
        entry: dict[str, Any] = {"sequence_name": files.sequence, "timesteps": list(range(count))}
    else:
        others = of_subjects.get(subject, {}).get("sequences_metadata", {})
        entry = {"sequences_metadata": dict(sorted({**others, files.sequence: {"n_frames": count}}.items()))}
    # In an order that does not depend on which was made first.
    after = {**before, key: dict(sorted({**of_subjects, subject: entry}.items()))}
    if after != before:
        write_json(files.metadata, after)


def vertex_colors(model: HeadModel, person: Person) -> np.ndarray:
    """(V, 3) uint8: the albedo at one corner of each vertex."""
    height, width = person.texture.shape[:2]
    uv = np.zeros((model.n_vertices, 2), np.float32)
    uv[model.faces.numpy()] = model.uvs.numpy()[model.uv_faces.numpy()]
    columns = (uv[:, 0] * width).astype(int).clip(0, width - 1)
    rows = ((1 - uv[:, 1]) * height).astype(int).clip(0, height - 1)
    return (person.texture.numpy()[rows, columns] * 255 + 0.5).astype(np.uint8)


def write_point_cloud(path: Path, points: np.ndarray, normals: np.ndarray, colors: np.ndarray) -> None:
    """A binary .pcd as Open3D writes it. points, normals (N, 3); colors (N, 3) uint8 RGB."""
    count, bgr0 = len(points), np.zeros((len(points), 4), np.uint8)
    bgr0[:, :3] = colors[:, ::-1]
    columns = len(FIELDS)
    header = [
        "# .PCD v0.7 - Point Cloud Data file format",
        "VERSION 0.7",
        f"FIELDS {' '.join(FIELDS)}",
        f"SIZE{' 4' * columns}",
        f"TYPE{' F' * columns}",
        f"COUNT{' 1' * columns}",
        f"WIDTH {count}",
        "HEIGHT 1",
        "VIEWPOINT 0 0 0 1 0 0 0",
        f"POINTS {count}",
        "DATA binary",
    ]
    records = np.concatenate([points.astype("<f4"), normals.astype("<f4"), bgr0.view("<f4")], 1)
    write_bytes(path, "\n".join([*header, ""]).encode() + records.tobytes())
