"""Options of the check of the installation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class DoctorConfig:
    json: bool = False
    """Print JSON: a list of findings (section, name, state, text), and the number of problems."""
    head: tuple[Literal["gnm"], Path] | None = None
    """Check a head's file instead, `--head gnm FILE`: what holds of all that the format promises."""
