"""Other heads, the built-in one first, in FLAME's files: faces that can be filmed and tracked through the loader of
FLAME 2020."""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from scipy.sparse import csc_matrix

from vhap.head.builtin import load_builtin
from vhap.head.model import HeadModel

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "head"))

import flame_files

N_SHAPE, N_EXPR = 300, 100


def write_builtin_as_flame(folder: Path, monkeypatch) -> Path:
    return write_head_as_flame(folder, load_builtin(), monkeypatch)


def write_head_as_flame(folder: Path, head: HeadModel, monkeypatch) -> Path:
    """generic_model.pkl with its masks, landmarks, template and texture; missing coefficients move nothing."""
    directions = np.zeros((head.n_vertices, 3, N_SHAPE + N_EXPR), np.float32)
    directions[..., : head.n_shape] = head.shape_basis
    directions[..., N_SHAPE : N_SHAPE + head.n_expr] = head.expr_basis
    sparse = csc_matrix(joint_regressor(head))
    parts = {"data": sparse.data, "indices": sparse.indices, "indptr": sparse.indptr, "format": "csc", "maxprint": 50}
    correctives = head.pose_basis
    content = {
        "f": head.faces.numpy().astype(np.uint32),
        "v_template": head.template.double().numpy(),
        "shapedirs": flame_files.old_class(monkeypatch, "chumpy.ch", "Ch", x=directions),
        "posedirs": np.zeros((head.n_vertices, 3, 36), np.float32) if correctives is None else correctives.numpy(),
        "J_regressor": flame_files.old_class(
            monkeypatch, "scipy.sparse.csc", "csc_matrix", _shape=sparse.shape, **parts
        ),
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], [0, 1, 2, 3, 4]], np.int64),
        "weights": head.weights.double().numpy(),
        "bs_style": "lbs",
        "bs_type": "lrotmin",
    }
    folder.mkdir(parents=True, exist_ok=True)
    flame_files.write_pickle(folder / "generic_model.pkl", content)
    regions = {name: ids.numpy() for name, ids in head.regions.items()}
    flame_files.write_pickle(folder / "FLAME_masks.pkl", regions)
    write_points(folder, head)
    write_texture(folder, head)
    return folder / "generic_model.pkl"


def joint_regressor(head: HeadModel) -> np.ndarray:
    """(5, V): the smallest one that gives the head's joints for every shape."""
    known = np.concatenate([head.template[..., None], head.shape_basis], -1).astype(np.float64)
    joints = np.concatenate([head.joint_template[..., None], head.joint_shape_basis], -1).astype(np.float64)
    rows = known.reshape(head.n_vertices, -1).T
    return np.linalg.lstsq(rows, joints.reshape(5, -1).T, rcond=None)[0].T


def write_points(folder: Path, head: HeadModel) -> None:
    """landmark_embedding_with_eyes.npy without a sliding jaw line."""
    points = head.landmarks["ibug"]
    content = {
        "full_lmk_faces_idx": points.face_ids[None].clone(),
        "full_lmk_bary_coords": points.barycentrics[None].double(),
    }
    np.save(folder / "landmark_embedding_with_eyes.npy", np.array(content, dtype=object), allow_pickle=True)


def write_texture(folder: Path, head: HeadModel) -> None:
    """head_template_mesh.obj and tex_mean_painted.png."""
    lines = [f"v {x} {y} {z}" for x, y, z in head.template.tolist()]
    lines += [f"vt {u} {v}" for u, v in head.uvs.tolist()]
    for corners, places in zip((head.faces + 1).tolist(), (head.uv_faces + 1).tolist()):
        lines.append("f " + " ".join(f"{a}/{b}" for a, b in zip(corners, places)))
    (folder / "head_template_mesh.obj").write_text("\n".join(lines))
    assert head.base_texture is not None
    colours = (torch.as_tensor(head.base_texture).clamp(0, 1) * 255).round().byte().numpy()
    cv2.imwrite(str(folder / "tex_mean_painted.png"), colours[..., ::-1])
