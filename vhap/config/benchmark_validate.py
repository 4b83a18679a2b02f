"""Options of `vhap benchmark validate`: checking a submission to the NeRSemble benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class ValidateConfig:
    """Checks a submission before it is sent, without the network."""

    zip: Path
    """The submission."""
    folder: Path | None = None
    """The benchmark's folder, whose metadata.json give the lengths of the videos; not needed for svfr."""
    benchmark: Literal["nvs", "mono_flame_avatar", "svfr"] | None = None
    """Which benchmark it is for; left out, its files say so."""
