"""A static avatar as a capture: one moment, a camera for each picture.

ROOT[/SEQUENCE]/camera_info.json, images/NAME_original.png, images/NAME_matting.png,
landmark2d/SOURCE/NAME_original.npz. Cameras are told by their pictures' names.
"""

from __future__ import annotations

from pathlib import Path

from vhap.config.data import SingleFrameDataConfig
from vhap.data.cameras.camera_info import read_camera_info
from vhap.data.frame_cache import DEFAULT_BYTES
from vhap.data.pictures import list_pictures, some_names
from vhap.data.rig_capture import RigCapture
from vhap.data.rig_recording import ByCamera, RigRecording
from vhap.data.sequence_folder import find_folder
from vhap.util.errors import InputError

CAMERA_INFO = "camera_info.json"
PICTURE, MATTING = "_original", "_matting"
TIMESTEP = "000000"


class SingleFrameCapture(RigCapture):
    """As RigCapture; lengths are in the avatar's own unit."""

    def __init__(self, config: SingleFrameDataConfig, cache_bytes: int = DEFAULT_BYTES) -> None:
        recording = open_single_frame_recording(config)
        pictures = {name: files[TIMESTEP] for name, files in recording.full_size_images.items()}
        rig = read_camera_info(recording.path / CAMERA_INFO, pictures)
        super().__init__(config, recording, rig, cache_bytes=cache_bytes)


def open_single_frame_recording(config: SingleFrameDataConfig) -> RigRecording:
    """The avatar's files, in the sequence's folder or in the root. InputError where they cannot be found, or where only
    some pictures have a matting."""
    folder = config.root_folder
    if not (folder / CAMERA_INFO).is_file() or (folder / config.sequence / CAMERA_INFO).is_file():
        folder = find_folder(config.root_folder, config.sequence)
    full_size, alpha_maps = _list(folder / "images")
    images, downsampled = full_size, config.n_downsample_rgb or 1
    if downsampled != 1:
        images = _list(folder / f"images_{downsampled}")[0]
    if not images:
        name = f"images_{downsampled}" if downsampled != 1 else "images"
        raise InputError(
            f"expected pictures NAME{PICTURE}.png in {folder / name}, found none; check --data.root_folder, "
            "--data.sequence and --data.n_downsample_rgb"
        )
    lacking = [name for name in images if name not in alpha_maps]
    if lacking and alpha_maps:
        raise InputError(
            f"expected a picture NAME{MATTING}.png beside each of {len(images)} in {folder / 'images'}, found none for "
            f"{some_names(lacking)}; add them, or remove all"
        )
    return RigRecording(folder, images, full_size or images, alpha_maps, downsampled, False)


def _list(folder: Path) -> tuple[ByCamera, ByCamera]:
    """Pictures, and mattings by the names of their pictures."""
    found = list_pictures(folder)
    pictures = {name: path for name, path in found.items() if not name.endswith(MATTING)}
    mattings = {}
    for name in pictures:
        matting = found.get(name.removesuffix(PICTURE) + MATTING)
        if matting is not None:
            mattings[name] = {TIMESTEP: matting}
    return {name: {TIMESTEP: path} for name, path in pictures.items()}, mattings
