"""Fits a head to every timestep of a sequence of version 2 of the NeRSemble dataset, by all its cameras."""

from __future__ import annotations

from collections.abc import Sequence

from vhap.cli import run_tracking
from vhap.config.track import NersembleV2TrackConfig
from vhap.util.errors import exits_cleanly


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    run_tracking(NersembleV2TrackConfig, __doc__, args)


if __name__ == "__main__":
    main()
