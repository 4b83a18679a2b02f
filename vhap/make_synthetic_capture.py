"""Makes a recording with known truth, ready to track: a random person of a head model, talking."""

from __future__ import annotations

from collections.abc import Sequence

from vhap.api import make_synthetic_capture
from vhap.cli import parse
from vhap.config.synthetic import SyntheticConfig
from vhap.util.errors import exits_cleanly


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    print(make_synthetic_capture(parse(SyntheticConfig, __doc__, args)))


if __name__ == "__main__":
    main()
