"""The folder of an export: whether it may be written, what in it can stay, and when it is complete."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vhap.config.data import RecordingConfig
from vhap.config.export import ExportConfig, MeshExportConfig
from vhap.config.loading import to_plain
from vhap.util.errors import InputError
from vhap.util.files import file_hash, make_folder, read_json, write_json

NOT_OF_FILES = ("src_folder", "tgt_folder", "dry_run")
"""Options that change no byte of an export."""
UNFINISHED = r"\.tmp_\w+\.\w+"


@dataclass(frozen=True)
class TargetKind:
    """marker: the file that tells such an export from any other folder. own_files: the names it writes, by folder; a
    folder with * stands for all of such names, which an export makes, and which go where nothing is left in them."""

    marker: str
    own_files: Mapping[str, str]


DATASET = TargetKind(
    "export.json",
    {
        "images": r"\d{5,}_\d{2,}\.png",
        "fg_masks": r"\d{5,}_\d{2,}\.png",
        "flame_param": r"\d{5,}\.npz",
        "meshes": r"\d{5,}\.obj",
        "flame/exp": r"\d{5,}\.txt",
        ".": r"transforms\w*\.json|canonical\.obj|canonical_flame_param\.npz",
    },
)
MESHES = TargetKind(
    "export_mesh.json",
    {".": r"frame_\d{5,}\.(obj|ply)|head\.(glb|mtl|png)|cameras\.json|blendshapes\.csv"},
)


def target_folder(config: ExportConfig | MeshExportConfig) -> Path:
    """The folder that the options name, with the epoch where one was chosen."""
    if config.epoch == -1:
        return config.tgt_folder
    return config.tgt_folder.with_name(f"{config.tgt_folder.name}_epoch{config.epoch}")


def fingerprint(
    result_file: Path,
    config: ExportConfig | MeshExportConfig,
    data: RecordingConfig,
    left_out: Sequence[Mapping[str, object]] = (),
) -> str:
    """Equal for exports that write the same files: the result's bytes, the options, the capture they show, and what is
    left out of it."""
    options = {key: value for key, value in to_plain(config).items() if key not in NOT_OF_FILES}
    if options.get("layout") == "gaussian_avatars":
        options["layout"] = "nerf"
    everything = [file_hash(result_file), options, to_plain(data), *left_out]
    return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()[:16]


def open_target(target: Path, fingerprint: str, kind: TargetKind = DATASET) -> None:
    """Makes the folder ready: new, or an export. What an export of another fingerprint wrote is removed.

    Raises InputError where something else stands there, so that no capture is ever written over.
    """
    check_target(target, kind)
    make_folder(target)
    marker = target / kind.marker
    if marker.exists():
        is_same = _field(marker, "fingerprint") == fingerprint
        remove_own_files(target, dict.fromkeys(kind.own_files, UNFINISHED) if is_same else kind.own_files)
    write_json(marker, {"fingerprint": fingerprint, "complete": False})


def check_target(target: Path, kind: TargetKind = DATASET) -> None:
    """InputError where a file or something other than an export stands at the target; writes nothing."""
    there = next(place for place in (target, *target.absolute().parents) if place.exists())
    if not there.is_dir():
        raise InputError(
            f"expected a folder (or a place for one) at {target}, found the file {there}; remove what stands there or "
            "choose another folder"
        )
    if there != target or (target / kind.marker).exists():
        return
    if any(not child.name.startswith(".") for child in target.iterdir()):
        raise InputError(
            f"expected a new folder or an earlier export at {target}, found a folder with other files; choose "
            "another --tgt_folder or remove it"
        )


def finish_target(target: Path, fingerprint: str, kind: TargetKind = DATASET) -> None:
    write_json(target / kind.marker, {"fingerprint": fingerprint, "complete": True})


def remove_own_files(target: Path, patterns: Mapping[str, str]) -> None:
    """Removes files of these names by folder, and what a killed export left unfinished.

    The last folder comes first: without its transforms files, no half-removed dataset looks whole.
    """
    for folder, pattern in reversed(list(patterns.items())):
        for place in sorted(target.glob(folder)) if "*" in folder else [target / folder]:
            for path in sorted(place.iterdir()) if place.is_dir() else ():
                if path.is_file() and re.fullmatch(f"{pattern}|{UNFINISHED}", path.name):
                    path.unlink()
            if "*" in folder and place.is_dir() and not any(place.iterdir()):
                place.rmdir()


def _field(marker: Path, name: str) -> object:
    content = read_json(marker)
    return content.get(name) if isinstance(content, dict) else None
