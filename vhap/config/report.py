"""Options of a run's page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from vhap.config.ranges import Epoch, Range


@dataclass(frozen=True)
class ReportConfig:
    run: Path
    """Output folder of a tracking run, or one of its run folders; the newest run counts."""
    epoch: Epoch = -1
    """Epoch of the result; -1 is the last, which also counts as 30 where fewer were needed."""
    frames: Annotated[int, Range(1, 120)] = 24
    """Frames shown on the page, 1 to 120: an even choice, and the worst ones."""
