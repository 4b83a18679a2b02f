"""Exports a tracking run as meshes: one a frame (OBJ, PLY), or an animated head in one file (glTF)."""

from __future__ import annotations

from collections.abc import Sequence

from vhap.api import export_mesh
from vhap.cli import parse
from vhap.config.export import MeshExportConfig
from vhap.util.errors import exits_cleanly


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    print(f"meshes: {export_mesh(parse(MeshExportConfig, __doc__, args))}")


if __name__ == "__main__":
    main()
