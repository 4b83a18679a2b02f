"""ICT-FaceKit Light (Li et al. 2020, MIT licence) as a `HeadModel`.

The public folder `FaceXModel` holds the neutral mesh, one mesh per identity mode and one per expression. It is
converted once (centimetres to metres, quads to triangles, hidden parts thinned) and kept in the cache.
Origin: the middle between the ears, as FLAME's is about there.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch

from vhap.head.decimate import decimate
from vhap.head.landmark_files import vertex_landmarks
from vhap.head.model import HeadModel
from vhap.head.regions import complete_regions
from vhap.head.texture import region_texture
from vhap.util.cached import read_cached
from vhap.util.errors import InputError, shown
from vhap.util.files import file_hash, read_json, read_npz, write_npz
from vhap.util.log import get_logger
from vhap.util.paths import cache_folder, inside
from vhap.util.progress import progress
from vhap.util.schema import REAL, TEXT, WHOLE, ArrayRule, check_arrays

CONVERTER_VERSION = 1
SOURCE = "https://github.com/ICT-VGL/ICT-FaceKit (folder FaceXModel)"
NEUTRAL, INDICES = "generic_neutral_mesh.obj", "vertex_indices.json"
N_IDENTITIES, N_VERTICES, N_LANDMARKS = 100, 26719, 70
METRES_PER_UNIT = 0.01
LARGEST_UNITS = 100.0


class Indices(TypedDict):
    """What is read of vertex_indices.json."""

    expressions: list[str]
    idx_to_landmark_verts: list[int]


PARTS = {
    "narrow_face": (0, 6706, 3300),
    "wide_face": (6706, 9409, 1150),
    "back_head": (9409, 11248, 900),
    "mouth_socket": (11248, 13294, 260),
    "eye_sockets": (13294, 14062, 200),
    "gums_tongue": (14062, 17039, 420),
    "teeth": (17039, 21451, 900),
    "left_eyeball": (21451, 22221, 330),
    "right_eyeball": (23021, 23791, 330),
}
"""First vertex, end, and the vertices that the tracked mesh keeps. Ranges as the format documents them. Left out: the
inner iris spheres (behind the cornea), lacrimal fluid, blend and occlusion shells, lashes."""

ATLAS = {
    "M_Face": (0, (0.0, 0.28, 0.72, 0.72)),
    "M_BackHead": (1, (0.72, 0.28, 0.28, 0.72)),
    "M_GumsTongue": (2, (0.0, 0.0, 0.22, 0.28)),
    "M_Teeth": (3, (0.22, 0.0, 0.22, 0.28)),
    "M_ScleraLeft": (0, (0.44, 0.0, 0.28, 0.28)),
    "M_ScleraRight": (0, (0.72, 0.0, 0.28, 0.28)),
}
"""Material -> its tile in the files and where that tile goes in one picture: left, bottom, width, height."""
ATLAS_MARGIN = 0.004

FITTED_EXPRESSIONS = ("jawOpen", "eyeBlink_L", "eyeBlink_R", "mouthFunnel")
"""Expressions whose shape the thinned mesh keeps, beside the neutral one."""

IRIS_RADIUS_M = 0.0059
OPEN_MOUTH = 0.5
TEXTURE_RESOLUTION = 512
SKULL_BASE_M = (0.0, -0.025, -0.010)
NECK_BASE_M = (0.0, -0.135, -0.020)
"""Neck and root joint from the middle between the ears."""
NECK_TILT = 0.34
"""Slope of the line from below the chin to the nape: how much lower the head ends in front than behind."""
NECK_TOP_M, NECK_LENGTH_M = -0.068, 0.07
"""Along the tilted height: where the neck joint's weight starts to fall, and the length over which it does."""


def load_ict_facekit(folder: str | Path) -> HeadModel:
    """Reads the folder FaceXModel; the first call converts it (about half a minute), later ones read the cache.

    Returns a head of 100 identity and 53 named expression modes, regions, `ibug` landmarks and a base texture.
    Raises InputError naming the file that is missing or unlike the format.
    """
    folder = Path(folder).expanduser()
    _check_folder(folder)
    cached = cache_folder() / "models" / f"ict_facekit_{_fingerprint(folder)}.npz"
    arrays = read_cached(cached, _read_converted)
    if arrays is None:
        get_logger().info("converting ICT-FaceKit once, the result goes to %s", cached)
        arrays = convert(folder)
        write_npz(cached, arrays)
    return _build(arrays)


def _read_converted(path: Path) -> dict[str, np.ndarray]:
    """What `convert` has given. InputError where it is damaged."""
    arrays, remedy = read_npz(path), "convert ICT-FaceKit again"
    rules = {
        "asset_hash": ArrayRule(TEXT, ()),
        "template": ArrayRule(REAL, ("vertices", 3), most=1),
        "faces": ArrayRule(WHOLE, ("faces", 3)),
        "basis": ArrayRule(REAL, ("vertices", 3, "modes"), most=1),
        "uvs": ArrayRule(REAL, ("corners", 2), most=10),
        "uv_faces": ArrayRule(WHOLE, ("faces", 3)),
        "vertex_ids": ArrayRule(WHOLE, ("vertices",)),
        "landmarks": ArrayRule(WHOLE, (N_LANDMARKS,)),
        "expr_names": ArrayRule(TEXT, ("expressions",)),
    }
    lengths = check_arrays(path, arrays, rules, remedy)
    ends = dict.fromkeys(("faces", "landmarks"), lengths["vertices"])
    ends |= {"uv_faces": lengths["corners"], "vertex_ids": N_VERTICES}
    odd = [name for name, end in ends.items() if arrays[name].min(initial=0) < 0 or arrays[name].max(initial=0) >= end]
    has_names = set(FITTED_EXPRESSIONS) <= set(arrays["expr_names"].tolist())
    if odd or not has_names or lengths["modes"] != N_IDENTITIES + lengths["expressions"]:
        raise InputError(f"expected indices and modes that belong together in {path}, found others; {remedy}")
    return arrays


def convert(folder: Path) -> dict[str, np.ndarray]:
    """Everything a `HeadModel` of this folder needs, as arrays."""
    names, landmarks = _read_indices(folder / INDICES)
    neutral = _read_vertices(folder / NEUTRAL)
    faces, uv_faces, uvs = _read_faces(folder / NEUTRAL, neutral)
    files = [f"identity{k:03d}" for k in range(N_IDENTITIES)] + names
    paths = [inside(folder, f"{name}.obj", folder / INDICES) for name in files]
    deltas = [_read_vertices(path) - neutral for path in progress(paths, "reading ICT-FaceKit")]
    pupils = _front_vertices(neutral)
    kept = np.concatenate([landmarks, pupils, _iris_rims(neutral, pupils)])
    fitted = np.stack([neutral, *(neutral + deltas[files.index(name)] for name in FITTED_EXPRESSIONS)])
    faces, uv_faces = _thin(fitted, faces, uv_faces, kept)
    vertex_ids, faces = _renumber(faces)
    uv_ids, uv_faces = _renumber(uv_faces)
    first, end, _ = PARTS["wide_face"]
    sideways = neutral[first:end, 0]
    ears = neutral[first:end][[sideways.argmin(), sideways.argmax()]].mean(0)
    basis = np.stack(deltas, -1)[vertex_ids] * METRES_PER_UNIT
    return {
        "asset_hash": np.array(_content_hash(folder)),
        "template": ((neutral - ears)[vertex_ids] * METRES_PER_UNIT).astype(np.float32),
        "faces": faces,
        "basis": basis.astype(np.float32),
        "uvs": uvs[uv_ids].astype(np.float32),
        "uv_faces": uv_faces,
        "vertex_ids": vertex_ids,
        "landmarks": np.searchsorted(vertex_ids, np.concatenate([landmarks, pupils])),
        "expr_names": np.array(names),
    }


def _build(arrays: dict[str, np.ndarray]) -> HeadModel:
    template = torch.from_numpy(arrays["template"])
    faces = torch.from_numpy(arrays["faces"])
    basis = torch.from_numpy(arrays["basis"])
    parts = _part_vertices(torch.from_numpy(arrays["vertex_ids"]))
    names = tuple(str(name) for name in arrays["expr_names"])
    shape_basis = basis[..., :N_IDENTITIES].contiguous()
    weights, joints, joint_basis = _rig(template, shape_basis, parts)
    model = HeadModel(
        name="ict_facekit",
        asset_hash=f"{arrays['asset_hash']}-{CONVERTER_VERSION}-{_mesh_hash(arrays)}",
        template=template,
        faces=faces,
        shape_basis=shape_basis,
        expr_basis=basis[..., N_IDENTITIES:].contiguous(),
        pose_basis=None,
        joint_template=joints,
        joint_shape_basis=joint_basis,
        weights=weights,
        uvs=torch.from_numpy(arrays["uvs"]),
        uv_faces=torch.from_numpy(arrays["uv_faces"]),
        regions=_base_regions(template, parts),
        landmarks={"ibug": vertex_landmarks(faces, torch.from_numpy(arrays["landmarks"]))},
        shape_names=tuple(f"identity{k:03d}" for k in range(N_IDENTITIES)),
        expr_names=names,
        has_jaw=False,
        open_mouth={names.index("jawOpen"): OPEN_MOUTH},
    )
    model = complete_regions(model)
    return replace(model, base_texture=region_texture(model, TEXTURE_RESOLUTION))


def _mesh_hash(arrays: dict[str, np.ndarray]) -> str:
    """Of the vertices that are kept and how they are joined. Hidden parts are thinned by costs whose last bits differ
    between versions of numpy, so that another environment may keep others."""
    digest = hashlib.sha256()
    for name in ("vertex_ids", "faces"):
        digest.update(np.ascontiguousarray(arrays[name], dtype="<i8").tobytes())
    return digest.hexdigest()[:8]


def _check_folder(folder: Path) -> None:
    if not folder.is_dir():
        raise InputError(f"expected ICT-FaceKit's folder FaceXModel at {folder}, found none; get it from {SOURCE}")
    for name in (NEUTRAL, INDICES):
        if not (folder / name).is_file():
            raise InputError(f"expected {name} in {folder}, found none; point to the folder FaceXModel of {SOURCE}")


def _model_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix in (".obj", ".json"))


def _fingerprint(folder: Path) -> str:
    """Tells a changed folder at once (names, sizes, times), since hashing 400 MB would cost seconds at every start."""
    entries = [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in _model_files(folder)]
    return hashlib.sha256(repr((CONVERTER_VERSION, str(folder.resolve()), entries)).encode()).hexdigest()[:16]


def _content_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in _model_files(folder):
        digest.update(f"{path.name}:{file_hash(path)};".encode())
    return digest.hexdigest()[:16]


def _read_indices(path: Path) -> tuple[list[str], np.ndarray]:
    """Names of the expressions and the vertices of the 68 landmarks."""
    description = read_json(path, Indices)
    names, landmarks = description["expressions"], np.array(description["idx_to_landmark_verts"])
    if landmarks.shape != (68,) or landmarks.min() < 0 or landmarks.max() >= N_VERTICES:
        raise InputError(
            f"expected 68 landmarks at vertices below {N_VERTICES} in {path}, found others; get it again from {SOURCE}"
        )
    # The names become files of this folder.
    missing = set(FITTED_EXPRESSIONS) - set(names)
    odd = [name for name in names if not re.fullmatch(r"\w+", name, re.ASCII)]
    if odd or missing or len(set(names)) < len(names):
        raise InputError(
            f"expected distinct names of expressions, {', '.join(FITTED_EXPRESSIONS)} among them, in {path}, found "
            f"{shown(odd or names)}; get it again from {SOURCE}"
        )
    return names, landmarks


def _read_vertices(path: Path) -> np.ndarray:
    """(N_VERTICES, 3) places of an OBJ file, in its own unit."""
    try:
        text = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"expected {path.name} in {path.parent}, found none; get it from {SOURCE}") from error
    lines = [line[2:] for line in text.split(b"\n") if line.startswith(b"v ")]
    try:
        values = np.array(b" ".join(lines).split(), dtype=np.float64)
    except ValueError as error:
        raise InputError(
            f"expected the vertices of an OBJ file in {path}, found {shown(str(error))}; get it again from {SOURCE}"
        ) from error
    if values.size != 3 * N_VERTICES or not (np.abs(values) < LARGEST_UNITS).all():
        raise InputError(
            f"expected {N_VERTICES} vertices within a metre in {path}, found {values.size // 3}; get the file again "
            f"from {SOURCE}"
        )
    return values.reshape(-1, 3)


def _read_faces(path: Path, points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Triangles of the tracked parts: faces (F, 3), uv_faces (F, 3) and uvs (U, 2) in one picture."""
    wanted = np.zeros(N_VERTICES, bool)
    for first, end, _ in PARTS.values():
        wanted[first:end] = True
    try:
        return _faces_of_lines(path.read_text(encoding="utf-8", errors="replace").splitlines(), wanted, points)
    # Words in place of numbers, corners without texture coordinates, indices and materials that there are none of.
    except (ValueError, LookupError, OverflowError) as error:
        raise InputError(
            f"expected the faces of ICT-FaceKit's OBJ file in {path}, found a line that is none of them "
            f"({shown(f'{type(error).__name__}: {error}')}); get it again from {SOURCE}"
        ) from error


def _faces_of_lines(
    lines: list[str], wanted: np.ndarray, points: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    places: list[list[float]] = []
    corners: dict[tuple[str, int], int] = {}
    faces, uv_faces, material = [], [], ""
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "usemtl":
            material = rest.strip()
        elif word == "vt":
            places.append([float(value) for value in rest.split()[:2]])
        elif word == "f":
            pairs = [tuple(int(value) - 1 for value in corner.split("/")[:2]) for corner in rest.split()]
            if min(index for pair in pairs for index in pair) < 0:
                raise ValueError(f"indices below 1: {rest}")
            if all(wanted[vertex] for vertex, _ in pairs):
                wedge = [corners.setdefault((material, uv), len(corners)) for _, uv in pairs]
                for a, b, c in _triangles([vertex for vertex, _ in pairs], points):
                    faces.append([pairs[k][0] for k in (a, b, c)])
                    uv_faces.append([wedge[k] for k in (a, b, c)])
    uvs = np.array([_atlas_place(material, places[uv]) for material, uv in corners])
    if not faces or not np.isfinite(uvs).all():
        raise ValueError("no faces, or texture coordinates that are not finite")
    return np.array(faces), np.array(uv_faces), uvs


def _triangles(polygon: list[int], points: np.ndarray) -> list[tuple[int, int, int]]:
    """Corners of a triangle, or of a quad cut along its shorter diagonal."""
    if len(polygon) == 3:
        return [(0, 1, 2)]
    a, b, c, d = points[polygon]
    if np.linalg.norm(a - c) <= np.linalg.norm(b - d):
        return [(0, 1, 2), (0, 2, 3)]
    return [(0, 1, 3), (1, 2, 3)]


def _atlas_place(material: str, uv: list[float]) -> tuple[float, float]:
    tile, (left, bottom, width, height) = ATLAS[material]
    inner_width, inner_height = width - 2 * ATLAS_MARGIN, height - 2 * ATLAS_MARGIN
    return left + ATLAS_MARGIN + (uv[0] - tile) * inner_width, bottom + ATLAS_MARGIN + uv[1] * inner_height


def _front_vertices(neutral: np.ndarray) -> np.ndarray:
    """The foremost vertices of the right and the left eyeball: where the iris centres are (image left first)."""
    found = []
    for name in ("right_eyeball", "left_eyeball"):
        first, end, _ = PARTS[name]
        found.append(first + int(neutral[first:end, 2].argmax()))
    return np.array(found)


def _iris_rims(neutral: np.ndarray, pupils: np.ndarray) -> np.ndarray:
    """Eyeball vertices about an iris's radius away from the pupil, kept so that the iris stays round."""
    found = []
    for name, pupil in zip(("right_eyeball", "left_eyeball"), pupils):
        first, end, _ = PARTS[name]
        away = (neutral[first:end] - neutral[pupil]) * METRES_PER_UNIT
        radius = np.linalg.norm(away[:, :2], axis=-1) / IRIS_RADIUS_M
        found.append(first + np.nonzero((abs(radius - 1) < 0.12) & (away[:, 2] > -IRIS_RADIUS_M))[0])
    return np.concatenate(found)


def _thin(poses: np.ndarray, faces: np.ndarray, uv_faces: np.ndarray, kept: np.ndarray):
    part_of = np.zeros(N_VERTICES, int)
    for number, (first, end, _) in enumerate(PARTS.values()):
        part_of[first:end] = number
    keep = _opening_rims(faces)
    keep[kept] = True
    targets = np.array([target for _, _, target in PARTS.values()])
    return decimate(poses, faces, uv_faces, part_of, targets, keep)


def _opening_rims(faces: np.ndarray) -> np.ndarray:
    """(N_VERTICES,) bool: rims of lids and lips, which must meet when they close, and the ring around each."""
    first, end = PARTS["mouth_socket"][0], PARTS["eye_sockets"][1]
    inside = (faces >= first) & (faces < end)
    rim = np.zeros(N_VERTICES, bool)
    rim[faces[inside.any(1) & ~inside.all(1)]] = True
    rim[faces[rim[faces].any(1)]] = True
    return rim


def _renumber(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ids that occur, ascending, and the faces in places of that list."""
    used, inverse = np.unique(faces, return_inverse=True)
    return used, inverse.reshape(faces.shape).astype(np.int64)


def _part_vertices(vertex_ids: torch.Tensor) -> dict[str, torch.Tensor]:
    return {
        name: ((vertex_ids >= first) & (vertex_ids < end)).nonzero()[:, 0] for name, (first, end, _) in PARTS.items()
    }


def _base_regions(template: torch.Tensor, parts: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What the files name: parts of the mesh. The irises are the front of the eyeballs."""
    regions = {name: parts[name] for name in ("left_eyeball", "right_eyeball", "teeth")}
    for side in ("left", "right"):
        ids = parts[f"{side}_eyeball"]
        ahead = template[ids] - template[ids[template[ids, 2].argmax()]]
        near = (ahead[:, :2].norm(dim=-1) < 1.05 * IRIS_RADIUS_M) & (ahead[:, 2] > -IRIS_RADIUS_M)
        regions[f"{side}_iris"] = ids[near]
    regions["lip_inside"] = torch.cat([parts["mouth_socket"], parts["gums_tongue"]])
    regions["eye_sockets"] = parts["eye_sockets"]
    return regions


def _rig(template: torch.Tensor, shape_basis: torch.Tensor, parts: dict[str, torch.Tensor]):
    """Weights (V, 5), joints (5, 3) and how joints follow the shape (5, 3, S); the jaw joint moves nothing."""
    height = template[:, 1] + NECK_TILT * template[:, 2]
    along = ((height - NECK_TOP_M) / NECK_LENGTH_M + 1).clamp(0, 1)
    of_neck = along * along * (3 - 2 * along)
    weights = template.new_zeros(len(template), 5)
    weights[:, 0], weights[:, 1] = 1 - of_neck, of_neck
    joints = template.new_tensor([NECK_BASE_M, SKULL_BASE_M, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0)])
    groups = {0: (of_neck < 0.05).nonzero()[:, 0], 1: ((of_neck > 0.9) & (height < 0)).nonzero()[:, 0]}
    for joint, name in ((3, "left_eyeball"), (4, "right_eyeball")):
        groups[joint] = parts[name]
        weights[parts[name]] = torch.eye(5)[joint]
        joints[joint] = _sphere_centre(template[parts[name]])
    joints[2] = joints[1]
    groups[2] = groups[1]
    joint_basis = torch.stack([shape_basis[groups[joint]].mean(0) for joint in range(5)])
    return weights, joints, joint_basis


def _sphere_centre(points: torch.Tensor) -> torch.Tensor:
    """(N, 3) -> (3,) centre of the sphere that fits best in the least-squares sense."""
    exact = points.double()
    rows = torch.cat([2 * exact, torch.ones_like(exact[:, :1])], -1)
    return torch.linalg.lstsq(rows, (exact * exact).sum(-1, keepdim=True)).solution[:3, 0].to(points)
