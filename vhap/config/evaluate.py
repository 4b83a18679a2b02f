"""Options of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vhap.config.ranges import Epoch


@dataclass(frozen=True)
class EvaluateConfig:
    run: Path
    """Output folder of a tracking run, or one of its run folders; the newest run counts."""
    truth: Path | None = None
    """Synthetic capture or its ground_truth folder. None: the tracked sequence's own, where it has one."""
    epoch: Epoch = -1
    """Epoch of the result; -1 is the last, which also counts as 30 where fewer were needed."""
