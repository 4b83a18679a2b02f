"""The landmark files that come beside FLAME: 68 iBUG points with eyes and sliding jaw line, MediaPipe's 105."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vhap.geometry.meshes import barycentric_points
from vhap.head.flame_pickle import numbers_of, read_object_array, whole_numbers_of
from vhap.head.model import HeadModel, JawLine, LandmarkSet
from vhap.util.errors import InputError, shown
from vhap.util.files import read_npz

N_JAW = 17
N_IBUG, N_MEDIAPIPE = 68, 478
N_YAW_DEG = 40
N_JAW_ROWS = 2 * N_YAW_DEG - 1


def read_ibug(path: Path, n_faces: int) -> tuple[LandmarkSet, JawLine | None]:
    """landmark_embedding_with_eyes.npy: the static points and, where the file has it, the sliding jaw line.

    The set has 68 or 70 points; `with_irises` sees to the last two.
    """
    content = read_object_array(path)
    if not isinstance(content, dict):
        raise InputError(f"expected a dictionary in {path}, found {type(content).__name__}; download the file again")
    jaw_line = _jaw_line(content, n_faces, path) if "dynamic_lmk_faces_idx" in content else None
    if "full_lmk_faces_idx" in content:
        marks = _landmark_set(content, "full_lmk_faces_idx", "full_lmk_bary_coords", n_faces, path)
    elif "static_lmk_faces_idx" in content and jaw_line is not None:
        static = _landmark_set(content, "static_lmk_faces_idx", "static_lmk_bary_coords", n_faces, path)
        marks = LandmarkSet(
            torch.cat([jaw_line.face_ids[0], static.face_ids]),
            torch.cat([jaw_line.barycentrics[0], static.barycentrics]),
            torch.arange(N_JAW + len(static.face_ids)),
        )
    else:
        raise InputError(
            f"expected full_lmk_faces_idx in {path}, found {shown(sorted(map(str, content)))}; download the file again"
        )
    if len(marks.face_ids) not in (N_IBUG, N_IBUG + 2):
        raise InputError(f"expected 68 or 70 landmarks in {path}, found {len(marks.face_ids)}; download the file again")
    return marks, jaw_line


def _jaw_line(content: dict, n_faces: int, path: Path) -> JawLine:
    face_ids = whole_numbers_of(content, "dynamic_lmk_faces_idx", path, n_faces)
    weights = numbers_of(content, "dynamic_lmk_bary_coords", path).astype(np.float32)
    if face_ids.shape != (N_JAW_ROWS, N_JAW) or weights.shape != (N_JAW_ROWS, N_JAW, 3):
        raise InputError(
            f"expected dynamic landmarks of shape {(N_JAW_ROWS, N_JAW)} with three weights each in {path}, found "
            f"{face_ids.shape} and {weights.shape}; download the file again"
        )
    return JawLine(torch.from_numpy(face_ids), torch.from_numpy(weights))


def read_mediapipe(path: Path, n_faces: int) -> LandmarkSet:
    """mediapipe_landmark_embedding.npz: 105 of MediaPipe's 478 points."""
    arrays = read_npz(path, only=("lmk_face_idx", "lmk_b_coords", "landmark_indices"))
    marks = _landmark_set(arrays, "lmk_face_idx", "lmk_b_coords", n_faces, path)
    ids = whole_numbers_of(arrays, "landmark_indices", path, N_MEDIAPIPE).reshape(-1)
    if len(ids) != len(marks.face_ids):
        raise InputError(
            f"expected {len(marks.face_ids)} landmark_indices in {path}, found {len(ids)}; download the file again"
        )
    return LandmarkSet(marks.face_ids, marks.barycentrics, torch.from_numpy(ids))


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


def _landmark_set(content: dict, faces: str, weights: str, n_faces: int, path: Path) -> LandmarkSet:
    """The points of two arrays, face ids and three weights each, under these names."""
    face_ids = whole_numbers_of(content, faces, path, n_faces).reshape(-1)
    coordinates = numbers_of(content, weights, path).astype(np.float32)
    if coordinates.size != 3 * len(face_ids) or not len(face_ids):
        raise InputError(
            f"expected three weights for each of {len(face_ids)} landmarks in {path}, found {coordinates.size}; "
            "download the file again"
        )
    return LandmarkSet(
        torch.from_numpy(face_ids), torch.from_numpy(coordinates.reshape(-1, 3)), torch.arange(len(face_ids))
    )


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
