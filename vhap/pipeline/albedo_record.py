"""What a subject's albedo pictures were made of, so that those of other pictures or ways are made again, and those of
other tools are kept.

What is ours the subject's hidden record says, by content (`vhap.data.provenance`); a file that another tool wrote over
ours is not. FOLDER.json beside the pictures says the same to people, and how they were asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypedDict

import numpy as np

from vhap.config.relightable import AlbedoConfig
from vhap.data.pictures import some_names, write_picture
from vhap.data.provenance import Origin, Provenance
from vhap.relightable.subject_folder import SubjectFolder
from vhap.util.files import read_json, write_json
from vhap.util.log import get_logger

MADE_BY = "made_by"


class _Record(TypedDict):
    """made_by: method and fit, or network. pictures: digest of what each albedo picture was made of, by name."""

    made_by: str
    pictures: dict[str, str]


@dataclass(frozen=True)
class AlbedoWork:
    """missing: what each picture that is to be written is made of, by name. outdated: files of ours that are to go.
    record: what is ours then, None where the file says so already; it lies beside the folder."""

    provenance: Provenance
    folder: Path
    missing: dict[str, Origin]
    outdated: list[Path]
    record: _Record | None
    file: Path

    def begin(self) -> None:
        """Removes and records, before the pictures are written."""
        for path in self.outdated:
            path.unlink(missing_ok=True)
        if self.record is not None:
            write_json(self.file, self.record)

    def write(self, name: str, picture: np.ndarray) -> None:
        """Of `missing`, under the picture's name, as trainers look for it."""
        self.provenance.write(self.folder / name, self.missing[name], partial(write_picture, picture=picture))


def albedo_work(config: AlbedoConfig, names: list[str], made_by: str, subject: SubjectFolder) -> AlbedoWork:
    """names: of the pictures that are wanted. Changes nothing."""
    # One name in the record for a file, by whatever links it is reached.
    folder, provenance = config.output_dir.resolve(), Provenance(subject.path.resolve())
    images = {name: subject.image_folder / name for name in names}
    digests = provenance.digests(images.values())
    wanted = {name: Origin(digests[path], {MADE_BY: made_by}) for name, path in images.items()}
    there = {path.name: path for path in folder.iterdir() if path.is_file()} if folder.is_dir() else {}
    ours = provenance.origins(there)
    current = {name for name, origin in ours.items() if wanted.get(name, _made_by(origin, made_by)) == origin}
    missing = {name: wanted[name] for name in names if name not in there or name in ours.keys() - current}
    if foreign := [name for name in names if name in there and name not in ours]:
        get_logger().warning(
            "%d pictures in %s are of another tool and kept (%s); remove them to have them made",
            len(foreign), config.output_dir, some_names(foreign),
        )  # fmt: skip
    sources = {name: ours[name].source for name in current} | {name: origin.source for name, origin in missing.items()}
    record: _Record = {"made_by": made_by, "pictures": dict(sorted(sources.items()))}
    file = _record_of(config)
    is_written = file.is_file() and read_json(file, _Record) == record
    outdated = [there[name] for name in sorted(ours.keys() - current)]
    return AlbedoWork(provenance, folder, missing, outdated, None if is_written else record, file)


def _made_by(origin: Origin, made_by: str) -> Origin:
    """What a picture that is not wanted now has to be made of: of anything, in this way."""
    return Origin(origin.source, {MADE_BY: made_by})


def is_made_otherwise(config: AlbedoConfig) -> bool:
    """Whether the folder's pictures were asked for by another method than that of config, or by a network."""
    file = _record_of(config)
    return file.is_file() and not read_json(file, _Record)["made_by"].startswith(f"{config.method} ")


def _record_of(config: AlbedoConfig) -> Path:
    return config.output_dir.with_name(f"{config.output_dir.name}.json")
