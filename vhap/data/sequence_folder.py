"""Finding a recording's folder and the pictures in it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from vhap.data.pictures import list_pictures, some_names
from vhap.data.provenance import require_current
from vhap.util.commands import command
from vhap.util.errors import InputError


@dataclass(frozen=True)
class SequenceFolder:
    """A recording of one camera on disk.

    images: name -> picture to read, in frame order. full_size_images: the same recording before downsampling,
    or images again where only those are there. downsampled: the N of images_N, 1 for images.
    """

    path: Path
    images: dict[str, Path]
    full_size_images: dict[str, Path]
    downsampled: int

    @property
    def timestep_ids(self) -> list[str]:
        return list(self.images)

    def landmark_file(self, source: str) -> Path | None:
        """`landmark2d/<source>.npz`, else `landmark2d/<source>/0.npz`, else None."""
        folder = self.path / "landmark2d"
        candidates = (folder / f"{source}.npz", folder / source / "0.npz")
        return next((path for path in candidates if path.is_file()), None)

    def require_current_copies(self, timesteps: list[str]) -> None:
        """InputError where smaller copies of ours are of other pictures than images/ holds now."""
        if self.images is not self.full_size_images:
            copies, pictures = (
                {name: files[name] for name in timesteps} for files in (self.images, self.full_size_images)
            )
            require_current(self.path, copies, pictures, "smaller copies", copy_remedy(self.downsampled))


def open_sequence(root_folder: Path, sequence: str, n_downsample_rgb: int | None = None) -> SequenceFolder:
    """Raises InputError where the folder, or the pictures in it, cannot be found."""
    folder = find_folder(root_folder, sequence)
    number = n_downsample_rgb or 1
    if number < 1:
        raise InputError(f"expected n_downsample_rgb of at least 1, found {number}; correct --data.n_downsample_rgb")
    images_folder = folder / (f"images_{number}" if number > 1 else "images")
    images = list_pictures(images_folder)
    if not images:
        raise InputError(
            f"expected pictures in {images_folder}, found {_what_is_there(folder)}; "
            f"run `{command('preprocess-video')}` on the video, with --downsample_scales for images_N"
        )
    full_size = list_pictures(folder / "images") or images
    if full_size.keys() != images.keys():
        odd = sorted(full_size.keys() ^ images.keys())
        raise InputError(
            f"expected the same pictures in images and {images_folder.name} of {folder}, found {len(odd)} in "
            "only one "
            f"({some_names(odd)}); preprocess the video again"
        )
    return SequenceFolder(folder, images, full_size, number)


def copy_remedy(downsampled: int) -> str:
    return f"run `{command('preprocess-video')}` again with --downsample_scales {downsampled} to make them again"


def find_folder(root_folder: Path, sequence: str) -> Path:
    """An exact folder name wins; else `sequence` (a trailing `*` is allowed) is a prefix of one folder."""
    root_folder = Path(root_folder)
    if not root_folder.is_dir():
        raise InputError(
            f"expected the sequences in the folder {root_folder}, found no folder; correct --data.root_folder"
        )
    name = sequence.rstrip("/").removesuffix("*")
    exact = root_folder / name
    if name and exact.is_dir():
        return exact
    parent, prefix = exact.parent, exact.name
    if not name or not parent.is_dir():
        raise InputError(f"expected a folder {sequence!r} in {root_folder}, found none; correct --data.sequence")
    folders = sorted(child.name for child in parent.iterdir() if child.is_dir() and not child.name.startswith("."))
    matching = [folder for folder in folders if folder.startswith(prefix)]
    if len(matching) == 1:
        return parent / matching[0]
    found = some_names(matching or folders) or "no folders"
    raise InputError(
        f"expected one folder in {parent} whose name begins with {prefix!r}, found {len(matching)} "
        f"({'they are' if matching else 'there are'}: {found}); correct --data.sequence"
    )


def _what_is_there(folder: Path) -> str:
    names = sorted(
        child.name for child in folder.iterdir() if child.is_dir() and re.match(r"images(_\d+)?$", child.name)
    )
    filled = [name for name in names if list_pictures(folder / name)]
    return f"pictures in {', '.join(filled)} only" if filled else "none"
