"""Faces of a video, found by a process of its own that decodes it, too: beside the heads' Python they would take turns.

`python -m vhap.pipeline.live_faces` reads what it is to look at from its input and writes a face for each frame to its
output, in order; the pipe holds it back where nobody takes them.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO

import numpy as np

from vhap.config.live import LiveConfig
from vhap.data.video import probe_video, read_frames
from vhap.detect.following import FaceFollower, FollowedFace
from vhap.util.errors import InputError
from vhap.util.own_process import end_process, own_output, receive, send, start_module
from vhap.util.threads import one_torch_thread, set_threads

REFUSED = -1
"""In place of a frame's number: why there are no faces."""


@dataclass(frozen=True)
class VideoOrder:
    """The frames of a video, `fps` a second."""

    path: Path
    fps: Fraction


class VideoFaces:
    """The process, from the parent's side: a follower of every frame, asked for in order, by one thread."""

    def __init__(self, path: Path, fps: Fraction) -> None:
        self.path, self.taken = path, 0
        self.process = start_module("vhap.pipeline.live_faces", stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdin is not None
        send(self.process.stdin, VideoOrder(path.absolute(), fps))

    def follow(self, picture: np.ndarray, time_s: float, predicted: np.ndarray | None = None) -> FollowedFace | None:
        """The face in the next frame; what it shows, and when, the process knows by itself."""
        assert self.process.stdout is not None
        answer = receive(self.process.stdout)
        if answer is not None and answer[0] == REFUSED:
            raise InputError(answer[1])
        if answer is None or answer[0] != self.taken:
            raise InputError(
                f"expected a face or none of frame {self.taken} of {self.path}, found that the process that looks for "
                "them has ended; start again, or with --pace own, which does without it"
            )
        self.taken += 1
        return answer[1]

    def close(self) -> None:
        """Ends the process, whatever it is doing."""
        end_process(self.process)


@contextmanager
def faces_beside(config: LiveConfig) -> Iterator[VideoFaces | None]:
    """Faces of the video of which every frame is taken, looked for from now on until they are no longer needed; None of
    other sources."""
    if config.video is None or config.pace is not None:
        yield None
        return
    faces = VideoFaces(config.video, probe_video(config.video).fps)
    try:
        yield faces
    finally:
        faces.close()


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Until the video ends, or nobody listens."""
    order: VideoOrder | None = receive(requests)
    if order is None:
        return
    try:
        follower = FaceFollower()
    except InputError as error:
        send(answers, (REFUSED, str(error)))
        return
    try:
        for number, picture in enumerate(read_frames(order.path, order.fps)):
            send(answers, (number, follower.follow(picture, float(number / order.fps))))
    except (BrokenPipeError, InputError):
        # A video that is broken is the parent's to tell, which reads it, too.
        return


def main() -> None:
    answers = own_output()
    set_threads(1)
    with one_torch_thread():
        serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
