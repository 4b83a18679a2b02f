"""Iris centres of a subject's pictures: iris.json."""

from __future__ import annotations

from collections.abc import Sequence

from vhap.cli import parse
from vhap.config.relightable import IrisConfig
from vhap.util.errors import exits_cleanly


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(IrisConfig, __doc__, args)
    from vhap.pipeline.relightable_points import run_irises

    print(run_irises(config))


if __name__ == "__main__":
    main()
