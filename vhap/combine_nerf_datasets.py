"""Combines exported sequences of one person into one dataset."""

from __future__ import annotations

from collections.abc import Sequence

from vhap.api import combine
from vhap.cli import parse
from vhap.config.export import CombineConfig
from vhap.util.errors import exits_cleanly


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    print(f"dataset: {combine(parse(CombineConfig, __doc__, args))}")


if __name__ == "__main__":
    main()
