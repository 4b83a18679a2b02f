"""Which of the camera files that we read lies in a folder, and reading it."""

from __future__ import annotations

from pathlib import Path

from vhap.data.cameras.camera_params import read_camera_params
from vhap.data.cameras.colmap import find_colmap, read_colmap
from vhap.data.cameras.rig import RigCameras
from vhap.data.cameras.transforms import read_transforms
from vhap.util.errors import InputError
from vhap.util.files import read_json

PARAMS, TRANSFORMS = "camera_params.json", "transforms.json"


def read_rig_cameras(path: Path) -> RigCameras:
    """The cameras in a folder that has a COLMAP model, `transforms.json` or `camera_params.json`, or in such a file.

    InputError where there is none or more than one.
    """
    if path.is_file():
        return _read_file(path)
    found = [path / name for name in (PARAMS, TRANSFORMS) if (path / name).is_file()]
    model = find_colmap(path)
    if model is not None:
        found.append(model)
    if not found:
        raise InputError(
            f"expected {PARAMS}, {TRANSFORMS} or a COLMAP model (images.bin or images.txt, here or in sparse/0) in "
            f"{path}, found none; put one there or give its path"
        )
    if len(found) > 1:
        raise InputError(
            f"expected one description of the cameras in {path}, found "
            f"{' and '.join(str(place.relative_to(path)) for place in found)}; give the path of the one that counts"
        )
    return read_colmap(found[0]) if model is not None else _read_file(found[0])


def has_rig_cameras(folder: Path) -> bool:
    return any((folder / name).is_file() for name in (PARAMS, TRANSFORMS)) or find_colmap(folder) is not None


def _read_file(path: Path) -> RigCameras:
    """A file of any name, told by its content; a COLMAP model by one of its files."""
    if path.suffix in (".bin", ".txt"):
        return read_colmap(path.parent)
    content = read_json(path)
    if isinstance(content, dict) and "world_2_cam" in content:
        return read_camera_params(path)
    if isinstance(content, dict) and "frames" in content:
        return read_transforms(path)
    raise InputError(
        f"expected `world_2_cam` ({PARAMS}) or `frames` ({TRANSFORMS}) in {path}, found neither; check the path"
    )
