"""The folder of a dataset: whether it may be written, what in it can stay, and when it is complete."""

from __future__ import annotations

import re
from pathlib import Path

from vhap.util.errors import InputError
from vhap.util.files import make_folder, read_json, write_json

MARKER = "export.json"
UNFINISHED = r"\.tmp_\w+\.\w+"
OWN_FILES = {
    "images": r"\d{5,}_\d{2,}\.png",
    "fg_masks": r"\d{5,}_\d{2,}\.png",
    "flame_param": r"\d{5,}\.npz",
    "meshes": r"\d{5,}\.obj",
    "flame/exp": r"\d{5,}\.txt",
    ".": r"transforms\w*\.json|canonical\.obj|canonical_flame_param\.npz",
}


def open_target(target: Path, fingerprint: str) -> None:
    """Makes the folder ready: new, or an export. What an export of another fingerprint wrote is removed.

    Raises InputError where something else stands there, so that no capture is ever written over.
    """
    make_folder(target)
    marker = target / MARKER
    if not marker.exists():
        if any(not child.name.startswith(".") for child in target.iterdir()):
            raise InputError(
                f"expected a new folder or an earlier export at {target}, found a folder with other files; choose "
                "another --tgt_folder or remove it"
            )
    elif _field(marker, "fingerprint") != fingerprint:
        remove_own_files(target, OWN_FILES)
    else:
        remove_own_files(target, dict.fromkeys(OWN_FILES, UNFINISHED))
    write_json(marker, {"fingerprint": fingerprint, "complete": False})


def finish_target(target: Path, fingerprint: str) -> None:
    write_json(target / MARKER, {"fingerprint": fingerprint, "complete": True})


def remove_own_files(target: Path, patterns: dict[str, str]) -> None:
    """Removes files of these names by folder, and what a killed export left unfinished.

    The last folder comes first: without its transforms files, no half-removed dataset looks whole.
    """
    for folder, pattern in reversed(patterns.items()):
        place = target / folder
        for path in sorted(place.iterdir()) if place.is_dir() else ():
            if path.is_file() and re.fullmatch(f"{pattern}|{UNFINISHED}", path.name):
                path.unlink()


def _field(marker: Path, name: str) -> object:
    content = read_json(marker)
    return content.get(name) if isinstance(content, dict) else None
