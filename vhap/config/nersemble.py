"""Options of `vhap nersemble`: listing and downloading the NeRSemble dataset, version 2."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from vhap.config.ranges import CountOrNone, Index, Range

Asset = Literal[
    "all",
    "calibration",
    "color_calibration",
    "images",
    "backgrounds",
    "metadata_participants",
    "metadata_sequences",
]


@dataclass(frozen=True)
class ListConfig:
    """Lists the participants, or the sequences of one of them."""

    participant: Index | None = None
    """Number of the participant whose sequences are listed; left out, all participants are."""


@dataclass(frozen=True)
class DownloadConfig:
    """Downloads the parts of the dataset that the filters choose; given again, it completes what is missing."""

    folder: Path
    """Where the dataset is written."""
    participant: str = "all"
    """all, numbers and ranges of them: 33,55 or 50-100 (those that exist in it)."""
    sequence: str = "all"
    """all, or names: EXP-1-head,EMO-1-shout+laugh."""
    camera: str = "all"
    """all, or serial numbers: 222200037,222200042."""
    assets: tuple[Asset, ...] = ("all",)
    """Kinds of files, one or several (separated by spaces)."""
    n_workers: Annotated[int, Range(1, 1024)] = 4
    """Files that are transferred at the same time."""
    yes: bool = False
    """Start without asking."""
    timeout_s: Annotated[float, Range(0, 86_400, above=True)] = 30.0
    """Seconds for a reply to begin, and then without data (or with less than 1 kB for each of them), after which a
    connection counts as broken."""
    retries: CountOrNone = 6
    """Attempts at a file after the first that bring nothing new, before it counts as failed."""
