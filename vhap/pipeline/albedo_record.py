"""What a subject's albedo pictures were made of, so that those of other pictures or ways are made again, and those of
other tools are kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from vhap.config.relightable import AlbedoConfig
from vhap.relightable.subject_folder import SubjectFolder
from vhap.util.files import file_hash, read_json, write_json
from vhap.util.log import get_logger


class _Record(TypedDict):
    """made_by: method and fit, or network. pictures: what each albedo picture was made of, by name."""

    made_by: str
    pictures: dict[str, str]


@dataclass(frozen=True)
class AlbedoWork:
    """missing: names whose albedo is to be written. outdated: files of ours that are to go. record: what is ours then,
    None where the file says so already; it lies beside the folder."""

    missing: list[str]
    outdated: list[Path]
    record: _Record | None
    file: Path

    def begin(self) -> None:
        """Removes and records, before the pictures are written."""
        for path in self.outdated:
            path.unlink(missing_ok=True)
        if self.record is not None:
            write_json(self.file, self.record)


def albedo_work(config: AlbedoConfig, names: list[str], made_by: str, subject: SubjectFolder) -> AlbedoWork:
    """names: of the pictures that are wanted. Changes nothing."""
    file = _record_of(config)
    record: _Record = read_json(file, _Record) if file.is_file() else {"made_by": made_by, "pictures": {}}
    sources = {name: file_hash(subject.image_folder / name) for name in names}
    is_ours = record["made_by"] == made_by
    old = [
        name
        for name, source in record["pictures"].items()
        if not is_ours or (name in sources and sources[name] != source)
    ]
    outdated = [path for name in old if (path := target_of(config, name)).is_file()]
    missing = [name for name in names if name in old or not target_of(config, name).is_file()]
    if foreign := [name for name in names if name not in missing and name not in record["pictures"]]:
        get_logger().warning("%d pictures in %s are of another tool and kept", len(foreign), config.output_dir)
    kept = record["pictures"] if is_ours else {}
    new: _Record = {"made_by": made_by, "pictures": {**kept, **{name: sources[name] for name in missing}}}
    is_written = new == record and file.is_file()
    return AlbedoWork(missing, outdated, None if is_written else new, file)


def is_made_otherwise(config: AlbedoConfig) -> bool:
    """Whether the folder's pictures were asked for by another method than that of config, or by a network."""
    file = _record_of(config)
    return file.is_file() and not read_json(file, _Record)["made_by"].startswith(f"{config.method} ")


def _record_of(config: AlbedoConfig) -> Path:
    return config.output_dir.with_name(f"{config.output_dir.name}.json")


def target_of(config: AlbedoConfig, name: str) -> Path:
    """Under the picture's name, as trainers look for it."""
    return config.output_dir / name
