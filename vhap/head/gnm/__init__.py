"""GNM v3 (Google, Apache-2.0) as a `HeadModel`, read from its `gnm_head.npz` with numpy alone.

The tracker's root is the file's joint `neck`, its neck the file's `head`: rotation, translation, neck and eyes of a
result are the four rotations and the translation of the file's own forward function. There is no jaw joint; the jaw is
in the expressions. Origin, metres and axes are the file's. Left out of the tracked mesh: the shells before the irises,
triangles without area.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vhap.head.gnm.atlas import pack
from vhap.head.gnm.checks import examine
from vhap.head.gnm.file import CORNEAS, FILE_NAME, JOINTS, LOWER_LIP, SOURCE, UPPER_LIP, GnmFile, read_gnm
from vhap.head.gnm.landmarks import find_landmarks, read_landmarks
from vhap.head.gnm.order import component_orders, in_file_order, order_hash
from vhap.head.gnm.regions import group_regions
from vhap.head.landmark_files import with_irises
from vhap.head.model import HeadModel
from vhap.head.regions import complete_regions
from vhap.head.texture import region_texture
from vhap.util.errors import InputError
from vhap.util.log import get_logger

__all__ = ["SOURCE", "VARIABLE", "find_packaged", "gnm_coefficients", "kept_vertices", "load_gnm"]

VARIABLE = "VHAP_GNM_HEAD"
NAME = "gnm"
CONVERTER_VERSION = 1
TEXTURE_RESOLUTION = 512
JOINT_COLUMNS = {"neck": 0, "head": 1, "left_eye": 3, "right_eye": 4}
"""Where the file's joints stand among the tracker's five. The jaw, 2, lies on the head's and moves nothing."""
N_JOINTS, JAW = 5, 2
OPEN_LIPS_M, MOST_OPEN = 0.02, 8.0
"""Distance that the open mouth adds between the lips, and the length of its coefficients at most."""


def find_packaged() -> Path | None:
    """The file in the cache of Google's own package, of its newest version 3; None without one."""
    named = os.environ.get("GNM_CACHE_DIR")
    folder = Path(named) if named else Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "gnm" / "models"
    found = folder.expanduser().glob(f"v3_*/{FILE_NAME}")
    numbered = {int(path.parent.name[3:]): path for path in found if path.parent.name[3:].isdecimal()}
    return numbered[max(numbered)] if numbered else None


def load_gnm(path: str | Path) -> HeadModel:
    """The head of a gnm_head.npz, with regions, a base texture, and `ibug` landmarks where their file is named or lies
    beside it. Components stand in the order of `gnm.order`, under their names in the file.

    Raises InputError naming the first thing that the file lacks or has otherwise than the format says. What may be
    otherwise, as sizes, is one line of the log.
    """
    gnm = read_gnm(path)
    findings = examine(gnm)
    for finding in findings:
        if finding.state == "broken":
            raise InputError(finding.text)
    if notes := [f"{finding.name}: {finding.text}" for finding in findings if finding.state == "note"]:
        get_logger().info("%s is not as the published head, and is used: %s", gnm.path.name, "; ".join(notes))
    return _build(gnm)


def kept_vertices(gnm: GnmFile) -> np.ndarray:
    """(N,) the file's vertices that the tracked mesh has, ascending."""
    return np.nonzero(~gnm.group(CORNEAS))[0]


def gnm_coefficients(head: HeadModel, path: str | Path, shape: np.ndarray, expr: np.ndarray) -> tuple[np.ndarray, ...]:
    """Identity (..., I), expression (..., E) in the file's own order, of a result's shape (..., S) and expr (..., K):
    zeros for components that the run left out."""
    gnm = read_gnm(path)
    parts = ((shape, head.shape_names, "identity_names"), (expr, head.expr_names, "expression_names"))
    return tuple(in_file_order(values, names, gnm.names(array)) for values, names, array in parts)


def _build(gnm: GnmFile) -> HeadModel:
    kept = kept_vertices(gnm)
    new_id = np.full(len(gnm["template_vertex_positions"]), -1)
    new_id[kept] = np.arange(len(kept))
    drawn = (new_id[gnm["triangles"]] >= 0).all(1)
    drawn &= (gnm["triangles"] != np.roll(gnm["triangles"], 1, 1)).all(1)
    faces, parts = new_id[gnm["triangles"][drawn]], gnm.names("mesh_component_names")
    uvs, uv_faces = pack(faces, gnm["triangle_uvs"][drawn], {name: gnm.group(name)[kept] for name in parts})
    shapes, expressions = component_orders(gnm)
    names = [gnm["identity_names"][shapes].tolist(), gnm["expression_names"][expressions].tolist()]
    joints, joint_basis, weights = _rig(gnm, kept, shapes)
    expr_basis = _component_last(gnm["expression_basis"], expressions, kept)
    model = HeadModel(
        name=NAME,
        asset_hash=f"{gnm.content_hash()}-{CONVERTER_VERSION}-{order_hash(shapes, expressions)}",
        template=torch.from_numpy(gnm["template_vertex_positions"][kept]),
        faces=torch.from_numpy(faces),
        shape_basis=_component_last(gnm["vertex_identity_basis"], shapes, kept),
        expr_basis=expr_basis,
        pose_basis=_pose_basis(gnm, kept),
        joint_template=joints,
        joint_shape_basis=joint_basis,
        weights=weights,
        uvs=torch.from_numpy(uvs),
        uv_faces=torch.from_numpy(uv_faces),
        regions=group_regions(gnm, kept, faces),
        shape_names=tuple(names[0]),
        expr_names=tuple(names[1]),
        has_jaw=False,
        unit_variance=True,
    )
    return _completed(gnm, model, new_id)


def _completed(gnm: GnmFile, model: HeadModel, new_id: np.ndarray) -> HeadModel:
    """With landmarks, all regions, the open mouth and a texture."""
    if marks_path := find_landmarks(gnm.path):
        marks = read_landmarks(marks_path, gnm["template_vertex_positions"], new_id, model.faces.numpy())
        model = replace(model, landmarks={"ibug": with_irises(model, marks)})
    model = complete_regions(model)
    if "face" not in model.regions:
        raise InputError(
            f"expected the vertex group hockey_mask in {gnm.path}, found none; put the landmarks' file beside it, from "
            "which the face follows"
        )
    lips = (new_id[gnm.group(*names) & (new_id >= 0)] for names in (UPPER_LIP, LOWER_LIP))
    model = replace(model, open_mouth=_open_mouth(model, *lips))
    return replace(model, base_texture=region_texture(model, TEXTURE_RESOLUTION))


def _component_last(basis: np.ndarray, order: np.ndarray, kept: np.ndarray) -> Tensor:
    """(N, V, 3) -> (V', 3, N)."""
    return torch.from_numpy(np.ascontiguousarray(basis[order][:, kept].transpose(1, 2, 0)))


def _rig(gnm: GnmFile, kept: np.ndarray, order: np.ndarray) -> tuple[Tensor, Tensor, Tensor]:
    """Joints (5, 3), how they follow the shape (5, 3, S), and weights (V, 5)."""
    columns = [JOINT_COLUMNS[name] for name in JOINTS]
    joints, basis = np.zeros((N_JOINTS, 3), np.float32), np.zeros((N_JOINTS, 3, len(order)), np.float32)
    weights = np.zeros((len(kept), N_JOINTS), np.float32)
    joints[columns] = gnm["template_joint_positions"]
    basis[columns] = gnm["joint_identity_basis"][order].transpose(1, 2, 0)
    weights[:, columns] = gnm["skinning_weights"][:, kept].T
    joints[JAW], basis[JAW] = joints[JOINT_COLUMNS["head"]], basis[JOINT_COLUMNS["head"]]
    return torch.from_numpy(joints), torch.from_numpy(basis), torch.from_numpy(weights)


def _pose_basis(gnm: GnmFile, kept: np.ndarray) -> Tensor | None:
    """(V, 3, 36), None where all are zero. Those of the root are, by the file's checks."""
    correctives = gnm["pose_correctives_regressor"]
    if not correctives.any():
        return None
    by_joint = correctives.reshape(len(JOINTS), 9, -1, 3)[:, :, kept]
    basis = np.zeros((len(kept), 3, N_JOINTS - 1, 9), np.float32)
    for row, name in enumerate(JOINTS):
        if JOINT_COLUMNS[name] > 0:
            basis[:, :, JOINT_COLUMNS[name] - 1] = by_joint[row].transpose(1, 2, 0)
    return torch.from_numpy(basis.reshape(len(kept), 3, -1))


def _open_mouth(model: HeadModel, upper: np.ndarray, lower: np.ndarray) -> dict[int, float]:
    """The most probable expression that opens the lips: the jaw is no single component. Empty without lip groups."""
    if not len(upper) or not len(lower):
        return {}
    height = model.expr_basis[:, 1]
    opening = height[upper].mean(0) - height[lower].mean(0)
    length = opening.norm()
    if length == 0:
        return {}
    values = opening / length * min(OPEN_LIPS_M / float(length), MOST_OPEN)
    return {
        index: float(values[index]) for index in (values.abs() > 1e-3 * values.abs().max()).nonzero()[:, 0].tolist()
    }
