"""Fits a head to every frame of a preprocessed video."""

from __future__ import annotations

from collections.abc import Sequence

from vhap.cli import run_tracking
from vhap.config.track import MonocularTrackConfig
from vhap.util.errors import exits_cleanly


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    run_tracking(MonocularTrackConfig, __doc__, args)


if __name__ == "__main__":
    main()
