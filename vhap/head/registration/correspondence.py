"""Correspondence of two heads: for every vertex of one a point on the other's surface, found once and cached.

The target's template is bent onto the source's: a similarity by landmarks, then non-rigid closest points, from stiff to
soft (Amberg et al. 2007, with the Laplacian of the displacements as stiffness). Both heads have their mouth open while
that happens, so that lips and what is behind them are apart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vhap.geometry.meshes import barycentric_points, vertex_normals
from vhap.head.model import HeadModel, landmark_points, pose, zero_params
from vhap.head.registration.closest import Triangles
from vhap.head.registration.mouth_line import mouth_line
from vhap.head.registration.nonrigid import LIP_WEIGHTS, MARK_WEIGHTS, Marks, Surface, bend
from vhap.head.registration.parts import RIGID, rigid_part, skin_parts
from vhap.util.cached import read_cached
from vhap.util.errors import InputError
from vhap.util.files import read_npz, write_npz
from vhap.util.log import get_logger
from vhap.util.paths import cache_folder
from vhap.util.schema import REAL, WHOLE, ArrayRule, check_arrays

VERSION = 7
"""Of this file's method, in the cache's names."""
MARKS = slice(17, 68)
"""iBUG's points but the jaw line, which every head's files draw elsewhere."""
UPPER_LIP, LOWER_LIP = 62, 66
"""iBUG's middle points of the lips' inner edge."""
MOUTH_M = 0.010
"""How far lips stand apart while templates are registered."""
JAW_RAD = 0.2
NEEDED = ("face", "left_eyeball", "right_eyeball")
SURE_M, FAR_M = 0.003, 0.010
"""A counterpart counts fully up to the one distance between the registered surfaces, and not at all from the other on.
"""
Keep = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], None]
"""Takes vertex ids (N,), and their face_ids, barycentrics and weights."""


@dataclass(frozen=True)
class Correspondence:
    """For the V vertices of a target, points of a source's surface. face_ids (V,) long, barycentrics (V, 3), weights
    (V,) in [0, 1]: 0 where there is no counterpart."""

    face_ids: Tensor
    barycentrics: Tensor
    weights: Tensor

    def points(self, source: HeadModel, values: Tensor) -> Tensor:
        """(..., V, C) at the target's vertices, of values (..., W, C) at the source's."""
        return barycentric_points(values, source.faces, self.face_ids, self.barycentrics)


def correspondence(source: HeadModel, target: HeadModel) -> Correspondence:
    """Made once for two heads, then read from the cache; deterministic. Both heads have the landmarks `ibug`.

    InputError where a head lacks one of the regions NEEDED.
    """
    for head in (source, target):
        if missing := [name for name in NEEDED if not len(head.regions.get(name, ()))]:
            raise InputError(
                f"expected the regions {', '.join(NEEDED)} in the head {head.name}, found no {', '.join(missing)}; "
                "add them to its file"
            )
    cached = _cache_file(source, target)
    found = read_cached(cached, lambda path: _read(path, source, target))
    if found is None:
        get_logger().info("registering %s to %s once, the result goes to %s", target.name, source.name, cached)
        found = register(source, target)
        arrays = {name: value.numpy() for name, value in vars(found).items()}
        write_npz(cached, arrays)
    return found


def register(source: HeadModel, target: HeadModel) -> Correspondence:
    """The same without the cache."""
    count = target.n_vertices
    face_ids, weights = torch.zeros(count, dtype=torch.long), torch.zeros(count)
    barycentrics = torch.tensor([1.0, 0, 0]).repeat(count, 1)

    def keep(ids: np.ndarray, faces: np.ndarray, bary: np.ndarray, weight: np.ndarray) -> None:
        rows = torch.from_numpy(ids)
        face_ids[rows] = torch.from_numpy(faces)
        barycentrics[rows] = torch.from_numpy(bary).float()
        weights[rows] = torch.from_numpy(weight).float()

    _match_skin(source, target, keep)
    for name in RIGID:
        _match_rigid(source, target, name, keep)
    return Correspondence(face_ids, barycentrics, weights)


def _match_skin(source: HeadModel, target: HeadModel, keep: Keep) -> None:
    """One of both is bent onto the other, whichever is the source: there and back are each other's inverse."""
    if (target.n_vertices, target.identity) < (source.n_vertices, source.identity):
        surface, own = Surface.of(open_mouthed(source).double().numpy(), source), _bent(target, source)
    else:
        surface, own = Surface.of(_bent(source, target), source), open_mouthed(target).double().numpy()
    normals = vertex_normals(torch.from_numpy(own), target.faces).numpy()
    found = surface.nearest(_parts(target), own, normals)
    share = 1 - (found.distances - SURE_M) / (FAR_M - SURE_M)
    keep(found.ids, found.face_ids, found.barycentrics, np.clip(share, 0, 1))


def _bent(head: HeadModel, onto: HeadModel) -> np.ndarray:
    """(V, 3) float64: a head with an open mouth, bent onto another one with an open mouth."""
    moving, fixed = open_mouthed(head), open_mouthed(onto)
    marks = [_landmarks(onto, fixed, head), *_lip_marks(onto, fixed, head, moving)]
    surface = Surface.of(fixed.double().numpy(), onto)
    return bend(surface, _parts(head), moving.double().numpy(), head.faces.numpy(), marks)


def _parts(head: HeadModel) -> dict[str, np.ndarray]:
    return {name: part.vertices.numpy() for name, part in skin_parts(head).items()}


def _landmarks(source: HeadModel, vertices: Tensor, target: HeadModel) -> Marks:
    own = target.landmarks["ibug"]
    places = landmark_points(source, vertices, "ibug").double().numpy()
    return Marks(own.face_ids[MARKS].numpy(), own.barycentrics[MARKS].double().numpy(), places[MARKS], MARK_WEIGHTS)


def _lip_marks(source: HeadModel, fixed: Tensor, target: HeadModel, moving: Tensor) -> list[Marks]:
    """Where lips meet on both heads."""
    there, here = mouth_line(source, fixed), mouth_line(target, moving)
    if there is None or here is None:
        return []
    known = np.tile(there.known & here.known, 2)
    ids, bary = (
        torch.from_numpy(part.reshape(len(known), *part.shape[2:])) for part in (there.face_ids, there.barycentrics)
    )
    places = barycentric_points(fixed, source.faces, ids, bary).double().numpy()
    own = here.face_ids.reshape(-1), here.barycentrics.reshape(-1, 3)
    return [Marks(own[0][known], own[1][known], places[known], LIP_WEIGHTS)]


def _match_rigid(source: HeadModel, target: HeadModel, name: str, keep: Keep) -> None:
    """By the boxes around both, which become one."""
    there, here = rigid_part(source, name), rigid_part(target, name)
    if there is None or here is None:
        return
    mask = torch.zeros(source.n_vertices, dtype=torch.bool)
    mask[there] = True
    faces = mask[source.faces].all(1).nonzero()[:, 0]
    if not len(faces):
        return
    low, high = source.template[there].amin(0).double(), source.template[there].amax(0).double()
    own = target.template[here].double()
    share = (own - own.amin(0)) / (own.amax(0) - own.amin(0)).clamp(min=1e-9)
    places = low + share * (high - low)
    triangles = Triangles.of(source.template[source.faces[faces]].double().numpy())
    found = triangles.nearest(places.numpy())
    keep(here.numpy(), faces.numpy()[found.rows], found.barycentrics, np.ones(len(here)))


def open_mouthed(model: HeadModel) -> Tensor:
    """(V, 3): the template with lips MOUTH_M apart."""

    def opened(amount: float) -> Tensor:
        params = zero_params(model)
        jaw, expr = params.jaw_pose.clone(), params.expr.clone()
        jaw[0] = amount * JAW_RAD if model.has_jaw else 0
        for index, value in model.open_mouth.items():
            expr[index] = amount * value
        return pose(model, replace(params, jaw_pose=jaw, expr=expr))

    def gap(vertices: Tensor) -> float:
        points = landmark_points(model, vertices, "ibug")
        return float((points[UPPER_LIP] - points[LOWER_LIP])[1])

    closed, wide = gap(opened(0)), gap(opened(1))
    amount = (MOUTH_M - closed) / (wide - closed) if wide - closed > 1e-3 else 0.0
    return opened(float(np.clip(amount, 0, 1.5)))


def _read(path: Path, source: HeadModel, target: HeadModel) -> Correspondence:
    rules = {
        "face_ids": ArrayRule(WHOLE, (target.n_vertices,), len(source.faces) - 1),
        "barycentrics": ArrayRule(REAL, (target.n_vertices, 3), 1),
        "weights": ArrayRule(REAL, (target.n_vertices,), 1),
    }
    arrays = read_npz(path)
    check_arrays(path, arrays, rules, "register the heads again")
    if (arrays["face_ids"] < 0).any():
        raise InputError(f"expected ids of faces in {path}, found negative ones; register the heads again")
    return Correspondence(**{name: torch.from_numpy(arrays[name]) for name in rules})


def _cache_file(source: HeadModel, target: HeadModel) -> Path:
    digest = hashlib.sha256(repr(VERSION).encode())
    for head in (source, target):
        digest.update(_digest(head))
    return cache_folder() / "correspondences" / f"{digest.hexdigest()[:16]}.npz"


def _digest(head: HeadModel) -> bytes:
    """Of all that a registration looks at. A head of fewer expressions may open its mouth otherwise."""
    digest = hashlib.sha256(head.identity.encode())
    marks = head.landmarks["ibug"]
    for values in (head.template, open_mouthed(head), marks.barycentrics):
        digest.update(np.round(values.double().numpy() * 1e6).astype(np.int64).tobytes())
    for ids in (head.faces, marks.face_ids, *(head.regions[name] for name in sorted(head.regions))):
        digest.update(ids.long().numpy().tobytes())
    return digest.digest()
