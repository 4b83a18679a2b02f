"""Which kind of recording a folder holds."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from vhap.data.pictures import list_pictures
from vhap.data.rig_recording import find_rig_recording
from vhap.data.single_frame import CAMERA_INFO
from vhap.util.errors import InputError


def dataset_version(root: Path, subject: str) -> Literal["nersemble", "nersemble_v2"] | None:
    """Whether a folder is the NeRSemble dataset, version 1 or 2, with a participant; None where it is not."""
    number = subject.zfill(3)
    if not subject.isdigit():
        return None
    if (root / number / "sequences").is_dir():
        return "nersemble_v2"
    return "nersemble" if (root / number).is_dir() and (root / "camera_params" / number).is_dir() else None


def recording_kind(folder: Path) -> Literal["video", "multiview", "single_frame"]:
    """By what lies there: camera_info.json is a static avatar's; pictures of several cameras are a rig's. InputError
    where the folder has no pictures."""
    if (folder / CAMERA_INFO).is_file():
        return "single_frame"
    if find_rig_recording(folder) is not None:
        return "multiview"
    if list_pictures(folder / "images") or any(folder.glob("images_*")):
        return "video"
    raise InputError(
        f"expected a sequence's folder with pictures in {folder / 'images'}, found none; preprocess the video first"
    )
