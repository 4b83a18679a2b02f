"""transforms*.json: what stands at the top of them, and reading one back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypedDict

from msgspec import Meta

from vhap.util.commands import command
from vhap.util.errors import InputError
from vhap.util.files import read_json
from vhap.util.paths import inside

SHARED_INTRINSICS = ("cx", "cy", "fl_x", "fl_y", "h", "w", "camera_angle_x", "camera_angle_y")
PATH_KEYS = ("file_path", "fg_mask_path", "flame_param_path", "mesh_path", "exp_path")

Index = Annotated[int, Meta(ge=0, lt=1 << 31)]
Pixels = Annotated[float, Meta(gt=-1e9, lt=1e9)]
PositivePixels = Annotated[float, Meta(gt=0, lt=1e9)]
Radians = Annotated[float, Meta(gt=0, lt=3.15)]
Row = Annotated[list[float], Meta(min_length=4, max_length=4)]


class Camera(TypedDict):
    """What an export always writes of a frame."""

    timestep_index: Index
    camera_index: Index
    camera_id: str | int
    cx: Pixels
    cy: Pixels
    fl_x: PositivePixels
    fl_y: PositivePixels
    h: PositivePixels
    w: PositivePixels
    camera_angle_x: Radians
    camera_angle_y: Radians
    transform_matrix: Annotated[list[Row], Meta(min_length=4, max_length=4)]
    file_path: str


class Frame(Camera, total=False):
    """And the other files that it may name."""

    fg_mask_path: str
    flame_param_path: str
    mesh_path: str
    exp_path: str


class Head(TypedDict, total=False):
    head_model: str
    scale: Annotated[float, Meta(gt=0, lt=1e9)]


class Transforms(Head):
    frames: Annotated[list[Frame], Meta(min_length=1)]


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
    if not path.is_file():
        raise InputError(
            f"expected {path.name} in {path.parent}, found none; run `{command('export-as-nerf-dataset')}` (again, if "
            "it stopped)"
        )
    content = read_json(path, Transforms)
    for frame in content["frames"]:
        for key in PATH_KEYS:
            if key in frame:
                inside(path.parent, frame[key], path)
    return content
