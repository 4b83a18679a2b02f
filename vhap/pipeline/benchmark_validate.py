"""Checks a submission to the NeRSemble benchmark, offline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vhap.config.benchmark import ValidateConfig
from vhap.nersemble.benchmark import assets
from vhap.nersemble.benchmark.archives import SubmissionDataReader
from vhap.nersemble.benchmark.mesh_submission import TASKS, SVFRSubmissionDataReader, svfr_paths
from vhap.nersemble.benchmark.video_submission import (
    MonoFlameAvatarSubmissionDataReader,
    NVSSubmissionDataReader,
    get_video_path,
    mono_flame_avatar_keys,
    nvs_keys,
)
from vhap.util.errors import InputError, as_one_line

MOST_LISTED = 10
"""Findings of a kind that the text names."""


def run(config: ValidateConfig) -> dict[str, list[Any]]:
    """What is wrong with the submission, or with a part of it, by kind; empty where nothing is. InputError where it
    cannot be checked."""
    benchmark = config.benchmark or find_benchmark(config.zip)
    selection = assets.select(benchmark, participants=config.participant, sequences=config.sequence)
    participants, sequences = selection.participants, selection.sequences
    if benchmark == "svfr":
        with SVFRSubmissionDataReader(config.zip) as reader:
            return reader.validate_submission(participants, sequences)
    if config.folder is None:
        raise InputError(
            f"expected the benchmark's folder, whose {benchmark}/metadata.json give the lengths of the videos, found "
            "none given; add --folder"
        )
    kind = NVSSubmissionDataReader if benchmark == "nvs" else MonoFlameAvatarSubmissionDataReader
    with kind(config.zip, config.folder) as reader:
        return reader.validate_submission(participants, sequences)


def find_benchmark(zip_path: Path) -> assets.Benchmark:
    """Which benchmark an archive's files belong to. InputError where that is none, or more than one."""
    expected: dict[assets.Benchmark, set[str]] = {
        "nvs": {get_video_path(*key) for key in nvs_keys()},
        "mono_flame_avatar": {get_video_path(*key) for key in mono_flame_avatar_keys()},
        "svfr": {name for task in TASKS for names in svfr_paths(task) for name in names},
    }
    with SubmissionDataReader(zip_path) as reader:
        names = set(reader.list_files())
    found: list[assets.Benchmark] = [benchmark for benchmark, own in expected.items() if own & names]
    if len(found) != 1:
        raise InputError(
            f"expected files of one benchmark in {zip_path}, found those of {' and '.join(found) or 'none'}; pack it "
            "again, or add --benchmark"
        )
    return found[0]


def describe(findings: dict[str, list[Any]]) -> str:
    """Text of the findings, some of each kind."""
    if not findings:
        return "The submission is valid."
    lines = []
    for kind, entries in findings.items():
        lines.append(f"{kind} ({len(entries)}):")
        lines += [f"  {as_one_line(_text(entry))}" for entry in entries[:MOST_LISTED]]
        if len(entries) > MOST_LISTED:
            lines.append(f"  and {len(entries) - MOST_LISTED} more")
    return "\n".join(lines)


def _text(entry: Any) -> str:
    return ", ".join(map(str, entry)) if isinstance(entry, tuple) else str(entry)
