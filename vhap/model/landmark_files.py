"""The landmark files that come beside FLAME: 68 iBUG points with eyes and sliding jaw line, MediaPipe's 105."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vhap.geometry.meshes import barycentric_points
from vhap.model.flame_pickle import read_object_array
from vhap.model.head import HeadModel, JawLine, LandmarkSet
from vhap.util.errors import InputError
from vhap.util.files import read_npz

N_JAW = 17
N_IBUG = 68
N_YAW_DEG = 40


def read_ibug(path: Path, n_faces: int) -> tuple[LandmarkSet, JawLine | None]:
    """landmark_embedding_with_eyes.npy: the static points and, where the file has it, the sliding jaw line.

    The set has 68 or 70 points; `with_irises` sees to the last two.
    """
    content = read_object_array(path)
    if not isinstance(content, dict):
        raise InputError(f"expected a dictionary in {path}, found {type(content).__name__}; download the file again")
    arrays = {key: np.asarray(value) for key, value in content.items()}
    jaw_line = None
    if "dynamic_lmk_faces_idx" in arrays:
        jaw_line = JawLine(
            torch.from_numpy(arrays["dynamic_lmk_faces_idx"].astype(np.int64)),
            torch.from_numpy(arrays["dynamic_lmk_bary_coords"].astype(np.float32)),
        )
    if "full_lmk_faces_idx" in arrays:
        face_ids = arrays["full_lmk_faces_idx"].reshape(-1)
        weights = arrays["full_lmk_bary_coords"].reshape(-1, 3)
    elif "static_lmk_faces_idx" in arrays and jaw_line is not None:
        face_ids = np.concatenate([jaw_line.face_ids[0].numpy(), arrays["static_lmk_faces_idx"].reshape(-1)])
        weights = np.concatenate([jaw_line.barycentrics[0].numpy(), arrays["static_lmk_bary_coords"].reshape(-1, 3)])
    else:
        raise InputError(f"expected full_lmk_faces_idx in {path}, found {sorted(arrays)}; download the file again")
    marks = _landmark_set(face_ids, weights, np.arange(len(face_ids)), n_faces, path)
    if len(face_ids) not in (N_IBUG, N_IBUG + 2):
        raise InputError(f"expected 68 or 70 landmarks in {path}, found {len(face_ids)}; download the file again")
    return marks, jaw_line


def read_mediapipe(path: Path, n_faces: int) -> LandmarkSet:
    """mediapipe_landmark_embedding.npz: 105 of MediaPipe's 478 points."""
    arrays = read_npz(path)
    missing = {"lmk_face_idx", "lmk_b_coords", "landmark_indices"} - arrays.keys()
    if missing:
        raise InputError(f"expected {sorted(missing)} in {path}, found {sorted(arrays)}; download the file again")
    return _landmark_set(arrays["lmk_face_idx"], arrays["lmk_b_coords"], arrays["landmark_indices"], n_faces, path)


def orient_jaw_line(jaw_line: JawLine, template: Tensor, faces: Tensor) -> JawLine:
    """The jaw line with its rows in our sense of yaw, whichever one the file counts in.

    On a face turned towards the image's right the subject's left cheek is the far one, and its outline moves
    forward over the face: there the left half of the points lies at larger z than under the opposite yaw.
    """
    places = barycentric_points(template, faces, jaw_line.face_ids.reshape(-1), jaw_line.barycentrics.reshape(-1, 3))
    places = places.reshape(*jaw_line.face_ids.shape, 3)
    far = (places[..., 0] > places[..., 0].mean()).float()
    forward = (places[..., 2] * far).sum(1) / far.sum(1).clamp(min=1)
    if forward[1:N_YAW_DEG].mean() >= forward[N_YAW_DEG:].mean():
        return jaw_line
    swapped = torch.cat([torch.tensor([0]), torch.arange(N_YAW_DEG, 2 * N_YAW_DEG - 1), torch.arange(1, N_YAW_DEG)])
    return JawLine(jaw_line.face_ids[swapped], jaw_line.barycentrics[swapped])


def _landmark_set(face_ids, weights, detector_ids, n_faces: int, path: Path) -> LandmarkSet:
    face_ids = np.asarray(face_ids).reshape(-1).astype(np.int64)
    weights = np.asarray(weights, np.float32).reshape(-1, 3)
    if len(weights) != len(face_ids) or face_ids.min() < 0 or face_ids.max() >= n_faces:
        raise InputError(
            f"expected face ids below {n_faces} with three weights each in {path}, found ids up to {face_ids.max()}; "
            "take the file that belongs to this model"
        )
    ids = np.asarray(detector_ids).reshape(-1).astype(np.int64)
    return LandmarkSet(torch.from_numpy(face_ids), torch.from_numpy(weights), torch.from_numpy(ids))


def with_irises(model: HeadModel, marks: LandmarkSet) -> LandmarkSet:
    """The 68 points and the two iris centres, the one on the image's left (the subject's right) first.

    Centres that the file lacks are the eyeballs' foremost vertices.
    """
    if len(marks.face_ids) == N_IBUG + 2:
        places = barycentric_points(model.template, model.faces, marks.face_ids[N_IBUG:], marks.barycentrics[N_IBUG:])
        order = torch.arange(N_IBUG + 2)
        order[N_IBUG:] = N_IBUG + places[:, 0].argsort()
        return LandmarkSet(marks.face_ids[order], marks.barycentrics[order], torch.arange(N_IBUG + 2))
    if not {"left_eyeball", "right_eyeball"} <= model.regions.keys():
        return marks
    pupils = [foremost(model, model.regions[name]) for name in ("right_eyeball", "left_eyeball")]
    added = vertex_landmarks(model.faces, torch.tensor(pupils))
    return LandmarkSet(
        torch.cat([marks.face_ids, added.face_ids]),
        torch.cat([marks.barycentrics, added.barycentrics]),
        torch.arange(N_IBUG + 2),
    )


def foremost(model: HeadModel, vertex_ids: Tensor) -> int:
    return int(vertex_ids[model.template[vertex_ids, 2].argmax()])


def vertex_landmarks(faces: Tensor, vertices: Tensor) -> LandmarkSet:
    """Landmarks that sit on vertices: some face around each, all weight on its corner there."""
    matches = faces[None] == vertices[:, None, None]
    face_ids = matches.any(-1).int().argmax(-1)
    corners = matches[torch.arange(len(vertices)), face_ids].float()
    return LandmarkSet(face_ids, corners, torch.arange(len(vertices)))
