"""The sequences in a folder: videos, preprocessed sequences, folders of one person, the NeRSemble dataset."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from vhap.config.batch import SequenceKind
from vhap.data.pictures import natural_order
from vhap.data.recording_kind import recording_kind
from vhap.data.rig_extraction import SERIAL_NAME, VIDEO_SUFFIXES
from vhap.util.errors import InputError, shown
from vhap.util.log import get_logger

CALIBRATIONS = ("camera_params.json", "transforms.json", "sparse", "cameras.txt", "cameras.bin")
"""What lies beside the videos of a rig that are not named cam_<serial>."""
NO_SEQUENCE = "BACKGROUND"


@dataclass(frozen=True)
class Source:
    """A sequence on disk. subject and name are as its path says; `sequence_id` makes a name for files of them."""

    subject: str
    name: str
    kind: SequenceKind
    path: Path

    @property
    def sequence_id(self) -> str:
        subject, name = clean(self.subject).replace("_", "-"), clean(self.name)
        return f"{subject}_{name}" if name else subject


def clean(name: str) -> str:
    """A name of letters, digits and `_ + = . -`, which begins with none of the last two."""
    return re.sub(r"[^\w+=.-]+", "-", name).strip("-. ")


def find_sources(data: Path) -> list[Source]:
    """All sequences in a folder, by persons and names. InputError where there are none, or two of one name."""
    if not data.is_dir():
        raise InputError(f"expected a folder with sequences at {data}, found none; correct the path")
    data = data.absolute()
    kind = _kind(data)
    found = [_named(data.name, kind, data)] if kind else [*_in_folder(data)]
    if not found:
        raise InputError(
            f"expected videos, sequences' folders with images/ or folders of persons with these in {data}, found none; "
            "name the folder that holds them"
        )
    _require_names(found)
    return sorted(found, key=lambda source: natural_order(source.sequence_id))


def _in_folder(data: Path) -> list[Source]:
    found = _videos_and_sequences(data, None)
    for person in _folders(data):
        if (person / "sequences").is_dir():
            found += [
                Source(person.name, folder.name, "nersemble_v2", folder)
                for folder in _folders(person / "sequences")
                if folder.name != NO_SEQUENCE
            ]
        elif (data / "camera_params" / person.name).is_dir():
            found += [
                Source(person.name, folder.name, "nersemble", folder)
                for folder in _folders(person)
                if folder.name != NO_SEQUENCE
            ]
        elif _kind(person) is None:
            found += _videos_and_sequences(person, person.name)
    return found


def _videos_and_sequences(folder: Path, subject: str | None) -> list[Source]:
    """Those directly in a folder. A video beside the folder that was made of it is left out."""
    found = [_named(each.name, kind, each, subject) for each in _folders(folder) if (kind := _kind(each))]
    made = {source.path for source in found}
    for video in _videos(folder):
        if video.with_suffix("") in made:
            get_logger().info("%s: preprocessed already, its folder counts", video)
        else:
            found.append(_named(video.stem, "video", video, subject))
    return found


def _named(name: str, kind: SequenceKind, path: Path, subject: str | None = None) -> Source:
    """By SUBJECT_SEQUENCE. A name without `_` is the person's, and within a person's folder the sequence's."""
    before, _, after = name.partition("_")
    if subject is not None:
        return Source(subject, name.removeprefix(f"{subject}_"), kind, path)
    return Source(before, after, kind, path) if before else Source(name.strip("_"), "", kind, path)


def _kind(folder: Path) -> SequenceKind | None:
    """What a folder holds if it is a sequence's; None for others, also those whose pictures cannot be read."""
    images = folder / "images"
    videos = [*_videos(folder), *_videos(images)]
    has_calibration = any((folder / name).exists() for name in CALIBRATIONS)
    if any(SERIAL_NAME.fullmatch(video.name) for video in videos) or (len(videos) > 1 and has_calibration):
        return "multiview"
    if not (images.is_dir() or list(folder.glob("images_*")) or (folder / "camera_info.json").is_file()):
        return None
    try:
        kind = recording_kind(folder)
    except InputError as error:
        get_logger().warning("left out: %s", error)
        return None
    return "pictures" if kind == "video" else kind


def _folders(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if child.is_dir() and child.name[0] != ".")


def _videos(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file())
    return [path for path in files if path.name[0] != "."]


def _require_names(sources: list[Source]) -> None:
    """InputError where a name has nothing to make an id of, or two sequences have one id."""
    if nameless := [source for source in sources if not clean(source.subject)]:
        raise InputError(
            f"expected names with letters or digits, found {shown(str(nameless[0].path))}; rename it, SUBJECT_SEQUENCE"
        )
    by_id: dict[str, Source] = {}
    for source in sources:
        other = by_id.setdefault(source.sequence_id, source)
        if other is not source:
            raise InputError(
                f"expected one sequence of the name {source.sequence_id}, found {other.path} and {source.path}; rename "
                "or move one of them"
            )
