"""The whole chain on one video: preprocess, track, export, combine, and a page that shows how it went."""

from __future__ import annotations

from collections.abc import Sequence

from vhap.cli import parse
from vhap.config.demo import DemoConfig
from vhap.util.errors import exits_cleanly


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(DemoConfig, __doc__, args)
    from vhap.pipeline.demo import run

    run(config)


if __name__ == "__main__":
    main()
