"""Where everything of a subject lies: SOURCE/NAME with image/, masks, albedo and the JSON files beside them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vhap.data.pictures import list_pictures
from vhap.util.commands import command
from vhap.util.errors import InputError

TRAINERS_READ = (".png", ".jpg", ".bmp")
"""Suffixes of pictures; others trainers do not find."""


@dataclass(frozen=True)
class SubjectFolder:
    """path: the subject's folder. Files are named after the pictures, which are numbered from 00000."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def image_folder(self) -> Path:
        """image/, or images/ where only that is there (INSTA's subjects)."""
        other = self.path / "images"
        return other if other.is_dir() and not (self.path / "image").is_dir() else self.path / "image"

    def image(self, index: int) -> Path:
        """Where a picture of a video is written."""
        return self.path / "image" / f"{index:05d}.png"

    @property
    def video(self) -> Path:
        return self.path / f"{self.name}.mp4"

    @property
    def mask_folder(self) -> Path:
        """Alpha maps, grey."""
        return self.path / "mask"

    @property
    def class_folder(self) -> Path:
        """Class maps, a class number a pixel."""
        return self.path / "seg"

    @property
    def albedo_folder(self) -> Path:
        return self.path / "albedo"

    @property
    def crop(self) -> Path:
        return self.path / "crop.json"

    @property
    def keypoints(self) -> Path:
        return self.path / "keypoint.json"

    @property
    def irises(self) -> Path:
        return self.path / "iris.json"

    @property
    def codes(self) -> Path:
        return self.path / "code.json"

    @property
    def tracked_params(self) -> Path:
        return self.path / "tracked_params.json"

    def flame_params(self, save_name: str = "flame_params") -> Path:
        return self.path / f"{save_name}.json"

    def pictures(self) -> dict[str, Path]:
        """File name -> picture, in natural order. InputError where there are none."""
        folder = self.image_folder
        pictures = {path.name: path for path in list_pictures(folder).values()}
        if not pictures:
            raise InputError(
                f"expected pictures in {folder}, found none; make them by `{command('crop-and-matting')}`, or "
                "name the subject's folder"
            )
        return pictures
