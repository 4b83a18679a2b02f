"""Fits a head to a static avatar: pictures of one moment from all around, by cameras of any unit."""

from __future__ import annotations

from collections.abc import Sequence

from vhap.cli import parse
from vhap.config.report import ReportConfig
from vhap.config.track import SingleFrameTrackConfig
from vhap.util.errors import exits_cleanly


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(SingleFrameTrackConfig, __doc__, args)
    from vhap.pipeline import report, track_single_frame

    folder = track_single_frame.run(config)
    print(folder)
    if config.exp.report and not config.dry_run:
        print(report.run(ReportConfig(folder)))


if __name__ == "__main__":
    main()
