"""Options of the demonstration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vhap.config.ranges import Count, Pixels


@dataclass(frozen=True)
class DemoConfig:
    output: Path = Path("output/demo")
    """Folder of everything that the demonstration makes; what is finished there is kept."""
    video: Path | None = None
    """A video of yours. None: a rendered one of the built-in head, whose truth is known."""
    head: Literal["auto", "flame", "gnm", "ict", "builtin"] = "builtin"
    """Head model to track with."""
    frames: Count = 60
    """Length of the rendered video."""
    size: Pixels = 400
    """Side of the rendered video's pictures, in pixels."""
