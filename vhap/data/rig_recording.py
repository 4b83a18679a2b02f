"""Finding the files of a recording by several cameras."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from vhap.data.pictures import list_pictures, natural_order, some_names
from vhap.util.commands import command
from vhap.util.errors import InputError

FLAT_NAME = re.compile(r"cam_(?P<camera>[^_]+)_(?P<timestep>\d+)")
ByCamera = dict[str, dict[str, Path]]
"""Camera -> name of the timestep -> file, both in order."""


@dataclass(frozen=True)
class RigRecording:
    """A recording of several cameras on disk.

    images: pictures to read. full_size_images: the same before downsampling, or images again where only those are
    there. alpha_maps: what is there of them. downsampled: the N of images_N, 1 for images.
    """

    path: Path
    images: ByCamera
    full_size_images: ByCamera
    alpha_maps: ByCamera
    downsampled: int
    is_nested: bool
    """Whether each camera has a folder of its own; else its name is part of its pictures' names."""

    @property
    def images_folder(self) -> Path:
        return _images_folder(self.path, self.downsampled)

    def landmark_file(self, source: str, camera: str) -> Path:
        return self.path / "landmark2d" / source / f"{camera}.npz"

    def of(self, cameras: list[str]) -> RigRecording:
        """The recording by these cameras only."""

        def kept(files: ByCamera) -> ByCamera:
            return {camera: files[camera] for camera in cameras if camera in files}

        images, full_size = kept(self.images), kept(self.full_size_images)
        return replace(self, images=images, full_size_images=full_size, alpha_maps=kept(self.alpha_maps))

    def timestep_ids(self, cameras: list[str]) -> list[str]:
        """The timesteps that all these cameras have; InputError where one lacks some."""
        names = sorted({name for camera in cameras for name in self.images[camera]}, key=natural_order)
        lacking = {camera: [name for name in names if name not in self.images[camera]] for camera in cameras}
        lacking = {camera: missing for camera, missing in lacking.items() if missing}
        if lacking:
            camera, missing = max(lacking.items(), key=lambda item: len(item[1]))
            raise InputError(
                f"expected {len(names)} pictures of each camera in {self.images_folder}, found fewer of "
                f"{some_names(list(lacking))} (camera {camera} lacks {len(missing)}: {some_names(missing)}); restore "
                "them, or leave these cameras out with --data.cameras"
            )
        return names


def open_flat_recording(folder: Path, n_downsample_rgb: int | None = None) -> RigRecording:
    """Pictures of all cameras in one folder, images[_N]/cam_<serial>_<number>.jpg, as NeRSemble has them.

    Raises InputError where pictures cannot be found or have other names.
    """
    return _open(folder, n_downsample_rgb, _list_flat, "cam_<serial>_%06d.jpg")


def open_nested_recording(folder: Path, n_downsample_rgb: int | None = None) -> RigRecording:
    """A folder of pictures for each camera, images[_N]/<camera>/<timestep>.jpg. InputError where there are none."""
    return _open(folder, n_downsample_rgb, _list_nested, "<camera>/%06d.jpg")


def open_rig_recording(folder: Path, n_downsample_rgb: int | None = None) -> RigRecording:
    """Pictures in either of the forms. InputError where there are none."""
    names = list_pictures(_images_folder(folder, n_downsample_rgb))
    is_flat = bool(names) and all(map(FLAT_NAME.fullmatch, names))
    return (open_flat_recording if is_flat else open_nested_recording)(folder, n_downsample_rgb)


def find_rig_recording(folder: Path) -> RigRecording | None:
    """A recording of several cameras in either of the forms; None where pictures are of one camera, or not there."""
    names = list_pictures(folder / "images")
    is_rig = all(map(FLAT_NAME.fullmatch, names)) if names else bool(_list_nested(folder / "images"))
    return open_rig_recording(folder) if is_rig else None


def flat_name(camera: str, timestep: str) -> str:
    """Name of a picture or alpha map without its suffix."""
    return f"cam_{camera}_{timestep}"


def _images_folder(folder: Path, n_downsample_rgb: int | None) -> Path:
    number = n_downsample_rgb or 1
    return folder / (f"images_{number}" if number > 1 else "images")


def _open(folder: Path, n_downsample_rgb: int | None, list_all: Callable[[Path], ByCamera], form: str) -> RigRecording:
    number = n_downsample_rgb or 1
    if number < 1:
        raise InputError(f"expected n_downsample_rgb of at least 1, found {number}; correct --data.n_downsample_rgb")
    images_folder = _images_folder(folder, number)
    images = list_all(images_folder)
    if not images:
        others = sorted(path.name for path in folder.glob("images*") if path.is_dir() and list_all(path))
        found = f"some in {some_names(others)} only" if others else "none"
        raise InputError(
            f"expected pictures {form} in {images_folder}, found {found}; "
            f"run `{command('preprocess-video')}` on the folder of videos, with --downsample_scales for images_N"
        )
    full_size = list_all(folder / "images") or images
    _require_same(full_size, images, images_folder)
    return RigRecording(folder, images, full_size, list_all(folder / "alpha_maps"), number, list_all is _list_nested)


def _require_same(full_size: ByCamera, images: ByCamera, images_folder: Path) -> None:
    pairs = [{(camera, name) for camera, files in found.items() for name in files} for found in (full_size, images)]
    if odd := sorted(pairs[0] ^ pairs[1]):
        raise InputError(
            f"expected the same pictures in images and {images_folder.name} of {images_folder.parent}, found "
            f"{len(odd)} in only one ({some_names([f'{name} of {camera}' for camera, name in odd])}); "
            "preprocess the videos again"
        )


def _list_flat(folder: Path) -> ByCamera:
    found: ByCamera = {}
    for stem, path in list_pictures(folder).items():
        match = FLAT_NAME.fullmatch(stem)
        if match is None:
            raise InputError(
                f"expected pictures named cam_<serial>_<number> in {folder}, found {path.name}; rename or remove it"
            )
        found.setdefault(match["camera"], {})[match["timestep"]] = path
    return found


def _list_nested(folder: Path) -> ByCamera:
    if not folder.is_dir():
        return {}
    folders = sorted((path for path in folder.iterdir() if path.is_dir()), key=lambda path: natural_order(path.name))
    found = {path.name: list_pictures(path) for path in folders if not path.name.startswith(".")}
    return {camera: files for camera, files in found.items() if files}
