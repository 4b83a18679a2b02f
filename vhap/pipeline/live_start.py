"""Following a video: what looks for its faces, and prepares its pictures, works while this process still loads."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from vhap.config.live import LiveConfig
from vhap.data.video import probe_video
from vhap.pipeline.live_faces import faces_beside
from vhap.pipeline.video_source import prepared_beside, recording_of


def run(config: LiveConfig) -> Path:
    """As `live.run`."""
    with faces_beside(config) as faces, _prepared(config):
        # Here, since it loads torch and more.
        from vhap.pipeline import live

        return live.run(config, follower=faces)


def _prepared(config: LiveConfig) -> AbstractContextManager[None]:
    """Pictures, landmarks and mattes of a known person's video, made meanwhile where that is asked for."""
    if not config.prepare or config.video is None or config.person is None:
        return nullcontext()
    return prepared_beside(recording_of(config.video, float(probe_video(config.video).fps)))
