"""Exports a tracking run for a trainer: GaussianAvatars, INSTA, nerfstudio and more."""

from __future__ import annotations

from collections.abc import Sequence

from vhap.api import export
from vhap.cli import parse
from vhap.config.export import ExportConfig
from vhap.util.errors import exits_cleanly


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(ExportConfig, __doc__, args)
    folder = export(config)
    if not config.dry_run:
        print(f"dataset: {folder}")


if __name__ == "__main__":
    main()
