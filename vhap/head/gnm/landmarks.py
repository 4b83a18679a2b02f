"""The 68 points that come beside a GNM head (`head_sparse_68.txt`): a row is three vertices with a weight each."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from scipy.spatial import KDTree

from vhap.head.model import LandmarkSet
from vhap.util.errors import InputError, shown
from vhap.util.files import read_bytes
from vhap.util.log import get_logger

VARIABLE, FILE_NAME = "VHAP_GNM_LANDMARKS", "head_sparse_68.txt"
SOURCE = "https://github.com/google/GNM (gnm/shape/data/landmarks/head_sparse_68.txt)"
N_POINTS, JAW = 68, 17
BACKWARDS = slice(2, 7)
"""Rows that run the other way in an older revision: the jaw on the subject's right."""
SUM_TOLERANCE = 5e-3
NEAR = 16


def find_landmarks(gnm_path: Path) -> Path | None:
    """The file that the environment names, else the one beside the head's file; None without one. InputError where the
    named one is missing."""
    if named := os.environ.get(VARIABLE):
        path = Path(named).expanduser()
        if not path.is_file():
            raise InputError(f"expected {FILE_NAME} at {VARIABLE}={named}, found no file; correct the variable")
        return path
    beside = gnm_path.parent / FILE_NAME
    return beside if beside.is_file() else None


def read_rows(path: Path, n_vertices: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (68, 3) and weights (68, 3) that add up to 1, as the file has its rows."""
    lines = [line.split() for line in read_bytes(path, "68 landmarks").decode(errors="replace").splitlines()]
    try:
        table = np.array([line for line in lines if line], dtype=np.float64)
    except ValueError as error:
        raise _wrong(path, f"a line that is no row of numbers ({shown(str(error))})") from error
    if table.shape != (N_POINTS, 6) or not np.isfinite(table).all():
        raise _wrong(path, f"numbers of shape {table.shape}")
    vertices, weights = table[:, 0::2], table[:, 1::2]
    if (vertices % 1).any() or vertices.min() < 0 or vertices.max() >= n_vertices:
        raise _wrong(path, f"vertices from {vertices.min():g} to {vertices.max():g} of a head of {n_vertices}")
    sums = weights.sum(1)
    if weights.min() < 0:
        raise _wrong(path, f"a weight of {weights.min():.4g}")
    if np.abs(sums - 1).max() > SUM_TOLERANCE:
        raise _wrong(path, f"weights that add up to {sums[np.abs(sums - 1).argmax()]:.4g}")
    return vertices.astype(np.int64), weights / sums[:, None]


def _wrong(path: Path, found: str) -> InputError:
    return InputError(
        f"expected 68 rows of three vertices, each with its weight after it, in {path}, found {found}; get it from "
        f"{SOURCE}"
    )


def is_backwards(vertices: np.ndarray, weights: np.ndarray, template: np.ndarray) -> bool:
    """Whether rows 2 to 6 run backwards: the weights of mirror partners, rows k and 16 - k, are the same numbers.

    Where weights do not decide it, the jaw line is the shorter of the two ways along the template's points.
    """
    rounded = [Counter(np.round(row, 3).tolist()) for row in weights[:JAW]]
    partners = list(range(BACKWARDS.start, BACKWARDS.stop))
    straight = sum(rounded[k] == rounded[JAW - 1 - k] for k in partners)
    turned = sum(rounded[k] == rounded[JAW - 1 - m] for k, m in zip(partners, reversed(partners)))
    if straight != turned:
        return turned > straight
    points = (template[vertices[:JAW]] * weights[:JAW, :, None]).sum(1)
    return _length(points[_turned(JAW)]) < _length(points)


def describe_landmarks(gnm_path: Path, template: np.ndarray) -> tuple[Literal["ok", "missing"], str]:
    """Whether there are landmarks of a head's file, and of which revision. InputError where they are wrong."""
    path = find_landmarks(gnm_path)
    if path is None:
        return "missing", f"no {FILE_NAME} beside it: the 68 points are found by the detector; it is at {SOURCE}"
    backwards = is_backwards(*read_rows(path, len(template)), template)
    return "ok", f"{path}, of the {'older' if backwards else 'newer'} revision"


def _turned(count: int) -> np.ndarray:
    order = np.arange(count)
    order[BACKWARDS] = order[BACKWARDS][::-1].copy()
    return order


def _length(points: np.ndarray) -> float:
    return float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())


def read_landmarks(path: Path, template: np.ndarray, new_id: np.ndarray, faces: np.ndarray) -> LandmarkSet:
    """The 68 iBUG points in their order on the tracked mesh.

    template (V, 3): of the file; new_id (V,): of its vertices in the tracked mesh, -1 for those that it lacks; faces
    (F, 3) of that one. Three vertices that are no triangle's corners give the nearest point of the surface.
    """
    vertices, weights = read_rows(path, len(template))
    if is_backwards(vertices, weights, template):
        get_logger().info("%s is of the older revision: its rows 2 to 6 are turned", path.name)
        vertices, weights = vertices[_turned(N_POINTS)], weights[_turned(N_POINTS)]
    points = (template[vertices] * weights[..., None]).sum(1)
    rising = np.diff(points[[0, 4, 8, 12, 16], 0])
    if (rising <= 0).any():
        raise _wrong(path, "a jaw line that does not run from the subject's right to the left")
    kept = np.nonzero(new_id >= 0)[0]
    places = np.zeros((len(kept), 3))
    places[new_id[kept]] = template[kept]
    known = {tuple(sorted(face)): row for row, face in enumerate(faces.tolist())}
    ids, coordinates = np.zeros(N_POINTS, np.int64), np.zeros((N_POINTS, 3))
    middles = KDTree(places[faces].mean(1))
    for row, (corners, shares) in enumerate(zip(new_id[vertices].tolist(), weights)):
        face = known.get(tuple(sorted(corners)))
        if face is not None:
            ids[row] = face
            coordinates[row] = [shares[corners.index(corner)] for corner in faces[face].tolist()]
        else:
            near = np.asarray(middles.query(points[row], k=min(NEAR, len(faces)))[1]).reshape(-1)
            ids[row], coordinates[row] = _nearest(places, faces, near, points[row])
    return LandmarkSet(torch.from_numpy(ids), torch.from_numpy(coordinates).float(), torch.arange(N_POINTS))


def _nearest(places: np.ndarray, faces: np.ndarray, near: np.ndarray, point: np.ndarray) -> tuple[int, np.ndarray]:
    """The face among `near` that comes nearest to a point, and where: clipped barycentric coordinates."""
    corners = places[faces[near]]
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    basis = np.stack([first, second], -1)
    inside = np.einsum("nij,nj->ni", np.linalg.pinv(basis), point - corners[:, 0])
    shares = np.concatenate([1 - inside.sum(1, keepdims=True), inside], 1).clip(0, None)
    shares /= shares.sum(1, keepdims=True)
    best = np.linalg.norm(np.einsum("ni,nij->nj", shares, corners) - point, axis=1).argmin()
    return int(near[best]), shares[best]
