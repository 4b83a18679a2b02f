"""A video's pictures, landmarks and mattes, made by a process of its own while whoever waits for them goes on.

The process (`prepare_video.py`) says on the way what it has reached, what it logs and how far it is; it hands over what
the user did wrong as a line, and ends where the one who started it ends, however that is.
"""

from __future__ import annotations

import contextlib
import pickle
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from types import TracebackType
from typing import IO

from vhap.config.preprocess import PreprocessConfig
from vhap.util.errors import InputError
from vhap.util.log import get_logger
from vhap.util.own_process import receive, send, start_module
from vhap.util.progress import Progress, ProgressEvent
from vhap.util.threads import get_threads

MODULE = "vhap.pipeline.prepare_video"
ENDING_S = 5.0
"""So long a process may take to leave nothing unfinished behind."""


@dataclass(frozen=True)
class Order:
    """What the process is to do. threads: that its kernels use."""

    options: PreprocessConfig
    threads: int


@dataclass(frozen=True)
class Said:
    """A line of its log."""

    level: int
    text: str


@dataclass(frozen=True)
class LandmarksThere:
    """Pictures and landmarks are complete; what is left are mattes."""


@dataclass(frozen=True)
class Failed:
    """It ends with this line for the user."""

    line: str


Message = Said | LandmarksThere | Failed | ProgressEvent


class VideoPreparation:
    """The process, from the side of the one who waits. To be used in a `with`, which ends it."""

    def __init__(self, options: PreprocessConfig) -> None:
        """Starts the process, which makes what the folder lacks."""
        self._process = start_module(MODULE, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._messages: SimpleQueue[Message | None] = SimpleQueue()
        self._has_landmarks = self._has_ended = False
        self._shown: Progress | None = None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            # It may have ended: whoever waits hears how.
            send(self._process.stdin, Order(options, get_threads()))
        threading.Thread(target=_read, args=(self._process.stdout, self._messages), daemon=True).start()

    def await_landmarks(self) -> None:
        """Until pictures and landmarks are complete. InputError as of preprocessing, and where the process was ended
        by others."""
        self._wait(lambda: self._has_landmarks or self._has_ended)

    def await_end(self) -> None:
        """Until everything is complete; errors as of `await_landmarks`."""
        self._wait(lambda: self._has_ended)

    def _wait(self, is_there: Callable[[], bool]) -> None:
        try:
            while not is_there():
                self._take(self._messages.get())
        finally:
            self._show_nothing()

    def _take(self, message: Message | None) -> None:
        if isinstance(message, Said):
            get_logger().log(message.level, "%s", message.text)
        elif isinstance(message, ProgressEvent):
            self._show(message)
        elif isinstance(message, LandmarksThere):
            self._has_landmarks = True
        elif isinstance(message, Failed):
            raise InputError(message.line)
        else:
            self._require_success(self._process.wait())
            self._has_ended = True

    def _require_success(self, status: int) -> None:
        if status < 0:
            raise InputError(
                f"expected the process that makes mattes to end by itself, found it ended by signal {-status}; give "
                "the same command again, with more memory where that was short"
            )
        if status:
            raise RuntimeError(f"{MODULE} ended with exit status {status}")

    def _show(self, event: ProgressEvent) -> None:
        if self._shown is None or self._shown.description != event.description:
            self._show_nothing()
            self._shown = Progress(event.description, event.total)
        self._shown.reach(event.done, event.note)

    def _show_nothing(self) -> None:
        if self._shown is not None:
            self._shown.close()
            self._shown = None

    def __enter__(self) -> VideoPreparation:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends it, whatever it is doing; files that are there are whole."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            # What it has not taken cannot be written any more.
            self._process.stdin.close()
        try:
            self._process.wait(ENDING_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _read(stream: IO[bytes], messages: SimpleQueue[Message | None]) -> None:
    """Hands on what the process says, so that it need not wait until it is heard; None at its end."""
    with stream, contextlib.suppress(EOFError, OSError, pickle.UnpicklingError):
        while (message := receive(stream)) is not None:
            messages.put(message)
    messages.put(None)
