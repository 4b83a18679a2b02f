"""The metadata.json of a benchmark: how many frames each video has. The download stores it beside the data."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from vhap.util.errors import InputError, shown
from vhap.util.files import read_json

METADATA = "metadata.json"
MOST_FRAMES = 1_000_000
SAFE_NAME = re.compile(r"[\w+-][\w+.-]*")


class _NVSSequence(TypedDict):
    sequence_name: str
    timesteps: list[int]


class _NVSContent(TypedDict):
    sequences: dict[str, _NVSSequence]


class _MonoSequence(TypedDict):
    n_frames: int


class _MonoParticipant(TypedDict):
    sequences_metadata: dict[str, _MonoSequence]


class _MonoContent(TypedDict):
    participants_metadata: dict[str, _MonoParticipant]


@dataclass(frozen=True)
class NVSSequenceMetadata:
    """timesteps: of the frames, in the videos' order; their numbers are also those of the pointclouds."""

    sequence_name: str
    timesteps: list[int]


@dataclass(frozen=True)
class NVSMetadata:
    """sequences: by participant, who has one each."""

    sequences: dict[int, NVSSequenceMetadata]

    @staticmethod
    def load(benchmark_folder: str | Path) -> NVSMetadata:
        """From `benchmark_folder/nvs/metadata.json`. InputError where it is missing or damaged."""
        return NVSMetadata.read(metadata_path(benchmark_folder, "nvs"))

    @staticmethod
    def read(path: str | Path) -> NVSMetadata:
        content: _NVSContent = _read(path, _NVSContent)
        sequences = {}
        for key, entry in content["sequences"].items():
            name, timesteps = entry["sequence_name"], entry["timesteps"]
            _require_names(path, [name])
            if not timesteps or len(set(timesteps)) != len(timesteps) or not _all_within(timesteps, 0):
                raise _unusable(path, f"the timesteps {shown(timesteps)} of participant {key}", "distinct numbers")
            sequences[_participant(path, key)] = NVSSequenceMetadata(name, timesteps)
        return NVSMetadata(sequences)


@dataclass(frozen=True)
class MonoFLAMEAvatarSequenceMetadata:
    n_frames: int


@dataclass(frozen=True)
class MonoFLAMEAvatarParticipantMetadata:
    """sequences_metadata: by name of the sequence."""

    sequences_metadata: dict[str, MonoFLAMEAvatarSequenceMetadata]


@dataclass(frozen=True)
class MonoFLAMEAvatarMetadata:
    """participants_metadata: by participant."""

    participants_metadata: dict[int, MonoFLAMEAvatarParticipantMetadata]

    @staticmethod
    def load(benchmark_folder: str | Path) -> MonoFLAMEAvatarMetadata:
        """From `benchmark_folder/mono_flame_avatar/metadata.json`. InputError where it is missing or damaged."""
        return MonoFLAMEAvatarMetadata.read(metadata_path(benchmark_folder, "mono_flame_avatar"))

    @staticmethod
    def read(path: str | Path) -> MonoFLAMEAvatarMetadata:
        content: _MonoContent = _read(path, _MonoContent)
        participants = {}
        for key, entry in content["participants_metadata"].items():
            sequences = {name: value["n_frames"] for name, value in entry["sequences_metadata"].items()}
            _require_names(path, sequences)
            for name, count in sequences.items():
                if not _all_within([count], 1):
                    raise _unusable(path, f"{shown(count)} frames of {key}, {name}", "a number of frames")
            of_sequences = {name: MonoFLAMEAvatarSequenceMetadata(count) for name, count in sequences.items()}
            participants[_participant(path, key)] = MonoFLAMEAvatarParticipantMetadata(of_sequences)
        return MonoFLAMEAvatarMetadata(participants)


def metadata_path(benchmark_folder: str | Path, benchmark: str) -> Path:
    """Where the metadata of a benchmark (nvs, mono_flame_avatar) are stored; svfr has none."""
    return Path(benchmark_folder) / benchmark / METADATA


def _read(path: str | Path, kind: type) -> Any:
    if not Path(path).is_file():
        raise InputError(
            f"expected the benchmark's metadata at {path}, found nothing; `vhap benchmark download` stores them there"
        )
    return read_json(path, kind)


def _participant(path: str | Path, key: str) -> int:
    # Other spellings of a number would be a second participant of the same one.
    if not (key.isascii() and key.isdecimal() and len(key) < 10 and str(int(key)) == key):
        raise _unusable(path, f"the participant {shown(key)}", "a number")
    return int(key)


def _require_names(path: str | Path, names: Iterable[str]) -> None:
    """Names become parts of paths."""
    for name in names:
        if not SAFE_NAME.fullmatch(name):
            raise _unusable(path, f"the sequence {shown(name)}", "a plain name")


def _all_within(numbers: list[int], least: int) -> bool:
    return all(least <= number <= MOST_FRAMES for number in numbers)


def _unusable(path: str | Path, found: str, expected: str) -> InputError:
    return InputError(f"expected {expected} in {path}, found {found}; remove it and download it again")
