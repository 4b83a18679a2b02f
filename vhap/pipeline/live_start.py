"""Following a video: the process that looks for faces works while this one still loads what following needs."""

from __future__ import annotations

from pathlib import Path

from vhap.config.live import LiveConfig
from vhap.pipeline.live_faces import faces_beside


def run(config: LiveConfig) -> Path:
    """As `live.run`."""
    with faces_beside(config) as faces:
        # Here, since it loads torch and more.
        from vhap.pipeline import live

        return live.run(config, follower=faces)
