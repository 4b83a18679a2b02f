"""Fits a head to every timestep of a sequence of version 2 of the NeRSemble dataset, by all its cameras."""

from __future__ import annotations

from collections.abc import Sequence

from vhap.cli import parse
from vhap.config.report import ReportConfig
from vhap.config.track import NersembleV2TrackConfig
from vhap.util.errors import exits_cleanly


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(NersembleV2TrackConfig, __doc__, args)
    from vhap.pipeline import report, track

    folder = track.run(config)
    print(folder)
    if config.exp.report and not config.dry_run:
        print(report.run(ReportConfig(folder)))


if __name__ == "__main__":
    main()
