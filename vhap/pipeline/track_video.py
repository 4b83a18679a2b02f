"""Tracking of a video: what prepares it works while this process still loads what tracking needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vhap.config.track import TrackConfig
from vhap.pipeline.track_checks import check_options
from vhap.pipeline.video_source import preparing


def run(config: TrackConfig, lines: Sequence[str] = ()) -> Path:
    """As `track.run`."""
    check_options(config)
    with preparing(config) as preparation:
        # Here, since it loads torch and more.
        from vhap.pipeline import track

        return track.run_beside(preparation, config, lines)
