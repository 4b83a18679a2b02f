"""A run's small pictures, by which lost frames are known: read and checked before the first stage that looks at
pictures, which may be long after the landmarks are there."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vhap.data.monocular import MonocularCapture
from vhap.data.rig_capture import RigCapture
from vhap.fit.callbacks import StageTimes
from vhap.fit.events import Callback
from vhap.fit.stages import Stage
from vhap.pipeline.captures import CaptureConfig, require_mattes_at_faces
from vhap.pipeline.lost_frames import Pictures, all_small_pictures, check_pictures
from vhap.util.log import get_logger

AWAITED = "pictures"
"""Name of the seconds that a run has waited for its pictures and read them."""


@dataclass
class RunPictures(Callback):
    """Pictures of a capture, whose mattes may still be in the making. times: is told how long they were waited for."""

    capture: MonocularCapture | RigCapture
    data: CaptureConfig
    times: StageTimes | None = None
    kept: Pictures | None = None

    def read(self) -> list[str]:
        """Reads and checks them now. Returns lines for the log. InputError where they show nothing, or where mattes
        contradict the faces."""
        require_mattes_at_faces(self.capture)
        pictures = all_small_pictures(self.data)
        lines = check_pictures(self.capture, pictures)
        self.kept = pictures
        return lines

    def get(self) -> Pictures:
        """Reads and checks them where that has not been done."""
        if self.kept is None:
            warn(self.read())
        assert self.kept is not None
        return self.kept

    def on_stage_begin(self, stage: Stage) -> None:
        if self.kept is None and stage.photometric:
            self.get()
            if self.times is not None:
                self.times.lap(AWAITED)

    @contextmanager
    def or_no_run(self, folder: Path, is_new: bool) -> Iterator[None]:
        """Removes a new run's folder where the run ends before its pictures have been found right."""
        try:
            yield
        except BaseException:
            if is_new and self.kept is None:
                shutil.rmtree(folder, ignore_errors=True)
            raise


def warn(lines: Sequence[str]) -> None:
    for line in lines:
        get_logger().warning(line)
