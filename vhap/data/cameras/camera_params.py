"""Cameras of a NeRSemble `camera_params.json`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vhap.data.cameras.checks import Source, check_intrinsics, check_pose, check_size
from vhap.data.cameras.rig import DISTORTION, FROM_OPENCV_AXES, RigCameras
from vhap.util.errors import InputError
from vhap.util.files import read_json

DEFAULT_SIZE = (3208, 2200)


def read_camera_params(path: Path, default_size: tuple[int, int] = DEFAULT_SIZE) -> RigCameras:
    """The cameras in the order of `world_2_cam`: {serial: 4x4, OpenCV axes, metres}.

    `intrinsics` is one 3x3 for all or {serial: 3x3}, in pixels of pictures of `height` x `width`, default_size
    (height, width) where the file does not say. InputError on what is missing, not finite or not rigid.
    """
    content = read_json(path)
    poses = content.get("world_2_cam") if isinstance(content, dict) else None
    if not isinstance(poses, dict) or not poses:
        raise InputError(
            f"expected world_2_cam with a 4x4 matrix for each camera in {path}, found none; restore the file"
        )
    if "intrinsics" not in content:
        raise InputError(f"expected intrinsics in {path}, found no such key; restore the file")
    size = check_size(
        content.get("height", default_size[0]), content.get("width", default_size[1]), Source("all cameras", path)
    )
    sources = {name: Source(f"camera {name}", path) for name in poses}
    return RigCameras(
        tuple(poses),
        np.stack([_intrinsics(content["intrinsics"], name, source) for name, source in sources.items()]),
        np.stack(
            [FROM_OPENCV_AXES @ check_pose(poses[name], "world_2_cam", source) for name, source in sources.items()]
        ),
        np.tile(size, (len(poses), 1)),
        np.zeros((len(poses), len(DISTORTION))),
    )


def _intrinsics(value: Any, name: str, source: Source) -> np.ndarray:
    if isinstance(value, dict):
        if name not in value:
            raise source.error("intrinsics", f"them for {len(value)} other cameras only")
        value = value[name]
    return check_intrinsics(value, "intrinsics", source)
