"""Options of what fetches networks' files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class FetchModelsConfig:
    wheel: Path | None = None
    """Take the files out of this wheel of mediapipe 0.10.21, of any system (`--from WHEEL` is the same); not given:
    from an installed one, else pip downloads it from your package index (36 MB)."""
