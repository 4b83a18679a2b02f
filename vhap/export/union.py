"""One dataset out of several exports of a subject: split files that point into the exports beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vhap.config.export import DivisionMode
from vhap.export.split import held_out_sequences, split_cameras, split_frames
from vhap.export.transforms import PATH_KEYS, common_camera, transforms
from vhap.export.union_checks import (
    CANONICAL,
    UNKNOWN_HEAD,
    ExportedSequence,
    check_alike,
    read_sequence,
    require_one_person,
    warn_of_differences,
)
from vhap.util.errors import InputError
from vhap.util.files import make_folder, read_npz, write_json, write_npz, write_text
from vhap.util.lock import folder_lock

SPLITS = ("train", "val", "test")
ONLY_IN_EXPORTS = ("timestep_index_original", "timestep_id")

Frames = list[dict[str, Any]]


def combine_exports(sources: Sequence[Path], target: Path, mode: DivisionMode = "random_group") -> Path:
    """Writes the union of exports to `target`, a folder beside them; returns it.

    Everything is read and checked before the first file is written, and each file appears whole. Raises
    InputError where a source is no export, sources do not belong together, or no sequence is left to train on.
    """
    sources = [Path(source).resolve() for source in sources]
    target = Path(target).resolve()
    check_places(sources, target)
    subject, is_said = find_subject(sources)
    if len(sources) == 1 and mode != "none":
        raise InputError(
            f"expected at least 2 sequences with division mode {mode}, since one is held out for testing and none "
            "would be left to train on, found 1; add sequences or choose --division_mode none"
        )
    sequences = [read_sequence(source) for source in sources]
    held_out = held_out_sequences(len(sequences), subject, mode)
    training = [sequence for number, sequence in enumerate(sequences) if number not in held_out]
    testing = [sequences[number] for number in held_out]
    check_alike([*training, *testing])
    if not is_said:
        require_one_person(sequences)
    warn_of_differences([*training, *testing])
    canonical = read_npz(training[0].folder / CANONICAL)
    with folder_lock(target):
        write_union(target, training, testing, canonical)
    return target


def write_union(
    target: Path,
    training: list[ExportedSequence],
    testing: list[ExportedSequence],
    canonical: dict[str, np.ndarray],
) -> None:
    sequences = [*training, *testing]
    shared = common_camera([frame for sequence in sequences for frame in sequence.content["frames"]])
    if "scale" in training[0].content:
        shared["scale"] = training[0].content["scale"]
    if known := [sequence.head_model for sequence in sequences if sequence.head_model != UNKNOWN_HEAD]:
        shared["head_model"] = known[0]
    splits = divide(training, testing)
    make_folder(target)
    write_npz(target / CANONICAL, canonical)
    write_text(target / "sequences_trainval.txt", _lines(training))
    write_text(target / "sequences_test.txt", _lines(testing))
    for name, frames in splits.items():
        write_json(target / f"transforms_{name}.json", transforms(frames, shared))


def divide(training: list[ExportedSequence], testing: list[ExportedSequence]) -> dict[str, Frames]:
    """Frames of each split, timesteps numbered one sequence after the other, training sequences first.

    Where no sequence is held out for testing, the end of every sequence is, as in its own export.
    """
    splits: dict[str, Frames] = {name: [] for name in SPLITS}
    start = 0
    for sequence in (*training, *testing):
        frames, start = renumber(sequence, start)
        if sequence in testing:
            splits["test"] += frames
            continue
        for name, part in (split_cameras(frames) if testing else split_frames(frames)).items():
            splits[name] += part
    return splits


def renumber(sequence: ExportedSequence, start: int) -> tuple[Frames, int]:
    """Frames as seen from a folder beside the sequence's, timesteps from `start` on; and the next free timestep."""
    timesteps = sorted({frame["timestep_index"] for frame in sequence.content["frames"]})
    number_of = {timestep: start + place for place, timestep in enumerate(timesteps)}
    frames = []
    for frame in sequence.content["frames"]:
        moved = {key: value for key, value in frame.items() if key not in ONLY_IN_EXPORTS}
        moved["timestep_index"] = number_of[frame["timestep_index"]]
        for key in PATH_KEYS:
            if key in moved:
                moved[key] = f"../{sequence.folder.name}/{moved[key]}"
        frames.append(moved)
    return frames, start + len(timesteps)


def check_places(sources: list[Path], target: Path) -> None:
    """InputError unless all folders are different ones in one parent folder, and the target may be written."""
    if not sources:
        raise InputError("expected at least one export in --src_folders, found none; name them")
    if len(set(sources)) != len(sources):
        raise InputError("expected every export once in --src_folders, found one twice; remove it")
    if target in sources:
        raise InputError(f"expected a target other than the sources, found {target} in both; choose another name")
    if target.is_file():
        raise InputError(f"expected a folder (or a place for one) at {target}, found a file; choose another target")
    if (target / "transforms.json").exists():
        raise InputError(f"expected no export at the target {target}, found one; choose another name")
    if odd := [folder for folder in sources if folder.parent != target.parent]:
        raise InputError(
            f"expected all sources beside the target, in {target.parent}, found {odd[0]}; move it there, or choose "
            "a target beside the sources"
        )


def find_subject(sources: list[Path]) -> tuple[str, bool]:
    """The subject by which sequences are held out, and whether names say it: up to the first _ of each that has one.

    The target's name says nothing: users call unions as they like. Raises InputError where sources name several.
    """
    saying = [folder for folder in sources if "_" in folder.name]
    subject = subject_of((saying or sources)[0])
    if odd := [folder for folder in saying if subject_of(folder) != subject]:
        raise InputError(
            f"expected one subject, {subject!r} as in the name of {saying[0].name} up to the first _, found "
            f"{subject_of(odd[0])!r} in {odd[0].name}; combine one subject at a time, or rename the folder"
        )
    return subject, len(saying) == len(sources)


def subject_of(folder: Path) -> str:
    return folder.name.split("_")[0]


def _lines(sequences: list[ExportedSequence]) -> str:
    return "".join(f"{sequence.folder.name}\n" for sequence in sequences)
