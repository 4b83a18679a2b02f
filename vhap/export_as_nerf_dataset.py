"""Exports a tracking run as a NeRF / 3D Gaussian dataset with the head's parameters."""

from __future__ import annotations

from collections.abc import Sequence

from vhap.cli import parse
from vhap.config.export import ExportConfig
from vhap.util.errors import exits_cleanly


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(ExportConfig, __doc__, args)
    from vhap.pipeline.export_as_nerf_dataset import run

    print(f"dataset: {run(config)}")


if __name__ == "__main__":
    main()
