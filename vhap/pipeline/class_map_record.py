"""What class maps were made of, so that those of other pictures or ways are made again, and those of other tools are
kept.

Which maps are ours the hidden record of the folder above says, by content (`vhap.data.provenance`); a file that another
tool wrote over ours is not. FOLDER.json beside the maps says how they were made; it is written before them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from vhap.data.pictures import list_pictures, picture_size, some_names
from vhap.data.provenance import Origin, Provenance, content_digest
from vhap.util.errors import InputError
from vhap.util.files import file_hash, read_json, write_json
from vhap.util.log import get_logger


class _Record(TypedDict):
    """parsing: how they were made, as a parser's identity. pictures: name without suffix -> what of."""

    parsing: str
    pictures: dict[str, str]


@dataclass(frozen=True)
class MapWork:
    """missing: what each map that is to be written is made of, by name without suffix; others are left alone."""

    folder: Path
    provenance: Provenance
    missing: dict[str, Origin]


def recorded_parsing(folder: Path) -> str | None:
    """How the maps in a folder were made; None where nothing says so. InputError for a damaged record."""
    path = _path(folder)
    return read_json(path, _Record)["parsing"] if path.is_file() else None


def stale_maps(pictures: Mapping[str, Path], alphas: Mapping[str, Path], folder: Path, identity: str) -> list[str]:
    """Names whose class map is not there, or is ours of another picture or matte, or made in another way than identity
    says. InputError where maps lie there and nothing says how they were made, or a picture is missing."""
    return list(_compared(pictures, alphas, folder, identity)[0].missing)


def begin_maps(pictures: Mapping[str, Path], alphas: Mapping[str, Path], folder: Path, identity: str) -> MapWork:
    """As `stale_maps`, whose maps are removed, and recorded as what they will be."""
    work, sources = _compared(pictures, alphas, folder, identity)
    for name in work.missing:
        (work.folder / f"{name}.png").unlink(missing_ok=True)
    new: _Record = {"parsing": identity, "pictures": sources}
    if not _path(folder).is_file() or new != read_json(_path(folder), _Record):
        write_json(_path(folder), new)
    return work


def remember_maps(work: MapWork, made: Path) -> None:
    """Records the maps in the folder `made`, which are about to be moved to their places."""
    for name, path in list_pictures(made).items():
        if name in work.missing:
            work.provenance.remember(work.folder / path.name, content_digest(path), work.missing[name])


def report_foreign(pictures: Mapping[str, Path], folder: Path) -> None:
    """A line where maps of these pictures are not as we wrote them."""
    provenance, folder = _opened(folder)
    there = _maps_in(folder, pictures)
    ours = provenance.origins(there)
    if foreign := [name for name in there if name not in ours]:
        get_logger().warning(
            "%d class maps in %s are of another tool and kept (%s); remove them to have them made",
            len(foreign), folder, some_names(foreign),
        )  # fmt: skip


def _compared(
    pictures: Mapping[str, Path], alphas: Mapping[str, Path], folder: Path, identity: str
) -> tuple[MapWork, dict[str, str]]:
    """What is to be made, and what all maps that are ours are made of then."""
    sources = {name: _source(path, alphas.get(name)) for name, path in pictures.items()}
    wanted = {name: Origin(source, {"parsing": identity}) for name, source in sources.items()}
    record = _path(folder)
    provenance, folder = _opened(folder)
    there = _maps_in(folder, pictures)
    if there and not record.is_file():
        raise InputError(
            f"expected {record} beside class maps, found none, and {len(there)} maps of another tool in {folder}; move "
            "them away, or name another folder"
        )
    ours = provenance.origins(there)
    foreign = {name for name in there if name not in ours and _is_readable(there[name])}
    missing = {name: wanted[name] for name in pictures if name not in foreign and ours.get(name) != wanted[name]}
    return MapWork(folder, provenance, missing), {name: sources[name] for name in sources if name not in foreign}


def _opened(folder: Path) -> tuple[Provenance, Path]:
    """The record, and the folder: one name for a map, by whatever links it is reached."""
    parent = folder.parent.resolve()
    return Provenance(parent), parent / folder.name


def _maps_in(folder: Path, pictures: Mapping[str, Path]) -> dict[str, Path]:
    found = {name: folder / f"{name}.png" for name in pictures}
    return {name: path for name, path in found.items() if path.is_file()}


def _is_readable(path: Path) -> bool:
    """A damaged file is nobody's."""
    try:
        picture_size(path)
    except InputError:
        return False
    return True


def _path(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.json")


def _source(picture: Path, alpha: Path | None) -> str:
    if not picture.is_file():
        raise InputError(f"expected a picture at {picture}, found none; restore it")
    return file_hash(picture) if alpha is None else f"{file_hash(picture)} {file_hash(alpha)}"
