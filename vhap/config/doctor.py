"""Options of the check of the installation."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DoctorConfig:
    json: bool = False
    """Print JSON: a list of findings (section, name, state, text), and the number of problems."""
