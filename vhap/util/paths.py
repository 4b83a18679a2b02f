"""Where things lie: the project's asset folder, the user's caches. Never relative to the working directory.

And where names that come out of files may point: below a folder.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath, PureWindowsPath

from vhap.util.errors import InputError, shown

ASSET_FOLDER = Path(__file__).resolve().parents[2] / "asset"


def cache_folder() -> Path:
    """`VHAP_CACHE`, else `$XDG_CACHE_HOME/vhap`, else `~/.cache/vhap`. Not created here."""
    if override := os.environ.get("VHAP_CACHE"):
        return Path(override).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "vhap"


def weights_folder() -> Path:
    """Where neural weights are looked for when neither an option nor an environment variable names them."""
    return cache_folder() / "weights"


def inside(folder: Path, name: object, where: object) -> Path:
    """The path of `name`, which came out of a file, below `folder`.

    where: the file that says so, for the message. Raises InputError where the name is no text, is empty, is absolute,
    steps up by `..`, or has control characters, by the rules of POSIX and of Windows: a file may name its neighbours,
    and nothing else on the machine.
    """
    if isinstance(name, str) and name and not any(character < " " or character == "\x7f" for character in name):
        posix, windows = PurePosixPath(name), PureWindowsPath(name)
        is_absolute = posix.is_absolute() or windows.drive or windows.root
        if not is_absolute and ".." not in (*posix.parts, *windows.parts):
            return folder / name
    raise InputError(
        f"expected names of files below {folder} in {where}, found {shown(name)}; make that file anew, or correct the "
        "name (relative, without ..)"
    )
