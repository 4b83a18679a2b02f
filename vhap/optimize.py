"""Fits FLAME to a subject's pictures, for trainers of relightable avatars: flame_params.json, tracked_params.json."""

from __future__ import annotations

from collections.abc import Sequence

from vhap.cli import parse
from vhap.config.relightable import OptimizeConfig
from vhap.util.errors import exits_cleanly


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(OptimizeConfig, __doc__, args)
    from vhap.pipeline.relightable_fit import run

    print(run(config))


if __name__ == "__main__":
    main()
