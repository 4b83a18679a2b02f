"""Exports a tracking run as a NeRF / 3D Gaussian dataset with the head's parameters."""

from __future__ import annotations

import tyro

from vhap.config.export import ExportConfig
from vhap.util.errors import exits_cleanly


@exits_cleanly
def main() -> None:
    config = tyro.cli(ExportConfig, description=__doc__)
    from vhap.pipeline.export_as_nerf_dataset import run

    print(f"dataset: {run(config)}")


if __name__ == "__main__":
    main()
