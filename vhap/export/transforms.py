"""transforms*.json: what stands at the top of them, and reading one back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vhap.util.errors import InputError
from vhap.util.files import read_json
from vhap.util.paths import inside

SHARED_INTRINSICS = ("cx", "cy", "fl_x", "fl_y", "h", "w", "camera_angle_x", "camera_angle_y")
PATH_KEYS = ("file_path", "fg_mask_path", "flame_param_path", "mesh_path", "exp_path")
LARGEST = 1e9
"""Of a camera's numbers, far above any lens and picture; infinity and NaN are not below it."""
INDICES = ("timestep_index", "camera_index")
REQUIRED_KEYS = (*SHARED_INTRINSICS, "timestep_index", "camera_index", "camera_id", "transform_matrix", "file_path")


def transforms(frames: list[dict[str, Any]], shared: dict[str, Any]) -> dict[str, Any]:
    """The content of a transforms file: `shared` (the common camera, head_model), the frames, and the indices in
    them."""
    return {
        **shared,
        "frames": frames,
        "timestep_indices": sorted({frame["timestep_index"] for frame in frames}),
        "camera_indices": sorted({frame["camera_index"] for frame in frames}),
    }


def common_camera(frames: list[dict[str, Any]]) -> dict[str, Any]:
    """The intrinsics that all frames have; empty where they differ.

    Every frame carries its own. Some readers take those at the top for all frames, which then must be right.
    """
    cameras = {tuple(frame[key] for key in SHARED_INTRINSICS) for frame in frames}
    return dict(zip(SHARED_INTRINSICS, cameras.pop())) if len(cameras) == 1 else {}


def read_transforms(path: Path) -> dict[str, Any]:
    """Raises InputError where the file is missing, is not JSON, lacks what an export always writes, has other types,
    or names files outside its folder."""
    content = read_json(path)
    frames = content.get("frames") if isinstance(content, dict) else None
    if not isinstance(frames, list) or not all(isinstance(frame, dict) for frame in frames):
        raise InputError(f"expected an object with a list `frames` in {path}, found none; export again")
    for number, frame in enumerate(frames):
        if missing := [key for key in REQUIRED_KEYS if key not in frame]:
            raise InputError(
                f"expected the keys of an export in frame {number} of {path}, found no {', '.join(missing)}; "
                "export again"
            )
        if odd := [key for key in SHARED_INTRINSICS if not _is_number(frame[key], key not in ("cx", "cy"))]:
            raise InputError(
                f"expected a finite number for {odd[0]} in frame {number} of {path}, above 0 unless it is cx or cy, "
                "found something else; export again"
            )
        if odd := [key for key in INDICES if type(frame[key]) is not int or frame[key] < 0]:
            raise InputError(
                f"expected a whole number for {odd[0]} in frame {number} of {path}, found something else; export again"
            )
        if not _is_matrix(frame["transform_matrix"]):
            raise InputError(
                f"expected a 4x4 matrix of finite numbers as transform_matrix in frame {number} of {path}, found "
                "something else; export again"
            )
        for key in PATH_KEYS:
            if key in frame:
                inside(path.parent, frame[key], path)
    return content


def _is_number(value: object, is_positive: bool) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return abs(value) < LARGEST and (value > 0 or not is_positive)


def _is_matrix(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 4
        and all(isinstance(row, list) and len(row) == 4 for row in value)
        and all(_is_number(entry, False) for row in value for entry in row)
    )
