"""Combines exported sequences of one person into one dataset."""

from __future__ import annotations

from collections.abc import Sequence

from vhap.cli import parse
from vhap.config.export import CombineConfig
from vhap.util.errors import exits_cleanly


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(CombineConfig, __doc__, args)
    from vhap.pipeline.combine_nerf_datasets import run

    print(f"dataset: {run(config)}")


if __name__ == "__main__":
    main()
