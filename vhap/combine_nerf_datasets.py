"""Combines exported sequences of one person into one dataset."""

from __future__ import annotations

import tyro

from vhap.config.export import CombineConfig
from vhap.util.errors import exits_cleanly


@exits_cleanly
def main() -> None:
    config = tyro.cli(CombineConfig, description=__doc__)
    from vhap.pipeline.combine_nerf_datasets import run

    print(f"dataset: {run(config)}")


if __name__ == "__main__":
    main()
