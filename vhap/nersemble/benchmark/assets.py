"""Which files of a benchmark a choice of assets, participants, sequences and pointclouds means, and how large they are.

Paths are relative to the benchmark's folder, on the disk as on the server.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from vhap.nersemble.benchmark.constants import (
    ASSETS,
    BENCHMARK_MONO_FLAME_AVATAR_IDS,
    BENCHMARK_MONO_FLAME_AVATAR_SEQUENCES,
    BENCHMARK_MONO_FLAME_AVATAR_SEQUENCES_TEST,
    BENCHMARK_MONO_FLAME_AVATAR_TRAIN_SERIAL,
    BENCHMARK_NVS_IDS_AND_SEQUENCES,
    BENCHMARK_NVS_TRAIN_SERIALS,
    BENCHMARK_SVFR_IMAGE_KEYS,
    OPTIONAL_ASSETS,
)
from vhap.nersemble.benchmark.metadata import MOST_FRAMES, NVSMetadata
from vhap.util.errors import InputError, shown
from vhap.util.log import get_logger

Benchmark = Literal["nvs", "mono_flame_avatar", "svfr"]
BENCHMARKS: tuple[Benchmark, ...] = ("nvs", "mono_flame_avatar", "svfr")
WITH_METADATA: tuple[Benchmark, ...] = ("nvs", "mono_flame_avatar")

NVS_BYTES = {
    388: (1.06e9, 18.6e6),
    422: (386e6, 30.4e6),
    443: (1.19e9, 14.5e6),
    445: (401e6, 25.3e6),
    475: (325e6, 1.7e6),
}
"""Participant -> all its videos, one of its pointclouds; from the sums that the benchmark's pages give."""
NVS_FRAMES = {388: 1118, 422: 517, 443: 1108, 445: 514, 475: 259}
ESTIMATED_BYTES = {".mp4": 740_000, ".npz": 90_000, ".png": 320_000, ".json": 10_000}
"""Means of the other benchmarks, which sum up to the 144 MB and 125 MB that are published."""


@dataclass(frozen=True)
class Selection:
    """sequences: the chosen names. timesteps: of pointclouds, None for all there are."""

    benchmark: Benchmark
    assets: tuple[str, ...]
    participants: tuple[int, ...]
    sequences: tuple[str, ...]
    timesteps: tuple[int, ...] | None


def asset_names(benchmark: Benchmark) -> tuple[str, ...]:
    groups = cast(dict[str, Any], ASSETS[benchmark])
    return tuple(name for group, paths in groups.items() if group != "test_assets" for name in paths)


def participants_of(benchmark: Benchmark) -> tuple[int, ...]:
    if benchmark == "nvs":
        return tuple(participant for participant, _ in BENCHMARK_NVS_IDS_AND_SEQUENCES)
    return tuple(BENCHMARK_MONO_FLAME_AVATAR_IDS if benchmark == "mono_flame_avatar" else BENCHMARK_SVFR_IMAGE_KEYS)


def sequences_of(benchmark: Benchmark, participant: int) -> tuple[str, ...]:
    if benchmark == "nvs":
        return (dict(BENCHMARK_NVS_IDS_AND_SEQUENCES)[participant],)
    if benchmark == "mono_flame_avatar":
        return tuple(BENCHMARK_MONO_FLAME_AVATAR_SEQUENCES)
    return tuple(dict.fromkeys(sequence for sequence, _, _ in BENCHMARK_SVFR_IMAGE_KEYS[participant]))


def select(
    benchmark: Benchmark,
    assets: Sequence[str] = ("all",),
    participants: Sequence[str] = ("all",),
    sequences: Sequence[str] = ("all",),
    pointcloud_frames: Sequence[str] = ("0",),
) -> Selection:
    """The filters of the command line, resolved; each takes words, and words with commas.

    InputError, which names the option, where one names what the benchmark has not, and where no file is left.
    """
    of_benchmark = participants_of(benchmark)
    known = tuple(dict.fromkeys(name for number in of_benchmark for name in sequences_of(benchmark, number)))
    usual = tuple(name for name in asset_names(benchmark) if name not in OPTIONAL_ASSETS)
    chosen = _names(participants, tuple(map(str, of_benchmark)), None, "participant", benchmark)
    selection = Selection(
        benchmark,
        _names(assets, asset_names(benchmark), usual, "assets", benchmark),
        tuple(map(int, chosen)),
        _names(sequences, known, None, "sequence", benchmark),
        _timesteps(pointcloud_frames),
    )
    if benchmark != "nvs" and tuple(pointcloud_frames) != ("0",):
        raise InputError(f"expected --pointcloud_frames with nvs only, found it with {benchmark}; leave it out")
    if not any(set(sequences_of(benchmark, number)) & set(selection.sequences) for number in selection.participants):
        raise InputError(
            f"expected participants that have a chosen sequence, found none in {benchmark}; "
            "`vhap benchmark list` names those that exist"
        )
    return selection


def list_files(selection: Selection, metadata: NVSMetadata | None = None) -> list[str]:
    """Paths of the selected files, each once. metadata: needed for pointclouds alone."""
    paths: list[str] = []
    for participant in selection.participants:
        sequences = [name for name in sequences_of(selection.benchmark, participant) if name in selection.sequences]
        if selection.benchmark == "svfr":
            pattern = ASSETS["svfr"]["per_image"]["images"]
            paths += [
                pattern.format(p_id=participant, seq_name=sequence, timestep=timestep, serial=serial)
                for sequence, timestep, serial in BENCHMARK_SVFR_IMAGE_KEYS[participant]
                if sequence in sequences and "images" in selection.assets
            ]
            continue
        if sequences and "calibration" in selection.assets:
            paths.append(ASSETS[selection.benchmark]["per_person"]["calibration"].format(p_id=participant))
        for sequence in sequences:
            paths += _of_sequence(selection, participant, sequence)
            if "pointclouds" in selection.assets:
                paths += _pointclouds(selection, participant, sequence, metadata)
    return paths


def estimate_bytes(benchmark: Benchmark, paths: Sequence[str]) -> int:
    """What files of these names take, by the published sums."""
    total = 0.0
    for path in paths:
        suffix = path[path.rindex(".") :]
        if benchmark == "nvs" and suffix in (".mp4", ".pcd"):
            videos, pointcloud = NVS_BYTES[int(path.split("/")[0])]
            total += pointcloud if suffix == ".pcd" else videos / (2 * len(BENCHMARK_NVS_TRAIN_SERIALS))
        else:
            total += ESTIMATED_BYTES[suffix]
    return round(total)


def _of_sequence(selection: Selection, participant: int, sequence: str) -> list[str]:
    """Videos and tracking."""
    groups = cast(dict[str, Any], ASSETS[selection.benchmark])
    is_test = selection.benchmark != "nvs" and sequence in BENCHMARK_MONO_FLAME_AVATAR_SEQUENCES_TEST
    serials = (
        BENCHMARK_NVS_TRAIN_SERIALS if selection.benchmark == "nvs" else [BENCHMARK_MONO_FLAME_AVATAR_TRAIN_SERIAL]
    )
    paths = []
    for asset in selection.assets:
        if is_test and asset not in groups["test_assets"]:
            continue
        if pattern := groups.get("per_sequence", {}).get(asset):
            paths.append(pattern.format(p_id=participant, seq_name=sequence))
        elif pattern := groups["per_cam"].get(asset):
            paths += [pattern.format(p_id=participant, seq_name=sequence, serial=serial) for serial in serials]
    return paths


def _pointclouds(selection: Selection, participant: int, sequence: str, metadata: NVSMetadata | None) -> list[str]:
    entry = metadata.sequences.get(participant) if metadata is not None else None
    if entry is None or entry.sequence_name != sequence:
        found = entry.sequence_name if entry is not None else "nothing"
        raise InputError(
            f"expected {sequence} of participant {participant} in the metadata of nvs, found {found}; remove "
            "nvs/metadata.json and download again"
        )
    wanted = selection.timesteps
    timesteps = entry.timesteps if wanted is None else [timestep for timestep in wanted if timestep in entry.timesteps]
    if wanted is not None and len(timesteps) < len(wanted):
        lacking = [timestep for timestep in wanted if timestep not in entry.timesteps]
        get_logger().warning(
            "participant %d has no timesteps %s: their pointclouds are left out", participant, shown(lacking)
        )
    pattern = ASSETS["nvs"]["per_timestep"]["pointclouds"]
    return [pattern.format(p_id=participant, seq_name=sequence, timestep=timestep) for timestep in timesteps]


def _words(words: Sequence[str]) -> list[str]:
    return [part for word in words for part in word.replace(",", " ").split()]


def _names(
    words: Sequence[str], known: tuple[str, ...], usual: tuple[str, ...] | None, option: str, benchmark: str
) -> tuple[str, ...]:
    """The chosen names in the benchmark's order. usual: what `all` means, where that is not all."""
    chosen = _words(words)
    if chosen == ["all"]:
        return known if usual is None else usual
    if not chosen:
        raise InputError(f"expected all, or names for --{option}, found nothing; correct it")
    for name in chosen:
        if name not in known:
            near = [] if len(known) < 8 else difflib.get_close_matches(name, known, n=3, cutoff=0.4)
            names = ", ".join(near or known)
            raise InputError(f"expected what {benchmark} has for --{option}, found {shown(name)}; correct it: {names}")
    return tuple(name for name in known if name in chosen)


def _timesteps(words: Sequence[str]) -> tuple[int, ...] | None:
    chosen = _words(words)
    if chosen == ["all"]:
        return None
    numbers = [int(word) for word in chosen if re.fullmatch(r"[0-9]{1,7}", word) and int(word) < MOST_FRAMES]
    if not chosen or len(numbers) < len(chosen):
        raise InputError(
            f"expected all, or numbers of frames such as 0,10 for --pointcloud_frames, found {shown(' '.join(words))}; "
            "correct it"
        )
    return tuple(dict.fromkeys(numbers))
