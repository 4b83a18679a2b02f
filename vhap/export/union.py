"""One dataset out of several exports of a subject: split files that point into the exports beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vhap.config.export import DivisionMode
from vhap.export.split import held_out_sequences, split_cameras, split_frames
from vhap.export.transforms import PATH_KEYS, SHARED_INTRINSICS, read_transforms, transforms
from vhap.util.errors import InputError
from vhap.util.files import make_folder, read_npz, write_json, write_npz, write_text

SCALE_TOLERANCE = 0.05
"""Sequences of one unknown unit are solved each for itself; more than this share apart, units differ."""
SPLITS = ("train", "val", "test")
ONLY_IN_EXPORTS = ("timestep_index_original", "timestep_id")
CANONICAL = "canonical_flame_param.npz"

Frames = list[dict[str, Any]]


@dataclass(frozen=True)
class ExportedSequence:
    """An export: its folder and the content of its transforms.json."""

    folder: Path
    content: dict[str, Any]

    @property
    def head_model(self) -> str:
        return str(self.content.get("head_model", "unknown"))

    @property
    def scale(self) -> float:
        """Units of its world in a metre, as far as the head's size tells."""
        return float(self.content.get("scale", 1))

    @property
    def head_keys(self) -> set[str]:
        """Which of the keys that name files its frames have."""
        return {key for frame in self.content["frames"] for key in PATH_KEYS if key in frame}


def combine_exports(sources: Sequence[Path], target: Path, mode: DivisionMode = "random_group") -> Path:
    """Writes the union of exports to `target`, a folder beside them; returns it.

    Everything is read and checked before the first file is written, and each file appears whole. Raises
    InputError where a source is no export, sources do not belong together, or no sequence is left to train on.
    """
    sources = [Path(source).resolve() for source in sources]
    target = Path(target).resolve()
    subject = check_places(sources, target)
    if len(sources) == 1 and mode != "none":
        raise InputError(
            f"expected at least 2 sequences with division mode {mode}, since one is held out for testing and none "
            "would be left to train on, found 1; add sequences or choose --division_mode none"
        )
    sequences = [read_sequence(source) for source in sources]
    check_alike(sequences)
    held_out = held_out_sequences(len(sequences), subject, mode)
    training = [sequence for number, sequence in enumerate(sequences) if number not in held_out]
    testing = [sequences[number] for number in held_out]
    canonical = read_npz(training[0].folder / CANONICAL)
    write_union(target, training, testing, canonical)
    return target


def write_union(
    target: Path,
    training: list[ExportedSequence],
    testing: list[ExportedSequence],
    canonical: dict[str, np.ndarray],
) -> None:
    first = training[0].content
    shared = {key: first[key] for key in (*SHARED_INTRINSICS, "head_model", "scale") if key in first}
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


def check_places(sources: list[Path], target: Path) -> str:
    """The one subject of all folders, which must be different ones in one parent folder."""
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
    subject = subject_of(target)
    if odd := [folder for folder in sources if subject_of(folder) != subject]:
        raise InputError(
            f"expected one subject, {subject!r} as in the target's name up to the first _, found "
            f"{subject_of(odd[0])!r} in {odd[0].name}; combine one subject at a time"
        )
    return subject


def subject_of(folder: Path) -> str:
    return folder.name.split("_")[0]


def read_sequence(folder: Path) -> ExportedSequence:
    """Reads an export's transforms.json and checks that the files its frames name are there."""
    if not folder.is_dir():
        raise InputError(f"expected an export at {folder}, found no folder; check --src_folders")
    if not (folder / "transforms.json").exists():
        raise InputError(
            f"expected transforms.json in {folder}, found none; run export_as_nerf_dataset.py (again, if it stopped)"
        )
    content = read_transforms(folder / "transforms.json")
    if not content["frames"]:
        raise InputError(f"expected frames in {folder / 'transforms.json'}, found none; export again")
    named = [frame[key] for frame in content["frames"] for key in PATH_KEYS if key in frame]
    missing = [name for name in named if not (folder / name).is_file()]
    if missing:
        raise InputError(
            f"expected all {len(named)} files that transforms.json names in {folder}, found {len(missing)} missing "
            f"(first: {missing[0]}); export again"
        )
    return ExportedSequence(folder, content)


def check_alike(sequences: list[ExportedSequence]) -> None:
    """All sequences have one head model and one unit, and say the same things of their frames."""
    first = sequences[0]
    for sequence in sequences[1:]:
        if sequence.head_model != first.head_model:
            raise InputError(
                f"expected one head model, {first.head_model} as in {first.folder.name}, found {sequence.head_model} "
                f"in {sequence.folder.name}; track all sequences with one head"
            )
        if abs(math.log(sequence.scale / first.scale)) > SCALE_TOLERANCE:
            raise InputError(
                f"expected one unit, {first.scale:.4g} in a metre as in {first.folder.name}, found "
                f"{sequence.scale:.4g} in {sequence.folder.name}; export all with --world tracked, in metres"
            )
        if sequence.head_keys != first.head_keys:
            odd = ", ".join(sorted(sequence.head_keys ^ first.head_keys))
            raise InputError(
                f"expected exports of one flame_mode, found {odd} only in one of {first.folder.name} and "
                f"{sequence.folder.name}; export them alike"
            )


def _lines(sequences: list[ExportedSequence]) -> str:
    return "".join(f"{sequence.folder.name}\n" for sequence in sequences)
