"""Makes a recording with known truth, ready to track: a random person of a head model, talking."""

from __future__ import annotations

from collections.abc import Sequence

from vhap.cli import parse
from vhap.config.synthetic import SyntheticConfig
from vhap.util.errors import exits_cleanly


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(SyntheticConfig, __doc__, args)
    from vhap.pipeline.make_synthetic_capture import run

    print(run(config))


if __name__ == "__main__":
    main()
