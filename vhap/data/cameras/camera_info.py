"""Cameras of a `camera_info.json`: one for each picture of a static avatar."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vhap.data.cameras.checks import Source, check_numbers, check_pose
from vhap.data.cameras.rig import DISTORTION, FROM_OPENCV_AXES, RigCameras
from vhap.data.pictures import natural_order, picture_size, some_names
from vhap.util.errors import InputError
from vhap.util.files import read_json

FOCAL_TOLERANCE = 0.01
"""Share by which focal_length and fov may differ; renderers write sqrt(2) and pi with few digits."""


def read_camera_info(path: Path, pictures: Mapping[str, Path]) -> RigCameras:
    """A camera of each entry, named as its picture without suffix, with its principal point in the centre.

    pictures: name -> file, whose sizes the cameras count in. `camera_params`: 16 numbers, camera-to-world row by row,
    OpenCV axes; `focal_length` and `fov` as `focal_px` reads them. InputError on what is missing, not finite, not rigid
    or contradictory.
    """
    content = read_json(path)
    if not isinstance(content, dict) or not content:
        raise InputError(f"expected an object with an entry for each picture in {path}, found none; remake the file")
    entries = {Path(key).stem: value for key, value in content.items()}
    if len(entries) < len(content):
        raise InputError(
            f"expected one entry for each picture in {path}, found {len(content)} entries for {len(entries)} names "
            "without suffix; remake the file"
        )
    names = sorted(entries, key=natural_order)
    if missing := [name for name in names if name not in pictures]:
        raise InputError(
            f"expected the {len(names)} pictures that {path} lists, found no {some_names(missing)} among "
            f"{len(pictures)} of them; restore the pictures or remake the file"
        )
    cameras = [_camera(entries[name], picture_size(pictures[name]), Source(name, path)) for name in names]
    matrices, poses, sizes = (np.stack(values) for values in zip(*cameras))
    return RigCameras(tuple(names), matrices, poses, sizes, np.zeros((len(names), len(DISTORTION))))


def focal_px(focal_length: float, fov_deg: float, size: tuple[int, int]) -> float | None:
    """The focal length in pixels that both numbers allow; None where they allow none, or several.

    size: (height, width). Renderers give focal_length in pixels, in picture sides or in halves of one, and fov along a
    side or along the diagonal. Exactly one reading makes them agree, unless a picture has two different sides.
    """
    height, width = size
    tangent = math.tan(math.radians(fov_deg) / 2)
    by_angle = [side / 2 / tangent for side in (width, height, math.hypot(width, height))]
    by_length = [focal_length * unit for unit in (1, width, height, width / 2, height / 2)]
    agreeing = [f for f in by_length for g in by_angle if abs(f - g) <= FOCAL_TOLERANCE * g]
    if not agreeing or max(agreeing) - min(agreeing) > FOCAL_TOLERANCE * max(agreeing):
        return None
    return agreeing[0]


def _camera(entry: Any, size: tuple[int, int], source: Source) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """K (3, 3), T_camera_world (4, 4) in OpenGL axes, and the size (2,)."""
    if not isinstance(entry, dict):
        raise source.error("an object", f"{type(entry).__name__}")
    if missing := [key for key in ("camera_params", "focal_length", "fov") if key not in entry]:
        raise source.error("camera_params, focal_length and fov", f"no {', '.join(missing)}")
    rows = entry["camera_params"]
    rows = rows[0] if isinstance(rows, list) and len(rows) == 1 else rows
    T_world_camera = check_pose(check_numbers(rows, (16,), "camera_params", source).reshape(4, 4).tolist(),
                                "camera_params", source)  # fmt: skip
    focal_length, fov = (float(check_numbers(entry[key], (), key, source)) for key in ("focal_length", "fov"))
    if focal_length <= 0 or not 0 < fov < 180:
        raise source.error("a positive focal_length and a fov of 0 to 180 degrees", f"{focal_length:g} and {fov:g}")
    height, width = size
    focal = focal_px(focal_length, fov, size)
    if focal is None:
        raise source.error(
            f"a focal_length and a fov (degrees) that agree for pictures of {width}x{height}",
            f"{focal_length:g} and {fov:g}",
        )
    matrix = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    return matrix, FROM_OPENCV_AXES @ np.linalg.inv(T_world_camera), np.array(size)
