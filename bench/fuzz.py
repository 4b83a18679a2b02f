"""How the readers of files and options take faulty inputs: made from good ones by a seed, read in a process of its own.

Prints a table of readers and outcomes, and what came of the first inputs that miss the bar (no traceback, no hang over
10 s, no crash, no file half written); exit status 1 where there are some. Inputs that miss it stay in OUT/failing.

    python bench/fuzz.py --output OUT --count 100000
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common import ROOT
from tables import markdown_table

from vhap.cli import parse
from vhap.config.ranges import Count, Seed
from vhap.util.errors import exits_cleanly

sys.path.append(str(ROOT / "tests" / "fuzz"))
from fuzz_run import OUTCOMES, fuzz

SHOWN = 20


@dataclass(frozen=True)
class FuzzConfig:
    output: Path
    """Folder to work in."""
    count: Count = 100_000
    """Faulty inputs, about."""
    seed: Seed = 1
    """Chooses them."""
    only: str = ""
    """Readers whose names hold this text."""


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(FuzzConfig, __doc__, args)
    started = time.monotonic()
    report = fuzz(config.output, config.count, config.seed, config.only)
    print(markdown_table(["reader", *OUTCOMES], report.rows()))
    print(f"{time.monotonic() - started:.0f} seconds, seed {config.seed}")
    for finding in report.findings[:SHOWN]:
        print(f"\n{finding.reader}, number {finding.number} ({finding.path}): {finding.outcome}\n{finding.said}")
    sys.exit(1 if report.findings else 0)


if __name__ == "__main__":
    main()
