"""Pictures of the empty scene: finding them, and bringing them to the size of a camera's pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from vhap.data.pictures import SUFFIXES, list_pictures, read_rgb, same_shape, shrink, some_names
from vhap.util.errors import InputError
from vhap.util.optional import import_or_explain


class CleanPlate:
    """The empty scene, read once. Raises InputError where the file is missing or damaged."""

    def __init__(self, background: Path) -> None:
        self.path = find_background(background)
        self._picture = read_rgb(self.path)
        self._sized = self._picture

    def at(self, size: tuple[int, int]) -> np.ndarray:
        """(height, width, 3) uint8 RGB. Raises InputError where the plate has another ratio of the sides."""
        if self._sized.shape[:2] != size:
            height, width = self._picture.shape[:2]
            require_plate_shape(self.path, (height, width), size)
            is_larger = height >= size[0]
            self._sized = shrink(self._picture, size) if is_larger else _enlarge(self._picture, size)
        return self._sized


def find_background(folder: Path) -> Path:
    """The one picture in a folder, or the file itself. Raises InputError where there is none, or several."""
    if folder.is_file():
        return folder
    pictures = list_pictures(folder)
    if len(pictures) != 1:
        found = f"{len(pictures)} ({some_names(list(pictures))})" if pictures else "none"
        raise InputError(
            f"expected one picture of the empty scene in {folder}, found {found}; put it there, name the "
            "folder or file "
            "with --background_folder, or choose another --matting_method"
        )
    return next(iter(pictures.values()))


def find_rig_backgrounds(folder: Path, cameras: Iterable[str]) -> dict[str, Path]:
    """Camera -> image_<camera>.jpg (or png) of the cameras that have one."""
    files = {camera: [folder / f"image_{camera}{suffix}" for suffix in SUFFIXES] for camera in cameras}
    return {
        camera: next(filter(Path.is_file, paths)) for camera, paths in files.items() if any(map(Path.is_file, paths))
    }


def require_rig_backgrounds(folder: Path, cameras: Sequence[str]) -> dict[str, Path]:
    """The plate of each camera. InputError where one is missing."""
    plates = find_rig_backgrounds(folder, cameras)
    if missing := [camera for camera in cameras if camera not in plates]:
        raise InputError(
            f"expected a picture of the empty scene of each camera, image_<camera>.jpg, in {folder}, found none of "
            f"{some_names(missing)} (image_{missing[0]}.jpg); put them there, name the folder with "
            "--background_folder, or choose another --matting_method"
        )
    return plates


def require_plate_shape(path: Path, plate: tuple[int, int], size: tuple[int, int]) -> None:
    """InputError where a plate's (height, width) has not the pictures' ratio of the sides."""
    if not same_shape(plate, size):
        raise InputError(
            f"expected a background of the pictures' shape ({size[1]}x{size[0]}) at {path}, found "
            f"{plate[1]}x{plate[0]}; take it with the same camera"
        )


def _enlarge(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    cv2 = import_or_explain("cv2")
    return cv2.resize(picture, size[::-1], interpolation=cv2.INTER_LINEAR)
