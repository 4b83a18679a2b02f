"""Where things lie: folders of assets, the user's caches. And where names that come out of files may point."""

from __future__ import annotations

import os
import sys
from pathlib import Path, PurePosixPath, PureWindowsPath

from vhap.util.errors import InputError, shown

PACKAGE = Path(__file__).resolve().parents[1]
ASSETS_VARIABLE = "VHAP_ASSETS"


def asset_folders() -> list[Path]:
    """Where assets are searched, the first one that has them counts. Not all of them need exist.

    The folder that `VHAP_ASSETS` names; `asset` in the working folder; where the package runs from its checkout that
    one's `asset`; the user's data folder. Raises InputError where the variable names no folder.
    """
    folders = [Path("asset").absolute(), data_folder()]
    # The page lies in the checkout's folder alone: nothing is searched beside an installed package.
    if (PACKAGE.parent / "asset" / "README.md").is_file():
        folders.insert(1, PACKAGE.parent / "asset")
    if named := os.environ.get(ASSETS_VARIABLE):
        folder = Path(named).expanduser().absolute()
        if not folder.is_dir():
            raise InputError(f"expected a folder at {ASSETS_VARIABLE}={named}, found none; correct the variable")
        folders.insert(0, folder)
    return list(dict.fromkeys(folders))


def data_folder() -> Path:
    """What the user keeps for all projects: `$XDG_DATA_HOME/vhap`, else `~/.local/share/vhap`; on Windows
    `%LOCALAPPDATA%\\vhap`, on macOS `~/Library/Application Support/vhap`. Not created here."""
    variable, default = "XDG_DATA_HOME", "~/.local/share"
    if sys.platform == "win32":
        variable, default = "LOCALAPPDATA", "~/AppData/Local"
    elif sys.platform == "darwin":
        default = "~/Library/Application Support"
    return Path(os.environ.get(variable) or default).expanduser() / "vhap"


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
