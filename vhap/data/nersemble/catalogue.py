"""What the dataset holds, and which of its files a choice of participants, sequences, cameras and assets means."""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from vhap.util.errors import InputError, shown

SERIALS = (
    *("222200042", "222200044", "222200046", "222200040", "222200036", "222200048", "220700191", "222200041"),
    *("222200037", "222200038", "222200047", "222200043", "222200049", "222200039", "222200045", "221501007"),
)
NVS_HOLD_OUT_SERIALS = ("222200046", "222200037", "222200039")
"""Left, centre, right: calibrated in the benchmark of novel views, whose recordings of them are not given."""
SEQUENCE_NAMES = [
    *("BACKGROUND", "GLASSES"),
    *("EXP-1-head", "EXP-2-eyes", "EXP-3-cheeks+nose", "EXP-4-lips", "EXP-5-mouth", "EXP-6-tongue-1", "EXP-7-tongue-2"),
    *("EXP-8-jaw-1", "EXP-9-jaw-2", "HAIR", "FREE"),
    *("EMO-1-shout+laugh", "EMO-2-surprise+fear", "EMO-3-angry+sad", "EMO-4-disgust+happy"),
    *("SEN-01-cramp_small_danger", "SEN-02-same_phrase_thirty_times", "SEN-03-pluck_bright_rose"),
    *("SEN-04-two_plus_seven", "SEN-05-glow_eyes_sweet_girl", "SEN-06-problems_wise_chief", "SEN-07-fond_note_friend"),
    *("SEN-08-clothes_and_lodging", "SEN-09-frown_events_bad", "SEN-10-port_strong_smokey"),
]
"""All that the dataset has, in its order; a list, as the official kit's is."""
METADATA_SEQUENCES = "metadata_sequences.csv"
GLOBAL_ASSETS = {"metadata_participants": "metadata_participants.csv", "metadata_sequences": METADATA_SEQUENCES}
PARTICIPANT_ASSETS = {
    "calibration": "{participant:03d}/calibration/camera_params.json",
    "color_calibration": "{participant:03d}/calibration/color_calibration.json",
}
VIDEO = "{participant:03d}/sequences/{sequence}/images/cam_{serial}.mp4"
BACKGROUND = "{participant:03d}/sequences/BACKGROUND/image_{serial}.jpg"
ASSETS = ("calibration", "color_calibration", "images", "backgrounds", *GLOBAL_ASSETS)
NO_SEQUENCE = ("ID", "wears_glasses")
PRESENT = ("x", "m")
SAFE_NAME = re.compile(r"[\w+-][\w+.-]*")
ESTIMATED_BYTES = {".mp4": 8_730_000, ".jpg": 1_000_000, ".json": 10_000, ".csv": 50_000}
"""Means that estimates go by; the whole dataset's 170 631 videos take 1490 GB."""


@dataclass(frozen=True)
class Catalogue:
    """sequences: participant -> names of the sequences that exist (BACKGROUND is not one of them).

    sequence_names: all names, BACKGROUND included, in the order of the dataset.
    """

    sequences: dict[int, tuple[str, ...]]
    sequence_names: tuple[str, ...]


@dataclass(frozen=True)
class Selection:
    participants: tuple[int, ...]
    sequences: tuple[str, ...]
    serials: tuple[str, ...]
    assets: tuple[str, ...]


def read_catalogue(text: str) -> Catalogue:
    """From the text of metadata_sequences.csv. Raises ValueError where it is something else."""
    rows = list(csv.reader(text.lstrip("\ufeff").splitlines()))
    header = [name.strip() for name in rows[0]] if rows else []
    if "ID" not in header or len(header) != len(set(header)):
        raise ValueError(f"expected columns ID, wears_glasses and one for each sequence, found {shown(header[:3])}")
    names = tuple(name for name in header if name not in NO_SEQUENCE)
    # Names become parts of paths.
    if unsafe := [name for name in names if not SAFE_NAME.fullmatch(name)]:
        raise ValueError(f"expected names of sequences, found {shown(unsafe[0])}")
    sequences = {}
    for row in filter(None, rows[1:]):
        entries = dict(zip(header, (cell.strip() for cell in row)))
        if len(row) != len(header) or not entries["ID"].isdecimal():
            raise ValueError(f"expected {len(header)} columns and a number as ID, found {shown(','.join(row))}")
        there = (name for name in names if entries[name] in PRESENT and name != "BACKGROUND")
        sequences[int(entries["ID"])] = tuple(there)
    return Catalogue(sequences, names)


def require_participant(catalogue: Catalogue, participant: int) -> None:
    if participant not in catalogue.sequences:
        raise InputError(
            f"expected a participant of the dataset, found {participant}; `vhap nersemble list` names the "
            f"{len(catalogue.sequences)} there are"
        )


def select(catalogue: Catalogue, participant: str, sequence: str, camera: str, assets: Sequence[str]) -> Selection:
    """The filters of the command line, resolved; InputError where they name what the dataset has not."""
    return Selection(
        _participants(catalogue, participant),
        _names(sequence, catalogue.sequence_names, "sequence"),
        _names(camera, SERIALS, "camera"),
        ASSETS if "all" in assets else tuple(asset for asset in ASSETS if asset in assets),
    )


def list_files(catalogue: Catalogue, selection: Selection) -> list[str]:
    """Paths of the selected files, relative to the dataset's root; those by which others are understood come first."""
    assets = selection.assets
    paths = [path for asset, path in GLOBAL_ASSETS.items() if asset in assets]
    for participant in selection.participants:
        wanted = [path for asset, path in PARTICIPANT_ASSETS.items() if asset in assets]
        paths += [path.format(participant=participant) for path in wanted]
        if "backgrounds" in assets:
            paths += [BACKGROUND.format(participant=participant, serial=serial) for serial in selection.serials]
        if "images" in assets:
            there = catalogue.sequences[participant]
            paths += [
                VIDEO.format(participant=participant, sequence=sequence, serial=serial)
                for sequence in selection.sequences
                if sequence in there
                for serial in selection.serials
            ]
    return paths


def estimate_bytes(paths: Sequence[str]) -> int:
    return sum(ESTIMATED_BYTES[path[path.rindex(".") :]] for path in paths)


def _participants(catalogue: Catalogue, words: str) -> tuple[int, ...]:
    if words.strip() == "all":
        return tuple(catalogue.sequences)
    chosen: list[int] = []
    for word in words.split(","):
        match = re.fullmatch(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?", word)
        if match is None:
            raise InputError(
                f"expected all, numbers or ranges such as 33,50-100, found {words!r}; correct --participant"
            )
        if match[2] is None:
            require_participant(catalogue, int(match[1]))
            chosen.append(int(match[1]))
            continue
        inside = [number for number in catalogue.sequences if int(match[1]) <= number <= int(match[2])]
        if not inside:
            raise InputError(
                f"expected participants between {match[1]} and {match[2]}, found none; correct --participant"
            )
        chosen += inside
    return tuple(dict.fromkeys(chosen))


def _names(words: str, known: Sequence[str], kind: str) -> tuple[str, ...]:
    if words.strip() == "all":
        return tuple(known)
    chosen = [word.strip() for word in words.split(",")]
    for name in chosen:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.4) or known
            raise InputError(f"expected a {kind} of the dataset, found {name!r}; correct --{kind}: {', '.join(near)}")
    return tuple(dict.fromkeys(chosen))
