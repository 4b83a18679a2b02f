"""Pictures of a subject's head, cut from a video, without background and clothes."""

from __future__ import annotations

from collections.abc import Sequence

from vhap.cli import parse
from vhap.config.relightable import CropConfig
from vhap.util.errors import exits_cleanly


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(CropConfig, __doc__, args)
    from vhap.pipeline.relightable_crop import run

    print(run(config))


if __name__ == "__main__":
    main()
