"""Fits a head to every frame of a preprocessed video."""

from __future__ import annotations

from collections.abc import Sequence

from vhap.cli import parse
from vhap.config.track import TrackConfig
from vhap.util.errors import exits_cleanly


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(TrackConfig, __doc__, args)
    from vhap.pipeline.track import run

    print(run(config))


if __name__ == "__main__":
    main()
