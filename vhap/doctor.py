"""Checks the installation: versions, devices, heads, networks' weights, folders, and what is missing."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from vhap.cli import parse
from vhap.config.doctor import DoctorConfig
from vhap.util.errors import exits_cleanly


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(DoctorConfig, __doc__, args)
    from vhap.pipeline.doctor import as_json, as_text, problems, run, run_head

    findings = run() if config.head is None else run_head(*config.head)
    print(as_json(findings) if config.json else as_text(findings))
    sys.exit(1 if problems(findings) else 0)


if __name__ == "__main__":
    main()
