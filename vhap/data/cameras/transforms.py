"""Cameras of a `transforms.json` as NeRF, Blender, instant-ngp, nerfstudio and our export write it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from vhap.data.cameras.checks import Source, check_intrinsics, check_numbers, check_pose, check_size
from vhap.data.cameras.rig import DISTORTION, RigCameras
from vhap.data.cameras.shots import Shot, camera_names, collapse_shots
from vhap.data.pictures import SUFFIXES, picture_size
from vhap.util.errors import InputError
from vhap.util.files import read_json
from vhap.util.paths import inside

FOCAL_KEYS = ("fl_x", "fl_y", "camera_angle_x", "camera_angle_y")
PINHOLES = ("OPENCV", "PINHOLE", "SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL")
REMEDY = "give each camera its own camera_id, since only rigs that stand still can be read"


def read_transforms(path: Path) -> RigCameras:
    """One camera of each `camera_id`, or `camera_index`, or picture folder or name (`camera_names`).

    Intrinsics stand at the top or in each frame, which wins; `transform_matrix` is camera-to-world in OpenGL axes.
    A missing `w` or `h` is measured from the picture. InputError on what is missing, not finite, not rigid, on
    fisheye lenses, and on frames of one camera that do not agree.
    """
    content = read_json(path)
    frames = content.get("frames") if isinstance(content, dict) else None
    if not isinstance(frames, list) or not frames or not all(isinstance(frame, dict) for frame in frames):
        raise InputError(f"expected an object with a list `frames` of objects in {path}, found none; remake the file")
    shots: dict[str, list[Shot]] = {}
    for number, (name, frame) in enumerate(zip(_names(frames, path), frames)):
        shots.setdefault(name, []).append(_shot(content, frame, Source(f"frame {number}", path)))
    return collapse_shots(shots, path, REMEDY)


def _names(frames: list[dict[str, Any]], path: Path) -> list[str]:
    for key in ("camera_id", "camera_index"):
        if all(key in frame for frame in frames):
            return [str(frame[key]) for frame in frames]
    for number, frame in enumerate(frames):
        if not isinstance(frame.get("file_path"), str):
            raise Source(f"frame {number}", path).error("camera_id, camera_index or file_path", "none")
    return camera_names([frame["file_path"] for frame in frames])


def _shot(content: dict[str, Any], frame: dict[str, Any], source: Source) -> Shot:
    if "transform_matrix" not in frame:
        raise source.error("a transform_matrix", "none")
    both = {**content, **frame}
    model = str(both.get("camera_model", "OPENCV"))
    if model not in PINHOLES or both.get("is_fisheye"):
        raise source.error(
            f"a camera_model of {', '.join(PINHOLES)}", f"{model}{' fisheye' * bool(both.get('is_fisheye'))}"
        )
    pose = check_pose(frame["transform_matrix"], "transform_matrix", source)
    size = _size(both, source)
    # A frame's own lens must not be mixed with the file's.
    lens = frame if any(key in frame for key in FOCAL_KEYS) else content
    fx, fy = _focal(lens, size, source)
    cx, cy = (
        check_numbers(both.get(key, side / 2), (), key, source) for key, side in (("cx", size[1]), ("cy", size[0]))
    )
    matrix = check_intrinsics([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], "the camera matrix", source)
    if check_numbers(both.get("k4", 0), (), "k4", source) != 0:
        raise source.error("no k4", f"{both['k4']}")
    bends = [check_numbers(both.get(key, 0), (), key, source) for key in DISTORTION]
    return Shot(matrix, np.linalg.inv(pose), size, np.array(bends))


def _focal(lens: dict[str, Any], size: tuple[int, int], source: Source) -> tuple[float, float]:
    """fx, fy in pixels, from focal lengths or whole angles of view (radians). One of them alone serves for both."""
    found: dict[str, float] = {}
    for axis, side in (("x", size[1]), ("y", size[0])):
        if f"fl_{axis}" in lens:
            found[axis] = float(check_numbers(lens[f"fl_{axis}"], (), f"fl_{axis}", source))
        elif f"camera_angle_{axis}" in lens:
            angle = float(check_numbers(lens[f"camera_angle_{axis}"], (), f"camera_angle_{axis}", source))
            if not 0 < angle < math.pi:
                raise source.error(f"a camera_angle_{axis} between 0 and pi", f"{angle:g}")
            found[axis] = side / 2 / math.tan(angle / 2)
    if not found:
        raise source.error("fl_x or camera_angle_x", "neither")
    return found.get("x", found.get("y", 0.0)), found.get("y", found.get("x", 0.0))


def _size(both: dict[str, Any], source: Source) -> tuple[int, int]:
    if "w" in both and "h" in both:
        return check_size(both["h"], both["w"], source)
    if "file_path" in both:
        file = inside(source.path.parent, both["file_path"], source.path)
        # NeRF's files name pictures without a suffix.
        for candidate in (file, *(file.with_name(file.name + suffix) for suffix in SUFFIXES)):
            if candidate.is_file():
                return picture_size(candidate)
    raise source.error("w and h, or the picture at file_path to measure", "neither")
