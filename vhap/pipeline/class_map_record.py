"""What class maps were made of: FOLDER.json beside their folder. It is written before the maps, so that what lies there
after a kill is what it says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

from vhap.util.errors import InputError
from vhap.util.files import file_hash, read_json, write_json


class _Record(TypedDict):
    """parsing: how they were made, as a parser's identity. pictures: name without suffix -> what of."""

    parsing: str
    pictures: dict[str, str]


def recorded_parsing(folder: Path) -> str | None:
    """How the maps in a folder were made; None where nothing says so. InputError for a damaged record."""
    path = _path(folder)
    return read_json(path, _Record)["parsing"] if path.is_file() else None


def stale_maps(pictures: Mapping[str, Path], alphas: Mapping[str, Path], folder: Path, identity: str) -> list[str]:
    """Names whose class map is not there, or of another picture or matte, or made in another way than identity says.
    InputError where maps lie there that are not ours, or a picture is missing."""
    return _compared(pictures, alphas, folder, identity)[0]


def begin_maps(pictures: Mapping[str, Path], alphas: Mapping[str, Path], folder: Path, identity: str) -> list[str]:
    """As `stale_maps`, whose maps are removed, and recorded as what they will be."""
    stale, sources = _compared(pictures, alphas, folder, identity)
    for name in stale:
        (folder / f"{name}.png").unlink(missing_ok=True)
    new: _Record = {"parsing": identity, "pictures": sources}
    if not _path(folder).is_file() or new != read_json(_path(folder), _Record):
        write_json(_path(folder), new)
    return stale


def _compared(
    pictures: Mapping[str, Path], alphas: Mapping[str, Path], folder: Path, identity: str
) -> tuple[list[str], dict[str, str]]:
    """The stale ones, and what every map is to be made of."""
    sources = {name: _source(path, alphas.get(name)) for name, path in pictures.items()}
    there = [name for name in pictures if (folder / f"{name}.png").is_file()]
    if not _path(folder).is_file():
        if there:
            raise InputError(
                f"expected {_path(folder)} beside class maps, found none, and {len(there)} maps of another tool in "
                f"{folder}; move them away, or name another folder"
            )
        return list(pictures), sources
    record = read_json(_path(folder), _Record)
    of = record["pictures"] if record["parsing"] == identity else {}
    return [name for name in pictures if name not in there or of.get(name) != sources[name]], sources


def _path(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.json")


def _source(picture: Path, alpha: Path | None) -> str:
    if not picture.is_file():
        raise InputError(f"expected a picture at {picture}, found none; restore it")
    return file_hash(picture) if alpha is None else f"{file_hash(picture)} {file_hash(alpha)}"
