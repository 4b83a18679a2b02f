"""FLAME 2020, 2023 and 2023 Open (Li et al. 2017) as a `HeadModel`.

Reads the pickle of the registered download and, from the same folder, the files that belong to it.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from vhap.head.flame_pickle import numbers_of, read_pickle, whole_numbers_of
from vhap.head.landmark_files import orient_jaw_line, read_ibug, read_mediapipe, with_irises
from vhap.head.model import HeadModel
from vhap.head.regions import complete_regions
from vhap.head.teeth import add_teeth
from vhap.head.texture import region_texture
from vhap.head.uv import cylinder_layout, match_corners
from vhap.util.errors import InputError, shown
from vhap.util.files import file_hash, read_bytes, read_npz
from vhap.util.log import get_logger
from vhap.util.schema import REAL, WHOLE, ArrayRule, check_arrays

N_IDENTITY = 300
N_JOINTS = 5
TEXTURE_RESOLUTION = 1024
SOURCE = "flame.is.tue.mpg.de"

MASKS = "FLAME_masks.pkl"
NEEDED_MASKS = ("face", "scalp", "neck", "lips", "boundary")
LANDMARKS = "landmark_embedding_with_eyes.npy"
MEDIAPIPE = "mediapipe_landmark_embedding.npz"
TEMPLATE_OBJ = "head_template_mesh.obj"
TEXTURE_SPACE = "FLAME_texture.npz"
PAINTED = "tex_mean_painted.png"


def load_flame(path: str | Path, with_teeth: bool = True) -> HeadModel:
    """The head in a FLAME pickle.

    path: the .pkl; its folder is searched for FLAME_masks.pkl (needed) and landmark, texture and template files
    (used where they are there). Joints are linear in the identity coefficients alone, J_regressor applied to the
    shaped template, as the paper has it: expressions do not move them.
    with_teeth: 120 more vertices, which count in every array that is written.
    Raises InputError for a missing, damaged or unlike file.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError(f"expected a FLAME model at {path}, found none; get it from {SOURCE} and put it there")
    content = read_pickle(path)
    arrays = _arrays(content, path)
    model = _build(path, arrays, "supr_expression_metadata" in content)
    marks, jaw_line = None, None
    if (path.parent / LANDMARKS).is_file():
        marks, jaw_line = read_ibug(path.parent / LANDMARKS, len(model.faces))
        jaw_line = None if jaw_line is None else orient_jaw_line(jaw_line, model.template, model.faces)
    model = replace(model, regions=_read_masks(path.parent / MASKS, model.n_vertices), jaw_line=jaw_line)
    if marks is not None:
        model = replace(model, landmarks={"ibug": with_irises(model, marks)})
    if (path.parent / MEDIAPIPE).is_file():
        points = read_mediapipe(path.parent / MEDIAPIPE, len(model.faces))
        model = replace(model, landmarks={**model.landmarks, "mediapipe": points})
    uvs, uv_faces = _layout(path.parent, model)
    model = replace(model, uvs=uvs, uv_faces=uv_faces)
    model = complete_regions(add_teeth(model) if with_teeth else model)
    texture = _base_texture(path.parent, model)
    return replace(model, base_texture=texture)


def _arrays(content: Any, path: Path) -> dict[str, np.ndarray]:
    """The arrays of the pickle, with their shapes checked."""
    names = ("f", "v_template", "shapedirs", "posedirs", "J_regressor", "kintree_table", "weights")
    if not isinstance(content, dict) or any(name not in content for name in names):
        found = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise InputError(
            f"expected a FLAME model with {', '.join(names)} in {path}, found {shown(found)}; get it from {SOURCE}"
        )
    arrays = {name: numbers_of(content, name, path) for name in names}
    if not arrays["v_template"].ndim:
        raise InputError(f"expected v_template of shape (5023, 3) in {path}, found one number; not a FLAME head")
    count = len(arrays["v_template"])
    arrays["f"] = whole_numbers_of(content, "f", path, count)
    if arrays["f"].ndim != 2 or arrays["f"].shape[1] != 3 or not len(arrays["f"]):
        raise InputError(f"expected f of shape (9976, 3) in {path}, found {arrays['f'].shape}; not a FLAME head")
    expected = {
        "v_template": (count, 3),
        "posedirs": (count, 3, 9 * (N_JOINTS - 1)),
        "J_regressor": (N_JOINTS, count),
        "kintree_table": (2, N_JOINTS),
        "weights": (count, N_JOINTS),
    }
    for name, shape in expected.items():
        if arrays[name].shape != shape:
            raise InputError(
                f"expected {name} of shape {shape} in {path}, found {arrays[name].shape}; not a FLAME head"
            )
    shapedirs = arrays["shapedirs"]
    if shapedirs.ndim != 3 or shapedirs.shape[:2] != (count, 3) or shapedirs.shape[2] <= N_IDENTITY:
        raise InputError(f"expected shapedirs ({count}, 3, 400) in {path}, found {shapedirs.shape}; not a FLAME head")
    parents = arrays["kintree_table"][0, 1:].tolist()
    if any(not 0 <= parent < joint for joint, parent in enumerate(parents, start=1)):
        raise InputError(
            f"expected each joint's parent before it in kintree_table of {path}, found {parents}; not a FLAME head"
        )
    return arrays


def _build(path: Path, arrays: dict[str, np.ndarray], is_open: bool) -> HeadModel:
    def tensor(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.array(values, np.float32, order="C"))

    regressor = arrays["J_regressor"].astype(np.float64)
    identity = arrays["shapedirs"][..., :N_IDENTITY].astype(np.float64)
    parents = arrays["kintree_table"][0].astype(np.int64)
    return HeadModel(
        name=_variant(path, is_open),
        asset_hash=file_hash(path),
        template=tensor(arrays["v_template"]),
        faces=torch.from_numpy(arrays["f"]),
        shape_basis=tensor(identity),
        expr_basis=tensor(arrays["shapedirs"][..., N_IDENTITY:]),
        pose_basis=tensor(arrays["posedirs"]),
        joint_template=tensor(regressor @ arrays["v_template"].astype(np.float64)),
        joint_shape_basis=tensor(np.einsum("jv,vcs->jcs", regressor, identity, optimize=True)),
        weights=tensor(arrays["weights"]),
        uvs=torch.zeros(1, 2),
        uv_faces=torch.zeros(len(arrays["f"]), 3, dtype=torch.int64),
        parents=(-1, *(int(parent) for parent in parents[1:])),
    )


def _variant(path: Path, is_open: bool) -> str:
    """2023 Open is told by its content; 2020 and 2023 have the same content and are told by the file's name."""
    if is_open:
        return "flame2023_open"
    return "flame2023" if "2023" in path.name else "flame2020"


def _read_masks(path: Path, n_vertices: int) -> dict[str, torch.Tensor]:
    if not path.is_file():
        raise InputError(f"expected {MASKS} beside the FLAME model, found none at {path}; get it from {SOURCE}")
    content = read_pickle(path)
    if not isinstance(content, dict) or not set(NEEDED_MASKS) <= content.keys():
        raise InputError(f"expected FLAME's vertex masks in {path}, found something else; get it from {SOURCE}")
    regions = {
        str(name): torch.from_numpy(whole_numbers_of(content, name, path, n_vertices).reshape(-1)) for name in content
    }
    if empty := [name for name in NEEDED_MASKS if not len(regions[name])]:
        raise InputError(
            f"expected vertices in the masks {', '.join(empty)} of {path}, found none; get it from {SOURCE}"
        )
    return regions


def _layout(folder: Path, model: HeadModel) -> tuple[torch.Tensor, torch.Tensor]:
    """Texture coordinates from the template OBJ, else from FLAME_texture.npz, else generated (a cylinder)."""
    faces = model.faces.numpy()
    found = _layout_of_obj(folder / TEMPLATE_OBJ, faces) or _layout_of_texture(folder / TEXTURE_SPACE, faces)
    if found is None:
        get_logger().info("no texture layout beside the FLAME model: a cylindrical one is made")
        balls = [model.regions[name].numpy() for name in ("right_eyeball", "left_eyeball") if name in model.regions]
        found = cylinder_layout(model.template.double().numpy(), faces, balls)
    uvs, uv_faces = found
    return torch.from_numpy(uvs.astype(np.float32)), torch.from_numpy(uv_faces.astype(np.int64))


def _layout_of_obj(path: Path, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    if not path.is_file():
        return None
    uvs, corners = [], []
    uv_faces = None
    with contextlib.suppress(ValueError, IndexError, OverflowError):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            word, _, rest = line.partition(" ")
            if word == "vt":
                uvs.append([float(value) for value in rest.split()[:2]])
            elif word == "f":
                corners.append([corner.split("/")[:2] for corner in rest.split()])
        table = np.array(corners, dtype=np.int64) - 1
        uv_faces = match_corners(faces, table[..., 0], table[..., 1])
    if uv_faces is None or not _fit_together(uvs, uv_faces):
        get_logger().warning("%s has other triangles than the model: its texture layout is not used", path.name)
        return None
    return np.array(uvs), uv_faces


def _fit_together(uvs: list[list[float]], uv_faces: np.ndarray) -> bool:
    """Whether all texture coordinates are pairs of finite numbers and the faces name no others."""
    if not uvs or any(len(uv) != 2 for uv in uvs) or not np.isfinite(uvs).all():
        return False
    return bool(uv_faces.min() >= 0 and uv_faces.max() < len(uvs))


def _layout_of_texture(path: Path, faces: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Only vt and ft are read: the file's texture basis would take most of a gigabyte."""
    if not path.is_file():
        return None
    arrays = read_npz(path, only=("vt", "ft"))
    rules = {"vt": ArrayRule(REAL, ("n", 2), most=10), "ft": ArrayRule(WHOLE, ("f", 3))}
    check_arrays(path, arrays, rules, f"get the file again from {SOURCE}")
    uvs, uv_faces = arrays["vt"], arrays["ft"]
    if uv_faces.shape != faces.shape or not _fit_together(uvs.tolist(), uv_faces):
        get_logger().warning("%s has other triangles than the model: its texture layout is not used", path.name)
        return None
    return uvs, uv_faces


def _base_texture(folder: Path, model: HeadModel) -> torch.Tensor:
    path = folder / PAINTED
    if not path.is_file():
        return region_texture(model, TEXTURE_RESOLUTION)
    picture = None
    # OpenCV returns nothing for most faulty files, and raises for empty ones and for sizes beyond its limit.
    with contextlib.suppress(cv2.error):
        picture = cv2.imdecode(np.frombuffer(read_bytes(path, "a picture"), np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise InputError(f"expected a picture at {path}, found something unreadable; restore or remove it")
    return torch.from_numpy(picture[..., ::-1].astype(np.float32) / 255)
