"""Exports a tracking run as meshes: one a frame (OBJ, PLY), or an animated head in one file (glTF)."""

from __future__ import annotations

from collections.abc import Sequence

from vhap.cli import parse
from vhap.config.export import MeshExportConfig
from vhap.util.errors import exits_cleanly


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(MeshExportConfig, __doc__, args)
    from vhap.pipeline.export_mesh import run

    print(f"meshes: {run(config)}")


if __name__ == "__main__":
    main()
