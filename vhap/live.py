"""Follows a head as fast as a camera films it: overlay, head pose, ARKit curves, packets for Unreal."""

from __future__ import annotations

from collections.abc import Sequence

from vhap.cli import parse
from vhap.config.live import LiveConfig
from vhap.util.errors import exits_cleanly


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(LiveConfig, __doc__, args)
    from vhap.pipeline.live_start import run

    print(run(config))


if __name__ == "__main__":
    main()
