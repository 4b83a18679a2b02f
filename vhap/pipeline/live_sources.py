"""Where live frames come from: a camera, or a video that is given out as a camera would or as fast as it is taken."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from vhap.data.video import probe_video, read_frames
from vhap.util.errors import InputError
from vhap.util.quiet_stderr import stderr_without

SILENCE_S = 2.0
"""A camera that gives no frame for so long is gone."""
RETRY_S = 0.02


@dataclass(frozen=True)
class LiveFrame:
    """number: of the frames that the source gave, from 0 on; time_s: since its first; taken_s: when it was there, on
    the clock time.perf_counter; picture (H, W, 3) uint8 RGB."""

    number: int
    time_s: float
    taken_s: float
    picture: np.ndarray


class Source(Protocol):
    """name: for messages; fps: frames a second, as it says; size: (height, width); is_live: frames come whether they
    are taken or not."""

    name: str
    fps: Fraction
    size: tuple[int, int]
    is_live: bool

    def frames(self, stopped: threading.Event) -> Iterator[LiveFrame]:
        """Until the end, or until stopped. InputError where it breaks in between."""
        ...


class Device(Protocol):
    """What OpenCV's VideoCapture does."""

    def read(self) -> tuple[bool, np.ndarray | None]: ...

    def release(self) -> None: ...


class CameraSource:
    """device: opened; its pictures are BGR. InputError, after SILENCE_S without a picture, where it disappears."""

    is_live = True

    def __init__(
        self, name: str, device: Device, size: tuple[int, int], fps: Fraction, silence_s: float = SILENCE_S
    ) -> None:
        self.name, self.device, self.size, self.fps, self.silence_s = name, device, size, fps, silence_s

    def frames(self, stopped: threading.Event) -> Iterator[LiveFrame]:
        first, last, number = None, time.perf_counter(), 0
        try:
            while not stopped.is_set():
                good, picture = self.device.read()
                now = time.perf_counter()
                if good and picture is not None:
                    first = now if first is None else first
                    yield LiveFrame(number, now - first, now, np.ascontiguousarray(picture[..., ::-1]))
                    last, number = time.perf_counter(), number + 1
                elif now - last > self.silence_s:
                    raise InputError(
                        f"expected frames of {self.name}, found none for {self.silence_s:g} s after {number} frames; "
                        "plug it in again, or close what else uses it"
                    )
                else:
                    stopped.wait(RETRY_S)
        finally:
            self.device.release()


def open_camera(index: int) -> CameraSource:
    """InputError where it cannot be opened or gives no picture."""
    with stderr_without("VIDEOIO", "[ WARN", "[ERROR"):
        device = cv2.VideoCapture(index)
        picture = device.read()[1] if device.isOpened() else None
    if picture is None:
        device.release()
        raise InputError(
            f"expected a camera of number {index}, found none that opens; choose another --camera, close what else "
            "uses it, or give --video"
        )
    device.set(cv2.CAP_PROP_BUFFERSIZE, 1)
    fps = device.get(cv2.CAP_PROP_FPS)
    rate = Fraction(fps).limit_denominator(1001) if 1 <= fps <= 1000 else Fraction(30)
    height, width = picture.shape[:2]
    return CameraSource(f"camera {index}", device, (height, width), rate)


class VideoSource:
    """Every frame of a video, or, paced, those that are due: frame n at n / pace seconds after the first."""

    def __init__(self, path: Path, pace: Fraction | None, own_pace: bool = False) -> None:
        own = probe_video(path).fps
        self.name, self.path = str(path), path
        # As it is decoded: the header has neither rotation nor the shape of pixels.
        height, width = next(read_frames(path, own)).shape[:2]
        self.own_fps, self.size = own, (height, width)
        self.pace = own if own_pace else pace
        self.fps, self.is_live = self.pace or own, self.pace is not None

    def frames(self, stopped: threading.Event) -> Iterator[LiveFrame]:
        started = time.perf_counter()
        for number, picture in enumerate(read_frames(self.path, self.own_fps)):
            if stopped.is_set():
                return
            time_s = float(number / self.fps)
            now = time.perf_counter()
            if self.pace is not None:
                # The first picture comes when ffmpeg has it: from there on the clock counts.
                started = now if number == 0 else started
                if stopped.wait(max(0.0, started + time_s - now)):
                    return
                now = time.perf_counter()
            yield LiveFrame(number, time_s, now, picture.copy())
