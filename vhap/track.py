"""Fits a head to every frame of a preprocessed video."""

from __future__ import annotations

from collections.abc import Sequence

from vhap.cli import parse
from vhap.config.report import ReportConfig
from vhap.config.track import MonocularTrackConfig
from vhap.util.errors import exits_cleanly


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(MonocularTrackConfig, __doc__, args)
    from vhap.pipeline import report, track

    folder = track.run(config)
    print(folder)
    if config.exp.report and not config.dry_run:
        print(report.run(ReportConfig(folder)))


if __name__ == "__main__":
    main()
