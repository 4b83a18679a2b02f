"""What the arrays of a tracking result have to be: shapes that agree, and values that a head can have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from vhap.util.errors import InputError, shown
from vhap.util.schema import REAL, TEXT, WHOLE, ArrayRule, check_arrays

REMEDY = "restore the file, or track again"
MOST_RAD = 20.0
"""Of an axis-angle: solvers go a few turns beyond pi, no further."""
MOST_METRES, MOST_UNITS = 1e3, 1e6
"""Of a position: in a tracked world, and in the world of an avatar, whose unit is its own."""
MOST_COEFFICIENT, MOST_OFFSET, MOST_COLOUR, MOST_LIGHT, MOST_FOCAL = 1e3, 10.0, 100.0, 1e4, 1e3

RULES = {
    "rotation": ArrayRule(REAL, ("T", 3), MOST_RAD),
    "translation": ArrayRule(REAL, ("T", 3), MOST_UNITS),
    "neck_pose": ArrayRule(REAL, ("T", 3), MOST_RAD),
    "jaw_pose": ArrayRule(REAL, ("T", 3), MOST_RAD),
    "eyes_pose": ArrayRule(REAL, ("T", 6), MOST_RAD),
    "shape": ArrayRule(REAL, ("S",), MOST_COEFFICIENT),
    "expr": ArrayRule(REAL, ("T", "E"), MOST_COEFFICIENT),
    "timestep_id": ArrayRule(TEXT, ("T",)),
    "timestep_index": ArrayRule(WHOLE, ("T",)),
    "n_processed_frames": ArrayRule(REAL, ()),
    "image_size": ArrayRule(REAL, (2,), 1e6),
    "head_model": ArrayRule(TEXT, ()),
    "focal_length": ArrayRule(REAL, ("...",), MOST_FOCAL, False),
    "tex_extra": ArrayRule(REAL, (3, "R", "R"), MOST_COLOUR, False),
    "albedo": ArrayRule(REAL, (3, "A", "A"), MOST_COLOUR, False),
    "lights": ArrayRule(REAL, (9, 3), MOST_LIGHT, False),
    "static_offset": ArrayRule(REAL, (1, "V", 3), MOST_OFFSET, False),
    "dynamic_offset": ArrayRule(REAL, ("T", "V", 3), MOST_OFFSET, False),
    "scale": ArrayRule(REAL, ("...",), MOST_UNITS, False),
    "T_tracked_given": ArrayRule(REAL, (4, 4), MOST_UNITS, False),
    "lost_reason": ArrayRule(TEXT, ("T", "C"), required=False),
    "camera_id": ArrayRule(TEXT, ("C",), required=False),
    "format_version": ArrayRule(WHOLE, (), required=False),
}
POSITIVE = {"image_size": 2, "focal_length": 1, "scale": 1}
"""Arrays of that many numbers above 0."""


def check_result(arrays: Mapping[str, np.ndarray], path: str | Path) -> None:
    """InputError where an array is missing, does not fit the others, or holds what no head has."""
    most = MOST_METRES if "scale" not in arrays else MOST_UNITS
    rules = {**RULES, "translation": ArrayRule(REAL, ("T", 3), most)}
    if "timestep_id" in arrays and arrays["timestep_id"].dtype.kind != "U":
        rules["timestep_id"] = ArrayRule(WHOLE, ("T",))
    if "lost_reason" in arrays:
        rules["camera_id"] = replace(RULES["camera_id"], required=True)
    lengths = check_arrays(path, arrays, rules, REMEDY)
    if not lengths["T"]:
        raise InputError(f"expected timesteps in {path}, found none; {REMEDY}")
    for name, count in POSITIVE.items():
        if name in arrays and (arrays[name].size != count or (arrays[name] <= 0).any()):
            numbers = "a positive number" if count == 1 else f"{count} positive numbers"
            raise InputError(f"expected {numbers} as {name} in {path}, found {shown(arrays[name].tolist())}; {REMEDY}")
    for name in ("timestep_id", "timestep_index"):
        values, counts = np.unique(arrays[name], return_counts=True)
        if (counts > 1).any():
            raise InputError(
                f"expected each timestep once as {name} in {path}, found {shown(values[counts > 1].tolist())} more "
                f"than once; {REMEDY}"
            )
    if "T_tracked_given" in arrays:
        _check_similarity(arrays["T_tracked_given"].astype(np.float64), path)


def _check_similarity(matrix: np.ndarray, path: str | Path) -> None:
    size = np.cbrt(np.linalg.det(matrix[:3, :3]))
    turn = matrix[:3, :3] / size if size > 0 else np.zeros((3, 3))
    if np.abs(turn.T @ turn - np.eye(3)).max() > 1e-3 or np.abs(matrix[3] - [0, 0, 0, 1]).max() > 1e-3:
        raise InputError(
            f"expected a turn, a scale and a shift as T_tracked_given in {path}, found {shown(matrix.tolist())}; "
            f"{REMEDY}"
        )
