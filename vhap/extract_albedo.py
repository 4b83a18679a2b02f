"""Takes the light out of a subject's pictures, by the shading of the tracked head."""

from __future__ import annotations

from collections.abc import Sequence

from vhap.cli import parse
from vhap.config.relightable import AlbedoConfig
from vhap.util.errors import exits_cleanly


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(AlbedoConfig, __doc__, args)
    from vhap.pipeline.relightable_albedo import run

    print(run(config))


if __name__ == "__main__":
    main()
