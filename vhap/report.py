"""Makes the page to look at after a tracking run: report.html in the run folder, evaluated first where needed."""

from __future__ import annotations

from collections.abc import Sequence

from vhap.api import report
from vhap.cli import parse
from vhap.config.report import ReportConfig
from vhap.util.errors import exits_cleanly


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    print(report(parse(ReportConfig, __doc__, args)))


if __name__ == "__main__":
    main()
