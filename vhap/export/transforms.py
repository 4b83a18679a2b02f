"""transforms*.json: what stands at the top of them, and reading one back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vhap.util.errors import InputError
from vhap.util.files import read_json

SHARED_INTRINSICS = ("cx", "cy", "fl_x", "fl_y", "h", "w", "camera_angle_x", "camera_angle_y")
PATH_KEYS = ("file_path", "fg_mask_path", "flame_param_path", "mesh_path", "exp_path")
REQUIRED_KEYS = (*SHARED_INTRINSICS, "timestep_index", "camera_index", "camera_id", "transform_matrix", "file_path")


def transforms(frames: list[dict[str, Any]], shared: dict[str, Any]) -> dict[str, Any]:
    """The content of a transforms file: `shared` (intrinsics, head_model), the frames, and the indices in them.

    The shared intrinsics are the first camera's; every frame carries its own as well.
    """
    return {
        **shared,
        "frames": frames,
        "timestep_indices": sorted({frame["timestep_index"] for frame in frames}),
        "camera_indices": sorted({frame["camera_index"] for frame in frames}),
    }


def read_transforms(path: Path) -> dict[str, Any]:
    """Raises InputError where the file is missing, is not JSON, or lacks what an export always writes."""
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
    return content
