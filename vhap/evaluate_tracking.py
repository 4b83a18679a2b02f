"""Measures how well a tracking run explains its pictures and, where it is known, the truth."""

from __future__ import annotations

import json
from collections.abc import Sequence

from vhap.api import evaluate
from vhap.cli import parse
from vhap.config.evaluate import EvaluateConfig
from vhap.util.errors import exits_cleanly


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(EvaluateConfig, __doc__, args)
    values = evaluate(config)
    from vhap.data.results import newest_run
    from vhap.evaluate.measure_cameras import camera_table, worst_line
    from vhap.pipeline.evaluate_tracking import EVALUATION, PER_CAMERA, WORST_CAMERAS, clip_values

    print(json.dumps(clip_values(values), indent=4))
    if len(values[PER_CAMERA]["camera_id"]) > 1:
        print(camera_table(values[PER_CAMERA]))
    if line := worst_line(values[WORST_CAMERAS]):
        print(line)
    print(newest_run(config.run) / EVALUATION)


if __name__ == "__main__":
    main()
