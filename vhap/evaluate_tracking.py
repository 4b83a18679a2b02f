"""Measures how well a tracking run explains its pictures and, where it is known, the truth."""

from __future__ import annotations

from collections.abc import Sequence

from vhap.cli import parse
from vhap.config.evaluate import EvaluateConfig
from vhap.util.errors import exits_cleanly


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(EvaluateConfig, __doc__, args)
    from vhap.pipeline.evaluate_tracking import run

    path = run(config)
    print(path.read_text(encoding="utf-8"), end="")
    print(path)


if __name__ == "__main__":
    main()
