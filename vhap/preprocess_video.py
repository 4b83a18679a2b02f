"""Makes a sequence folder from a video: pictures, alpha maps and landmarks."""

from __future__ import annotations

from collections.abc import Sequence

from vhap.api import preprocess
from vhap.cli import parse
from vhap.config.preprocess import PreprocessConfig
from vhap.util.errors import exits_cleanly


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    print(preprocess(parse(PreprocessConfig, __doc__, args)))


if __name__ == "__main__":
    main()
