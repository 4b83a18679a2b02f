"""A head of one's own: a `HeadModel` in one .npz file, written and read without running code.

Arrays carry the names of `HeadModel`'s fields. `regions/NAME` are vertex ids; `landmarks/NAME/face_ids`,
`.../barycentrics` and `.../detector_ids` are a landmark set, `jaw_line/...` the sliding contour; `open_mouth/ids` and
`open_mouth/values` are expression coefficients. What is optional may be left out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vhap.geometry.meshes import barycentric_points
from vhap.head.model import HeadModel, JawLine, LandmarkSet
from vhap.util.errors import InputError, shown
from vhap.util.files import read_npz, write_npz
from vhap.util.schema import FLAGS, REAL, TEXT, WHOLE, ArrayRule, check_arrays

REMEDY = "write the file by vhap.head.head_file.save_head"
TAKEN_NAMES = ("flame", "gnm", "ict", "builtin")
"""How names of the package's heads begin. Exports take a head for FLAME by its name."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
PARENTS = (-1, 0, 1, 1, 1)
LANDMARKS = {"ibug": (68, 70), "mediapipe": (478,)}
"""Sets that may be stored, and how many points their detectors have."""
SET_ARRAYS = ("face_ids", "barycentrics", "detector_ids")
MARK_TYPES = (("face_ids", np.int64), ("barycentrics", np.float64))
SMALLEST_M, LARGEST_M = 0.05, 0.6
"""Height of the template. A head with its neck has some 0.3 m, with shoulders 0.5 m."""
SMALLEST_SPREAD_M = 0.01
"""Of the joints. From the neck to the eyes are 0.1 m."""
SUM_TOLERANCE = 1e-3
RULES: Mapping[str, ArrayRule] = {
    "name": ArrayRule(TEXT, ()),
    "template": ArrayRule(REAL, ("vertices", 3), most=1),
    "faces": ArrayRule(WHOLE, ("faces", 3)),
    "shape_basis": ArrayRule(REAL, ("vertices", 3, "identities"), most=1),
    "expr_basis": ArrayRule(REAL, ("vertices", 3, "expressions"), most=1),
    "pose_basis": ArrayRule(REAL, ("vertices", 3, 9 * (len(PARENTS) - 1)), most=1, required=False),
    "joint_template": ArrayRule(REAL, (len(PARENTS), 3), most=1),
    "joint_shape_basis": ArrayRule(REAL, (len(PARENTS), 3, "identities"), most=1),
    "weights": ArrayRule(REAL, ("vertices", len(PARENTS)), most=1),
    "uvs": ArrayRule(REAL, ("corners", 2), most=10),
    "uv_faces": ArrayRule(WHOLE, ("faces", 3)),
    "base_texture": ArrayRule(REAL, ("rows", "columns", 3), most=1, required=False),
    "shape_names": ArrayRule(TEXT, ("identities",), required=False),
    "expr_names": ArrayRule(TEXT, ("expressions",), required=False),
    "has_jaw": ArrayRule(FLAGS, (), most=1),
    "unit_variance": ArrayRule(FLAGS, (), most=1, required=False),
    "open_mouth/ids": ArrayRule(WHOLE, ("openings",), required=False),
    "open_mouth/values": ArrayRule(REAL, ("openings",), most=10, required=False),
    "jaw_line/face_ids": ArrayRule(WHOLE, (79, 17), required=False),
    "jaw_line/barycentrics": ArrayRule(REAL, (79, 17, 3), most=2, required=False),
}

Arrays = Mapping[str, np.ndarray]


def save_head(path: str | Path, head: HeadModel) -> Path:
    """Writes a head for `--model.head file --model.head_path PATH`. Its `asset_hash` is not stored: a file's head is
    known by its content. Raises InputError, before anything is written, for what `load_head_file` would refuse."""
    path = Path(path)
    if path.suffix != ".npz":
        raise InputError(f"expected a file's name that ends in .npz for a head, found {path}; name it so")
    if tuple(head.parents) != PARENTS:
        raise InputError(f"expected joints with the parents {PARENTS} in head {head.name}, found {head.parents}")
    arrays = _arrays_of(head)
    _check(path, arrays)
    write_npz(path, arrays)
    return path


def load_head_file(path: str | Path) -> HeadModel:
    """The head of a file, as it is stored, on the CPU; float32, and int64 for ids.

    asset_hash is that of the content, so that another program's compression changes nothing. Raises InputError for a
    file that is damaged, whose arrays do not belong together, or whose units or axes are others.
    """
    arrays = read_npz(path)
    _check(path, arrays)
    plain = _in_one_type(arrays)
    return _build(plain, _content_hash(plain))


def _arrays_of(head: HeadModel) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {"name": np.array(head.name), "has_jaw": np.array(head.has_jaw)}
    tensors: dict[str, Tensor | None] = {
        name: getattr(head, name) for name in RULES if isinstance(getattr(head, name, None), Tensor)
    }
    tensors |= {f"regions/{name}": ids for name, ids in head.regions.items()}
    for name, marks in head.landmarks.items():
        tensors |= {f"landmarks/{name}/{part}": getattr(marks, part) for part in SET_ARRAYS}
    if head.jaw_line is not None:
        tensors |= {f"jaw_line/{part}": getattr(head.jaw_line, part) for part in SET_ARRAYS[:2]}
    found |= {name: tensor.detach().cpu().numpy() for name, tensor in tensors.items() if tensor is not None}
    if head.unit_variance:
        found["unit_variance"] = np.array(True)
    for name in ("shape_names", "expr_names"):
        if getattr(head, name):
            found[name] = np.array(getattr(head, name))
    if head.open_mouth:
        found["open_mouth/ids"] = np.array(list(head.open_mouth))
        found["open_mouth/values"] = np.array(list(head.open_mouth.values()))
    return found


def _in_one_type(arrays: Arrays) -> dict[str, np.ndarray]:
    kinds = {"f": np.float32, "i": np.int64, "u": np.int64}
    real = {name for name, rule in RULES.items() if rule.kind == REAL}

    def plain(name: str, array: np.ndarray) -> np.ndarray:
        if name in real or name.endswith("barycentrics"):
            return array.astype(np.float32)
        return array.astype(kinds.get(array.dtype.kind, array.dtype))

    return {name: plain(name, arrays[name]) for name in sorted(arrays)}


def _content_hash(arrays: Arrays) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        content = repr(array.tolist()).encode() if array.dtype.kind == "U" else np.ascontiguousarray(array).tobytes()
        digest.update(f"{name} {array.dtype.kind} {array.shape} ".encode() + content)
    return digest.hexdigest()[:16]


def _build(arrays: Arrays, content_hash: str) -> HeadModel:
    def tensor(name: str) -> Tensor:
        return torch.from_numpy(arrays[name].copy())

    def optional(name: str) -> Tensor | None:
        return tensor(name) if name in arrays else None

    def names(name: str) -> tuple[str, ...]:
        return tuple(arrays[name].tolist()) if name in arrays else ()

    mouth = [arrays[f"open_mouth/{part}"].tolist() for part in ("ids", "values") if f"open_mouth/{part}" in arrays]
    return HeadModel(
        name=str(arrays["name"]),
        asset_hash=content_hash,
        template=tensor("template"),
        faces=tensor("faces"),
        shape_basis=tensor("shape_basis"),
        expr_basis=tensor("expr_basis"),
        joint_template=tensor("joint_template"),
        joint_shape_basis=tensor("joint_shape_basis"),
        weights=tensor("weights"),
        uvs=tensor("uvs"),
        uv_faces=tensor("uv_faces"),
        pose_basis=optional("pose_basis"),
        regions={name.removeprefix("regions/"): tensor(name) for name in arrays if name.startswith("regions/")},
        landmarks={
            name: LandmarkSet(*(tensor(f"landmarks/{name}/{part}") for part in SET_ARRAYS))
            for name in _landmark_sets(arrays)
        },
        jaw_line=JawLine(tensor("jaw_line/face_ids"), tensor("jaw_line/barycentrics"))
        if "jaw_line/face_ids" in arrays
        else None,
        base_texture=optional("base_texture"),
        shape_names=names("shape_names"),
        expr_names=names("expr_names"),
        has_jaw=bool(arrays["has_jaw"]),
        unit_variance=bool(arrays.get("unit_variance", False)),
        open_mouth=dict(zip(*mouth)) if mouth else {},
    )


def _landmark_sets(arrays: Arrays) -> list[str]:
    return sorted({name.split("/")[1] for name in arrays if name.startswith("landmarks/")})


def _check(path: str | Path, arrays: Arrays) -> None:
    rules = {**RULES, **_rules_of_parts(path, arrays)}
    lengths = check_arrays(path, arrays, rules, REMEDY)
    _check_name(path, str(arrays["name"]))
    counts = {name: lengths.get(name, 0) for name in ("vertices", "faces", "corners", "identities", "expressions")}
    if not all(counts.values()):
        raise InputError(
            f"expected vertices, faces, texture corners, identities and expressions in {path}, found {counts}; {REMEDY}"
        )
    _check_ids(path, arrays, counts)
    _check_pairs(path, arrays)
    _check_values(path, arrays)
    _check_axes(path, arrays)


def _rules_of_parts(path: str | Path, arrays: Arrays) -> dict[str, ArrayRule]:
    """Rules of regions and landmark sets, whose names are the file's own."""
    rules: dict[str, ArrayRule] = {}
    for name in arrays:
        if name.startswith("regions/"):
            rules[name] = ArrayRule(WHOLE, (f"vertices of {name}",))
        elif name not in RULES and not name.startswith("landmarks/"):
            raise InputError(f"expected arrays of a head in {path}, found {shown(name)}; remove it, or {REMEDY}")
    for name in _landmark_sets(arrays):
        if name not in LANDMARKS:
            raise InputError(
                f"expected landmark sets out of {', '.join(LANDMARKS)} in {path}, found {shown(name)}; remove it"
            )
        points = f"points of {name}"
        rules[f"landmarks/{name}/face_ids"] = ArrayRule(WHOLE, (points,))
        rules[f"landmarks/{name}/barycentrics"] = ArrayRule(REAL, (points, 3), most=2)
        rules[f"landmarks/{name}/detector_ids"] = ArrayRule(WHOLE, (points,))
    if odd := [name for name in arrays if name not in RULES and name not in rules]:
        raise InputError(f"expected arrays of a head in {path}, found {shown(odd[0])}; remove it, or {REMEDY}")
    return rules


def _check_name(path: str | Path, name: str) -> None:
    if not NAME.fullmatch(name):
        raise InputError(
            f"expected a name of letters, digits, '.', '_' and '-' for the head in {path}, found {shown(name)}; "
            f"rename it, then {REMEDY}"
        )
    if name.lower().startswith(TAKEN_NAMES):
        raise InputError(
            f"expected a name of its own for the head in {path}, one that begins with none of "
            f"{', '.join(TAKEN_NAMES)}, found {name!r}; rename it by dataclasses.replace(head, name=...), then {REMEDY}"
        )


def _check_ids(path: str | Path, arrays: Arrays, counts: Mapping[str, int]) -> None:
    ends = {"faces": counts["vertices"], "uv_faces": counts["corners"], "open_mouth/ids": counts["expressions"]}
    for name, array in arrays.items():
        if name.startswith("regions/"):
            ends[name] = counts["vertices"]
        elif name.endswith("/face_ids"):
            ends[name] = counts["faces"]
        elif name.endswith("/detector_ids"):
            ends[name] = max(LANDMARKS[name.split("/")[1]])
        if name in ends and array.size and (array.min() < 0 or array.max() >= ends[name]):
            raise InputError(
                f"expected {name} in {path} from 0 to {ends[name] - 1}, found {array.min()} to {array.max()}; {REMEDY}"
            )
    for name in _landmark_sets(arrays):
        points = arrays[f"landmarks/{name}/detector_ids"]
        if len(np.unique(points)) != len(points) or not len(points):
            raise InputError(f"expected each point of landmarks/{name} once in {path}, found repeated ones or none")
    ibug = arrays.get("landmarks/ibug/detector_ids")
    if ibug is not None and (len(ibug) not in LANDMARKS["ibug"] or (ibug != np.arange(len(ibug))).any()):
        raise InputError(
            f"expected the 68 iBUG points in their order in {path}, and the two iris centres or not, found "
            f"{len(ibug)} points; leave landmarks/ibug out to have them found by the detector"
        )


def _check_pairs(path: str | Path, arrays: Arrays) -> None:
    for one, other in (("open_mouth/ids", "open_mouth/values"), ("jaw_line/face_ids", "jaw_line/barycentrics")):
        if (one in arrays) != (other in arrays):
            raise InputError(f"expected both {one} and {other} or neither in {path}, found one; {REMEDY}")
    if "jaw_line/face_ids" in arrays and "landmarks/ibug/face_ids" not in arrays:
        raise InputError(f"expected landmarks/ibug beside the jaw line in {path}, found none; {REMEDY}")


def _check_values(path: str | Path, arrays: Arrays) -> None:
    for name in ["weights", *(name for name in arrays if name.endswith("/barycentrics"))]:
        sums = arrays[name].astype(np.float64).sum(-1)
        if np.abs(sums - 1).max(initial=0) > SUM_TOLERANCE:
            worst = sums.reshape(-1)[np.abs(sums - 1).argmax()]
            raise InputError(f"expected rows of {name} in {path} that add up to 1, found {worst:.4g}; {REMEDY}")
    for name in ("weights", "base_texture"):
        if name in arrays and arrays[name].size and arrays[name].min() < 0:
            raise InputError(f"expected {name} in {path} from 0 to 1, found {arrays[name].min():.3g}; {REMEDY}")
    if "base_texture" in arrays and not arrays["base_texture"].size:
        raise InputError(f"expected texels in base_texture in {path}, found none; leave it out, or {REMEDY}")


def _check_axes(path: str | Path, arrays: Arrays) -> None:
    """Metres, y up, face towards +z, faces counter-clockwise from outside: as far as the file itself shows it."""
    template, faces = arrays["template"].astype(np.float64), arrays["faces"]
    height = np.ptp(template[:, 1])
    if not SMALLEST_M <= height <= LARGEST_M:
        raise InputError(
            f"expected a head in metres, {SMALLEST_M:g} to {LARGEST_M:g} high, in {path}, found one {height:.3g} high; "
            "scale all its lengths"
        )
    if (spread := np.ptp(arrays["joint_template"].astype(np.float64), axis=0).max()) < SMALLEST_SPREAD_M:
        raise InputError(
            f"expected the joints of neck, jaw and eyes apart in joint_template in {path}, found all five within "
            f"{spread:.3g} m; place them in the head"
        )
    corners = (template - template.mean(0))[faces]
    if np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) <= 0:
        raise InputError(f"expected faces counter-clockwise from outside in {path}, found clockwise ones; turn them")
    if "landmarks/ibug/face_ids" not in arrays:
        return
    marks = [torch.from_numpy(arrays[f"landmarks/ibug/{part}"].astype(kind)) for part, kind in MARK_TYPES]
    points = barycentric_points(torch.from_numpy(template), torch.from_numpy(faces.astype(np.int64)), *marks).numpy()
    right_eye, left_eye = points[36:42].mean(0), points[42:48].mean(0)
    directions = {
        "the subject's left at +x": left_eye[0] - right_eye[0],
        "y up, from chin to eyes": (left_eye + right_eye)[1] / 2 - points[8, 1],
        "the face towards +z, from cheeks to nose": points[30, 2] - points[[0, 16], 2].mean(),
    }
    if wrong := [words for words, step in directions.items() if step <= 0]:
        raise InputError(
            f"expected {' and '.join(wrong)} in {path}, found the opposite by its iBUG points; turn the head"
        )
