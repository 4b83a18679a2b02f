"""Fits a head to a static avatar: pictures of one moment from all around, by cameras of any unit."""

from __future__ import annotations

from collections.abc import Sequence

from vhap.cli import run_tracking
from vhap.config.track import SingleFrameTrackConfig
from vhap.util.errors import exits_cleanly


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    run_tracking(SingleFrameTrackConfig, __doc__, args)


if __name__ == "__main__":
    main()
