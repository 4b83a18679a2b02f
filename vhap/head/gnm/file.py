"""The arrays of a GNM v3 head (`gnm_head.npz`), held to their kinds and shapes. Public facts about the format only:
sizes come from the arrays, parts from the names."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vhap.util.errors import InputError
from vhap.util.files import read_npz
from vhap.util.schema import REAL, TEXT, WHOLE, ArrayRule, check_arrays

SOURCE = "https://huggingface.co/google/gnm-v3 (v3_0/gnm_head.npz, Apache-2.0)"
REMEDY = f"get the file again from {SOURCE}"
FILE_NAME, VERSION, VARIANT = "gnm_head.npz", "3.", "head"
JOINTS = ("neck", "head", "left_eye", "right_eye")
SKIN, EYES, TONGUE = "skin", ("left_eye", "right_eye"), "tongue"
TEETH = ("upper_teeth_and_gums", "lower_teeth_and_gums")
CORNEAS = "eye_exteriors"
UPPER_LIP, LOWER_LIP = ("upper_lip", "upper_lip_region"), ("lower_lip", "lower_lip_region")
"""Names under which a lip's group may stand."""
INSIDE = 0.5
"""Weight from which a vertex is in a group. The groups of whole parts are 0 or 1."""
FORMER_PREFIXES = {
    "identity_names": {"eyeballs_": "eyes_"},
    "expression_names": {"mouth_": "lower_face_region_", "eyeballs_": "pupils_"},
}
FORMER_SIDES = {"left_eye_": "left_eye_region_", "right_eye_": "right_eye_region_"}
"""Beginnings of names in earlier files. The new ones begin with the old ones of the sides."""
RULES = {
    "version": ArrayRule(TEXT, ()),
    "variant": ArrayRule(TEXT, ()),
    "template_vertex_positions": ArrayRule(REAL, ("V", 3), most=10),
    "template_joint_positions": ArrayRule(REAL, ("J", 3), most=10),
    "vertex_identity_basis": ArrayRule(REAL, ("I", "V", 3), most=1),
    "joint_identity_basis": ArrayRule(REAL, ("I", "J", 3), most=1),
    "expression_basis": ArrayRule(REAL, ("E", "V", 3), most=1),
    "identity_names": ArrayRule(TEXT, ("I",)),
    "joint_names": ArrayRule(TEXT, ("J",)),
    "expression_names": ArrayRule(TEXT, ("E",)),
    "joint_parent_indices": ArrayRule(WHOLE, ("J",)),
    "skinning_weights": ArrayRule(REAL, ("J", "V"), most=1 + 1e-5),
    "quads": ArrayRule(WHOLE, ("Q", 4)),
    "triangles": ArrayRule(WHOLE, ("T", 3)),
    "quad_uvs": ArrayRule(REAL, ("Q", 4, 2), most=100),
    "triangle_uvs": ArrayRule(REAL, ("T", 3, 2), most=100),
    "mesh_component_names": ArrayRule(TEXT, ("P",)),
    "mirror_indices": ArrayRule(WHOLE, ("V",)),
    "joint_regressor": ArrayRule(REAL, ("J", "V")),
    "pose_correctives_regressor": ArrayRule(REAL, ("9 J", "3 V"), most=10),
    "bone_aligned_template_joint_orientations": ArrayRule(REAL, ("J", 3, 3), most=10),
    "vertex_groups": ArrayRule(REAL, ("G", "V")),
    "vertex_group_names": ArrayRule(TEXT, ("G",)),
}
"""All arrays of the file. V vertices, T triangles, Q quads, J joints, I and E components of identity and expression,
P parts of the mesh, G vertex groups."""


@dataclass(frozen=True)
class GnmFile:
    """The arrays by their names in the file, float32 and int64, metres and axes as the file has them. former_names:
    whether names of components were those of earlier files; they are the present ones here."""

    path: Path
    arrays: dict[str, np.ndarray]
    extra: tuple[str, ...]
    kinds: dict[str, str]
    former_names: bool

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    def names(self, array: str) -> tuple[str, ...]:
        return tuple(str(name) for name in self.arrays[array])

    @property
    def version(self) -> str:
        return str(self.arrays["version"])

    @property
    def parents(self) -> tuple[int, ...]:
        """-1 for the root, whatever stands for it in the file: a negative number or the joint itself."""
        found = self.arrays["joint_parent_indices"].tolist()
        return tuple(-1 if parent < 0 or parent == joint else parent for joint, parent in enumerate(found))

    def has_group(self, name: str) -> bool:
        return name in self.names("vertex_group_names")

    def group(self, *wanted: str) -> np.ndarray:
        """(V,) bool: in one of these groups; nothing is in a group that the file has not."""
        names = self.names("vertex_group_names")
        inside = np.zeros(len(self.arrays["template_vertex_positions"]), bool)
        for name in wanted:
            if name in names:
                inside |= self.arrays["vertex_groups"][names.index(name)] > INSIDE
        return inside

    def content_hash(self) -> str:
        """First 16 hex digits of a SHA-256 of the arrays: another compression of the same numbers changes nothing."""
        digest = hashlib.sha256()
        for name in RULES:
            array = self.arrays[name]
            digest.update(f"{name}:{array.shape};".encode())
            text = array.dtype.kind == "U"
            digest.update("\n".join(map(str, array.ravel())).encode() if text else np.ascontiguousarray(array).data)
        return digest.hexdigest()[:16]


KNOWN_FILES = {
    "61d78bbfb4ad8e0b38495804a4caef3214d3df00f8c3f68761e63b41ce3747eb": "as on Hugging Face",
    "7cf8c991": "as once in Google's repository",
    "e3710378": "as once in Google's repository",
    "0b1de1bd": "as once in Google's repository",
}
"""SHA-256 of files of version 3.0 that were seen elsewhere, or how it begins. Others are no fault."""


def describe(gnm: GnmFile) -> str:
    """Size and SHA-256 of a file, and whether it is a known one."""
    digest = hashlib.sha256(gnm.path.read_bytes()).hexdigest()
    known = next((words for start, words in KNOWN_FILES.items() if digest.startswith(start)), "not a known one")
    return f"{gnm.path.stat().st_size} bytes, SHA-256 {digest}, {known}"


def regions_of(names: Sequence[str]) -> tuple[str, ...]:
    """What components belong to: their names up to the last underscore."""
    return tuple(name.rpartition("_")[0] for name in names)


def read_gnm(path: str | Path) -> GnmFile:
    """Reads the npz: no pickles, no code. InputError where it is damaged, or where an array is missing or is not of its
    kind and shape."""
    path = Path(path).expanduser()
    if not path.is_file():
        raise InputError(f"expected a GNM head ({FILE_NAME}) at {path}, found no file; {REMEDY}")
    found = read_npz(path, remedy=REMEDY)
    arrays = {name: array for name, array in found.items() if name in RULES}
    lengths = check_arrays(path, arrays, RULES, REMEDY)
    for name, shape in (("9 J", 9 * lengths["J"]), ("3 V", 3 * lengths["V"])):
        if lengths[name] != shape:
            raise InputError(
                f"expected pose_correctives_regressor in {path} of {9 * lengths['J']} x {3 * lengths['V']} numbers, "
                f"found {lengths['9 J']} x {lengths['3 V']}; {REMEDY}"
            )
    kinds = {name: str(array.dtype) for name, array in arrays.items() if array.dtype.kind != "U"}
    plain = {name: _in_one_type(array, RULES[name].kind) for name, array in arrays.items()}
    former = {name: present_names(name, plain[name]) for name in FORMER_PREFIXES}
    renamed = any((former[name] != plain[name]).any() for name in former)
    return GnmFile(path, {**plain, **former}, tuple(sorted(found.keys() - RULES.keys())), kinds, renamed)


def _in_one_type(array: np.ndarray, kind: str) -> np.ndarray:
    return array if kind == TEXT else np.ascontiguousarray(array, np.float32 if kind == REAL else np.int64)


def present_names(array: str, names: np.ndarray) -> np.ndarray:
    """Names of components as newer files have them."""

    def present(name: str) -> str:
        for old, new in FORMER_PREFIXES[array].items():
            if name.startswith(old):
                return new + name.removeprefix(old)
        for old, new in FORMER_SIDES.items():
            if array == "expression_names" and name.startswith(old) and not name.startswith(new):
                return new + name.removeprefix(old)
        return name

    return np.array([present(str(name)) for name in names])
