"""Turns a run tracked with one head into a run of another: FLAME, GNM, ICT, built-in, a file."""

from __future__ import annotations

from collections.abc import Sequence

from vhap.api import convert_head
from vhap.cli import parse
from vhap.config.convert import ConvertConfig
from vhap.util.errors import exits_cleanly


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    print(convert_head(parse(ConvertConfig, __doc__, args, positional=True)))


if __name__ == "__main__":
    main()
