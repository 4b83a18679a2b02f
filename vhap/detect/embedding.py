"""Landmarks on a head without landmark files: render it, run the detector, cast the found points back onto it.

The result has the detector's own biases, which is what a fit to that detector's points wants.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor

from vhap.detect.ibug import MEDIAPIPE_OF_IBUG
from vhap.detect.networks.files import RELEASE
from vhap.geometry.cameras import Camera
from vhap.geometry.meshes import face_normals
from vhap.geometry.rotations import axis_angle_to_matrix
from vhap.head.model import HeadModel, LandmarkSet, pose, zero_params
from vhap.head.regions import faces_of_region, region_mask
from vhap.head.texture import region_texture
from vhap.render.scene import render_head
from vhap.render.shading import BAND_1
from vhap.render.topology import build_topology
from vhap.render.types import Backend
from vhap.util.cached import read_cached
from vhap.util.errors import InputError
from vhap.util.files import read_npz, write_npz
from vhap.util.log import get_logger
from vhap.util.paths import cache_folder
from vhap.util.schema import REAL, WHOLE, ArrayRule, check_arrays

EMBEDDING_VERSION = 7
VIEWS_DEG = ((0, 0), (-15, 0), (15, 0), (-30, 0), (30, 0), (0, 12), (0, -12), (-20, -10), (20, -10))
"""Yaw and pitch of the camera around the face."""
PICTURE_SIZE = 640
FOCAL = 2.5
FRAME_M = 0.30
"""The picture spans this height at the face; a distance follows from it and FOCAL (in picture heights)."""
MIN_VIEWS = 3
MOUTH_OPENINGS = (0.2, 0.4, 0.7)
"""Share of the canonical open mouth in each round of views."""
JAW_OPEN_RAD = 0.3
SITTER_DEVIATION = 0.7
"""Spread of the identity coefficients of the people whose pictures are taken."""
AGREEING_ROUNDS = 3
BESIDE_TRUST = 0.1
"""Trust in a point that was found beside the surface it belongs to."""
NEVER_MARKED = ("teeth", "lip_inside", "eye_sockets", "boundary", "neck", "ears", "hair")
IRIS_POINTS = range(468, 478)
LID_POINTS = {
    "upper_eyelids": (246, 161, 160, 159, 158, 157, 173, 466, 388, 387, 386, 385, 384, 398),
    "lower_eyelids": (7, 163, 144, 145, 153, 154, 155, 249, 390, 373, 374, 380, 381, 382),
}
"""Points on the margins of both eyes' lids. Where a head names these regions, each of them lies on its own lid: between
half-open ones a point may be nearer to the other."""


class PointDetector(Protocol):
    """A detector of MediaPipe's 478 points."""

    def detect(self, picture: np.ndarray) -> np.ndarray | None:
        """(H, W, 3) uint8 RGB -> (478, 2) pixels, or None where no face is found."""
        ...


@dataclass(frozen=True)
class Surface:
    """What some of the detector's points may lie on.

    faces (F, 3): all that are drawn, so that they hide what is behind; allowed (F,) bool: those that may be marked;
    face_ids (F,): ids in the whole head.
    """

    faces: Tensor
    allowed: Tensor
    face_ids: Tensor


def with_landmarks(model: HeadModel, detector: PointDetector, backend: Backend) -> HeadModel:
    """The head with `mediapipe` and `ibug`; sets it already has are kept. Made once per head and detector, cached."""
    if {"mediapipe", "ibug"} <= model.landmarks.keys():
        return model
    cached = _cache_file(model, detector)
    sets = read_cached(cached, lambda path: _read_sets(path, len(model.faces)))
    if sets is None:
        sets = make_embedding(model, detector, backend)
        points = sets["mediapipe"]
        write_npz(cached, {"face_ids": points.face_ids.numpy(), "barycentrics": points.barycentrics.numpy()})
    return replace(model, landmarks={**sets, **model.landmarks})


def make_embedding(model: HeadModel, detector: PointDetector, backend: Backend) -> dict[str, LandmarkSet]:
    """`mediapipe` (478 points) and `ibug` (68 and two iris centres) on the template, found by the detector itself.

    Points that it places beside the head go to the nearest surface seen in that picture; iris points lie on the
    eyeballs, all others on the outer skin. Over the views the weighted geometric median is kept.
    Raises InputError where the detector finds a face in fewer than MIN_VIEWS of the pictures.
    """
    model = model.to("cpu")
    surfaces = _surfaces(model)
    places, trust, directions = [], [], []
    sitters = list(_sitters(model))
    for (yaw, pitch), vertices in zip(VIEWS_DEG * (len(sitters) // len(VIEWS_DEG)), sitters):
        camera = view_camera(model, yaw, pitch)
        found = detector.detect(_picture(model, vertices, camera, backend))
        if found is not None:
            points = torch.from_numpy(np.asarray(found, np.float32))
            cast = _cast_back(model, vertices, surfaces, camera, points, backend)
            places.append(cast[0])
            trust.append(cast[1])
            directions.append(camera.T_camera_world[2, :3])
    if len(places) < MIN_VIEWS:
        raise InputError(
            f"expected the landmark detector to find a face in pictures of head {model.name}, found one in "
            f"{len(places)} of {len(sitters)}; use a head that has landmark files"
        )
    face_ids, barycentrics, spread = _agree(
        model, surfaces, torch.stack(places), torch.stack(trust), torch.stack(directions)
    )
    get_logger().info(
        "landmarks of head %s made from %d views, median spread %.1f mm", model.name, len(places), 1000 * spread
    )
    return _as_sets(face_ids, barycentrics)


def _agree(
    model: HeadModel, surfaces: list[tuple[Surface, Tensor]], places: Tensor, trust: Tensor, directions: Tensor
) -> tuple[np.ndarray, np.ndarray, float]:
    """Face ids (N,), barycentrics (N, 3) and median spread in metres from the places (K, N, 3) of K views.

    A detector guesses points that it cannot see, so each view counts by how far the surface at the point's place
    turns towards it. The place is first that of the frontmost view.
    """
    face_ids = np.zeros(places.shape[1], np.int64)
    barycentrics = np.zeros((places.shape[1], 3), np.float32)
    normals = torch.nn.functional.normalize(face_normals(model.template, model.faces), dim=-1)
    middle, spread = places[0], places.new_zeros(places.shape[1])
    for round_number in range(AGREEING_ROUNDS + 1):
        if round_number > 0:
            facing = (normals[face_ids] @ directions.T).T.clamp(min=0.02)
            middle, spread = geometric_median(places, trust * facing**2)
        for surface, ids in surfaces:
            face_ids[ids], barycentrics[ids] = closest_on_surface(model.template, surface, middle[ids])
    return face_ids, barycentrics, float(spread.median())


def view_camera(model: HeadModel, yaw_deg: float, pitch_deg: float) -> Camera:
    """A camera that looks at the middle of the face from the given direction (yaw towards the subject's left)."""
    ids = model.regions["face"]
    middle = (model.template[ids].amin(0) + model.template[ids].amax(0)) / 2
    turn = axis_angle_to_matrix(torch.tensor([0.0, math.radians(yaw_deg), 0.0]))
    turn = turn @ axis_angle_to_matrix(torch.tensor([-math.radians(pitch_deg), 0.0, 0.0]))
    T_camera_world = torch.eye(4)
    T_camera_world[:3, :3] = turn.T
    T_camera_world[:3, 3] = torch.tensor([0.0, 0.0, -FOCAL * FRAME_M]) - turn.T @ middle
    focal, centre = torch.tensor(FOCAL * PICTURE_SIZE), torch.tensor(PICTURE_SIZE / 2)
    return Camera(focal, focal, centre, centre, T_camera_world, PICTURE_SIZE, PICTURE_SIZE)


def _sitters(model: HeadModel) -> Iterator[Tensor]:
    """Posed vertices (V, 3), a round of VIEWS_DEG for each opening of the mouth, another person in each picture. On
    closed lips a detector's inner points could be on either one, and one face alone would lend its own bias to
    everybody's points."""
    generator = torch.Generator().manual_seed(0)
    for opening in MOUTH_OPENINGS:
        for _ in VIEWS_DEG:
            params = zero_params(model)
            params.shape.copy_(SITTER_DEVIATION * torch.randn(model.n_shape, generator=generator))
            params.jaw_pose[0] = opening * JAW_OPEN_RAD if model.has_jaw else 0.0
            for index, value in model.open_mouth.items():
                params.expr[index] = opening * value
            yield pose(model, params)


def _picture(model: HeadModel, vertices: Tensor, camera: Camera, backend: Backend) -> np.ndarray:
    """(H, W, 3) uint8: the head, lit softly from the front and a little from above, on grey."""
    texture = model.base_texture if model.base_texture is not None else region_texture(model, 512)
    lights = torch.zeros(9, 3)
    lights[0] = 0.7 * math.sqrt(4 * math.pi)
    lights[1], lights[2] = 0.15 / BAND_1, 0.3 / BAND_1
    background = torch.full((1, camera.height, camera.width, 3), 0.5)
    topology = build_topology(model.faces, model.uv_faces)
    with torch.no_grad():
        drawn = render_head(
            backend, vertices[None], topology, model.uvs, texture[None], lights, camera.expand(1), background
        )
    return (drawn.picture[0].clamp(0, 1) * 255).round().byte().numpy()


def _surfaces(model: HeadModel) -> list[tuple[Surface, Tensor]]:
    """Outer skin with the ids of the points that lie on it, eyeballs with the ids of the iris points; each lid with
    those of its margin, where the head names it."""
    eyeballs = faces_of_region(model, "eyeballs")
    never = torch.zeros(model.n_vertices, dtype=torch.bool)
    for name in NEVER_MARKED:
        if name in model.regions:
            never |= region_mask(model, model.regions[name])
    skin = ~never[model.faces].any(-1)
    iris_points = torch.tensor(list(IRIS_POINTS))
    parts = [(eyeballs, eyeballs, iris_points)]
    on_skin = torch.ones(int(iris_points.min()), dtype=torch.bool)
    for name, points in LID_POINTS.items():
        if name in model.regions and (lid := faces_of_region(model, name) & skin).any():
            parts.append((~eyeballs, lid, torch.tensor(points)))
            on_skin[list(points)] = False
    parts.append((~eyeballs, skin, on_skin.nonzero()[:, 0]))
    return [
        (Surface(model.faces[drawn], allowed[drawn], drawn.nonzero()[:, 0]), points) for drawn, allowed, points in parts
    ]


def _cast_back(
    model: HeadModel,
    vertices: Tensor,
    surfaces: list[tuple[Surface, Tensor]],
    camera: Camera,
    found: Tensor,
    backend: Backend,
) -> tuple[Tensor, Tensor]:
    """(478, 2) px -> places (478, 3) on the template and trust (478,): less where a point lies beside the surface."""
    places, trust = torch.zeros(len(found), 3), torch.zeros(len(found))
    for surface, ids in surfaces:
        topology = build_topology(surface.faces, surface.faces)
        clip = camera.expand(1).to_clip(vertices[None])
        face_id = backend.rasterize(clip, topology, camera.height, camera.width).face_id[0].long()
        places[ids], trust[ids] = _meet(vertices, model.template, surface, face_id, camera, found[ids])
    return places, trust


def _meet(
    vertices: Tensor, template: Tensor, surface: Surface, face_id: Tensor, camera: Camera, points_px: Tensor
) -> tuple[Tensor, Tensor]:
    """Where the rays through points_px (N, 2) meet the posed surface, moved to the nearest covered pixel where they
    miss; told as places on the template."""
    marked = (face_id >= 0) & surface.allowed[face_id.clamp(min=0)]
    rows, columns = marked.nonzero().unbind(-1)
    covered = torch.stack([columns, rows], -1) + 0.5
    distance, nearest = (torch.from_numpy(a) for a in KDTree(covered.numpy()).query(points_px.numpy()))
    inside = distance <= math.sqrt(0.5)
    target = torch.where(inside[:, None], points_px, covered[nearest])
    triangles = surface.faces[face_id[rows[nearest], columns[nearest]]]
    corners = vertices[triangles]
    rotation, centre = camera.T_camera_world[:3, :3], camera.centre()
    x, y = (target[:, 0] - camera.cx) / camera.fx, (camera.cy - target[:, 1]) / camera.fy
    rays = torch.stack([x, y, -torch.ones_like(x)], -1) @ rotation
    normals = torch.nn.functional.normalize(face_normals(corners.flatten(0, 1), _triples(len(corners))), dim=-1)
    facing = (normals * rays).sum(-1).clamp(max=-1e-6)
    depth = (normals * (corners[:, 0] - centre)).sum(-1) / facing
    places = centre + depth[:, None] * rays
    # Not with the module: it takes long to import, and an embedding that was made before needs none of it.
    from trimesh.triangles import closest_point, points_to_barycentric

    closest = closest_point(corners.double().numpy(), places.double().numpy())
    weights = points_to_barycentric(corners.double().numpy(), closest).clip(0, 1)
    on_template = (template[triangles] * torch.from_numpy(weights).float()[..., None]).sum(1)
    return on_template, torch.where(inside, 1.0, BESIDE_TRUST)


def _triples(count: int) -> Tensor:
    return torch.arange(3 * count).reshape(-1, 3)


def geometric_median(places: Tensor, weights: Tensor, steps: int = 30) -> tuple[Tensor, Tensor]:
    """(K, N, 3) places with weights (K, N) -> weighted geometric median (N, 3) and mean distance to it (N,).

    Weiszfeld's iteration: a view in which the detector is wrong hardly moves the result.
    """
    share = weights / weights.sum(0)
    middle = (share[..., None] * places).sum(0)
    for _ in range(steps):
        pull = share / (places - middle).norm(dim=-1).clamp(min=1e-5)
        middle = (pull[..., None] * places).sum(0) / pull.sum(0)[..., None]
    return middle, (share * (places - middle).norm(dim=-1)).sum(0)


def closest_on_surface(vertices: Tensor, surface: Surface, points: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Face ids (N,) in the whole head and barycentrics (N, 3) of the surface's points nearest to points (N, 3)."""
    corners = vertices[surface.faces[surface.allowed]].double().numpy()
    candidates = min(64, len(corners))
    from trimesh.triangles import closest_point, points_to_barycentric

    _, near = KDTree(corners.mean(1)).query(points.numpy(), k=candidates)
    near = near.reshape(len(points), candidates)
    queries = np.repeat(points.double().numpy(), candidates, 0)
    closest = closest_point(corners[near.ravel()], queries)
    best = np.linalg.norm(closest - queries, axis=-1).reshape(near.shape).argmin(1)
    rows = np.arange(len(points))
    chosen, places = near[rows, best], closest.reshape(*near.shape, 3)[rows, best]
    weights = points_to_barycentric(corners[chosen], places).clip(0, 1)
    weights = weights / weights.sum(-1, keepdims=True)
    return surface.face_ids[surface.allowed].numpy()[chosen], weights.astype(np.float32)


def _read_sets(path: Path, n_faces: int) -> dict[str, LandmarkSet]:
    count = max(IRIS_POINTS) + 1
    rules = {"face_ids": ArrayRule(WHOLE, (count,), n_faces - 1), "barycentrics": ArrayRule(REAL, (count, 3), 1)}
    arrays = read_npz(path)
    check_arrays(path, arrays, rules, "find the landmarks again")
    if (arrays["face_ids"] < 0).any():
        raise InputError(f"expected ids of faces in {path}, found negative ones; find the landmarks again")
    return _as_sets(arrays["face_ids"].astype(np.int64), arrays["barycentrics"].astype(np.float32))


def _as_sets(face_ids: np.ndarray, barycentrics: np.ndarray) -> dict[str, LandmarkSet]:
    faces, weights = torch.from_numpy(face_ids), torch.from_numpy(barycentrics)
    subset = torch.tensor(MEDIAPIPE_OF_IBUG)
    return {
        "mediapipe": LandmarkSet(faces, weights, torch.arange(len(faces))),
        "ibug": LandmarkSet(faces[subset], weights[subset], torch.arange(len(subset))),
    }


def _cache_file(model: HeadModel, detector: PointDetector) -> Path:
    """Another head, detector, version of its networks or of this file makes another embedding."""
    key = (_digest(model.to("cpu")), type(detector).__qualname__, RELEASE, EMBEDDING_VERSION)
    return cache_folder() / "embeddings" / f"{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}.npz"


def _digest(model: HeadModel) -> str:
    """Of all that an embedding looks at. The same file may be read with other regions, colours or coefficients: by
    another release, or by a run's options."""
    parts = (model.identity, model.n_shape, sorted(model.open_mouth.items()), sorted(model.regions))
    digest = hashlib.sha256(repr(parts).encode())
    texture = [] if model.base_texture is None else [model.base_texture]
    for values in (model.template, model.uvs, *texture):
        digest.update(np.round(values.double().numpy() * 1e6).astype(np.int64).tobytes())
    for ids in (model.faces, model.uv_faces, *(model.regions[name] for name in sorted(model.regions))):
        digest.update(ids.long().numpy().tobytes())
    return digest.hexdigest()
