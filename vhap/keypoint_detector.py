"""Facial landmarks of a subject's pictures: keypoint.json."""

from __future__ import annotations

from collections.abc import Sequence

from vhap.cli import parse
from vhap.config.relightable import KeypointConfig
from vhap.util.errors import exits_cleanly


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(KeypointConfig, __doc__, args)
    from vhap.pipeline.relightable_points import run_keypoints

    print(run_keypoints(config))


if __name__ == "__main__":
    main()
