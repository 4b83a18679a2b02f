"""Everything that trainers of relightable avatars read of a subject, from a video, in one command."""

from __future__ import annotations

from collections.abc import Sequence

from vhap.cli import parse
from vhap.config.relightable import RelightableConfig
from vhap.util.errors import exits_cleanly


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(RelightableConfig, __doc__, args)
    from vhap.pipeline.preprocess_relightable import run

    print(run(config))


if __name__ == "__main__":
    main()
