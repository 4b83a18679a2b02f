"""Detects the landmarks of a sequence folder's pictures."""

from __future__ import annotations

from collections.abc import Sequence

from vhap.cli import parse
from vhap.config.detect import DetectConfig
from vhap.util.errors import exits_cleanly


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(DetectConfig, __doc__, args)
    from vhap.pipeline.detect_landmarks import run

    print(run(config))


if __name__ == "__main__":
    main()
