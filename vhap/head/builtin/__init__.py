"""The built-in head: made by code alone, for the demo, for tests, and for anyone without assets."""

from __future__ import annotations

import functools
import hashlib

import numpy as np
import torch

from vhap.head.builtin.expression_modes import EXPRESSION_FIELDS, LID_MODES, expression_basis
from vhap.head.builtin.features import build_ibug
from vhap.head.builtin.mesh import build_mesh, place_vertices
from vhap.head.builtin.paint import paint_texture
from vhap.head.builtin.parts import build_regions
from vhap.head.builtin.rig import joint_places, joint_shape_basis, skin_weights
from vhap.head.builtin.shape_modes import SHAPE_FIELDS, shape_basis
from vhap.head.model import HeadModel, LandmarkSet

NAME = "builtin"
METRES = 1e-3
HASH_STEP = 0.01


@functools.lru_cache(maxsize=1)
def load_builtin() -> HeadModel:
    """The built-in head, on the CPU. Built once a process; the same bits every time."""
    mesh = build_mesh()
    points = place_vertices(mesh)
    shapes = shape_basis(mesh, points)
    expressions = expression_basis(mesh, points)
    weights = skin_weights(mesh, points)
    face_ids, barycentrics = build_ibug(mesh, points)
    ibug = LandmarkSet(torch.from_numpy(face_ids), torch.from_numpy(barycentrics).float(), torch.arange(70))
    return HeadModel(
        name=NAME,
        asset_hash=hash_arrays(mesh.faces, mesh.uv_faces, mesh.uvs, points, shapes, expressions, 100 * weights),
        template=_metres(points),
        faces=torch.from_numpy(mesh.faces),
        shape_basis=_metres(shapes),
        expr_basis=_metres(expressions),
        pose_basis=None,
        joint_template=_metres(joint_places()),
        joint_shape_basis=_metres(joint_shape_basis(mesh, shapes)),
        weights=torch.from_numpy(weights).float(),
        uvs=torch.from_numpy(mesh.uvs).float(),
        uv_faces=torch.from_numpy(mesh.uv_faces),
        regions={name: torch.from_numpy(ids) for name, ids in build_regions(mesh, points).items()},
        landmarks={"ibug": ibug},
        base_texture=torch.from_numpy(paint_texture(mesh.skin)).float(),
        shape_names=tuple(SHAPE_FIELDS),
        expr_names=(*LID_MODES, *EXPRESSION_FIELDS),
    )


def _metres(millimetres: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(millimetres * METRES)).float()


def hash_arrays(*arrays: np.ndarray) -> str:
    """First 16 hex digits of a SHA-256 of integer arrays and of float64 ones rounded to HASH_STEP.

    Rounding makes it equal on machines whose sines differ in the last bit; the odd shift keeps round numbers off
    the edges between steps.
    """
    digest = hashlib.sha256()
    for values in arrays:
        exact = np.issubdtype(values.dtype, np.integer)
        whole = values if exact else np.floor(values / HASH_STEP + 0.3183)
        digest.update(np.ascontiguousarray(whole, dtype="<i8").tobytes())
    return digest.hexdigest()[:16]
