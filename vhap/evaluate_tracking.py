"""Measures how well a tracking run explains its pictures and, where it is known, the truth."""

from __future__ import annotations

import json
from collections.abc import Sequence

from vhap.cli import parse
from vhap.config.evaluate import EvaluateConfig
from vhap.util.errors import exits_cleanly


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(EvaluateConfig, __doc__, args)
    from vhap.pipeline.evaluate_tracking import clip_values, run
    from vhap.util.files import read_json

    path = run(config)
    print(json.dumps(clip_values(read_json(path)), indent=4))
    print(path)


if __name__ == "__main__":
    main()
