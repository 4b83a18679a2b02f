"""Any frame of a video, exactly the one that decoding from the beginning gives, from a file that is opened once."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np

from vhap.data.ffmpeg import file_url
from vhap.data.video import frame_times
from vhap.util.errors import InputError
from vhap.util.optional import import_or_explain

STEPS_BACK = (0, 32, 256)
TOLERANCE_S = 1e-4
DECODER_THREADS = 4
"""For each open video; every thread keeps frames of its own in memory, 11 MB each in this dataset."""


class FrameReader:
    """Random access by OpenCV. A seek by it counts as done only where the time of the frame it gave is the right one.

    Neighbours in order cost one decoded frame each; a jump costs those since the key frame before.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._cv2 = import_or_explain("cv2")
        self._times, self._is_key = frame_times(path)
        # Frames of one time cannot be told apart by it.
        self._can_seek = bool((np.diff(self._times) > 2 * TOLERANCE_S).all())
        self._capture = self._open()
        self._next = 0

    def __len__(self) -> int:
        return len(self._times)

    def read(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB. Raises InputError where the video has no such frame, or is damaged there."""
        if not 0 <= index < len(self):
            raise InputError(f"expected a timestep of 0 to {len(self) - 1} in {self.path}, found {index}; correct it")
        if not self._go_to(index):
            self._restart()
        while self._next <= index:
            if not self._grab():
                raise InputError(
                    f"expected {len(self)} frames in {self.path}, found damage at {self._next}; download it again"
                )
        done, picture = self._capture.retrieve()
        if not done:
            raise InputError(f"expected frame {index} in {self.path}, found damage; download it again")
        return self._cv2.cvtColor(picture, self._cv2.COLOR_BGR2RGB)

    def close(self) -> None:
        self._capture.release()

    def _go_to(self, index: int) -> bool:
        """Makes the frame grabbed last the wanted one or one before it; False where no seek did so."""
        if self._next == index + 1:
            return True
        if self._next <= index and not self._is_key[self._next : index + 1].any():
            return True
        for back in STEPS_BACK if self._can_seek else ():
            self._capture.set(self._cv2.CAP_PROP_POS_FRAMES, max(index - back, 0))
            if not self._capture.grab():
                continue
            now = self._now()
            if now is not None and now <= index:
                self._next = now + 1
                return True
        return False

    def _now(self) -> int | None:
        """The frame grabbed last, by its time; None where no frame has this time."""
        time = self._capture.get(self._cv2.CAP_PROP_POS_MSEC) / 1000
        index = int(np.abs(self._times - time).argmin())
        return index if abs(self._times[index] - time) < TOLERANCE_S else None

    def _grab(self) -> bool:
        self._next += 1
        return self._capture.grab()

    def _restart(self) -> None:
        """From the beginning, where counting needs no times."""
        self._capture.release()
        self._capture = self._open()
        self._next = 0

    def _open(self):
        options = [self._cv2.CAP_PROP_N_THREADS, DECODER_THREADS]
        capture = self._cv2.VideoCapture(file_url(self.path), self._cv2.CAP_FFMPEG, options)
        if not capture.isOpened():
            raise InputError(f"expected a video that OpenCV reads at {self.path}, found none; download it again")
        return capture


class OpenVideos:
    """Readers of the videos used last, each opened once, at most `limit` of them. From any thread."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._readers: OrderedDict[Path, FrameReader] = OrderedDict()
        self._process = os.getpid()
        self._inherited: list[FrameReader] = []

    def read(self, path: Path, index: int) -> np.ndarray:
        with self._of_this_process():
            return self._reader(path).read(index)

    def count(self, path: Path) -> int:
        with self._of_this_process():
            return len(self._reader(path))

    def close(self) -> None:
        with self._of_this_process():
            while self._readers:
                self._readers.popitem()[1].close()

    def __getstate__(self) -> dict[str, int]:
        return {"limit": self.limit}

    def __setstate__(self, state: dict[str, int]) -> None:
        self.__init__(state["limit"])

    def _of_this_process(self) -> threading.Lock:
        """The lock; after a fork a new one, and no readers.

        A forked process shares file positions with its parent and lacks the decoders' threads: readers that it
        inherits can neither be used nor closed.
        """
        if self._process != os.getpid():
            self._process, self._lock = os.getpid(), threading.Lock()
            self._inherited += self._readers.values()
            self._readers = OrderedDict()
        return self._lock

    def _reader(self, path: Path) -> FrameReader:
        reader = self._readers.pop(path, None)
        if reader is None:
            while len(self._readers) >= self.limit:
                self._readers.popitem(last=False)[1].close()
            reader = FrameReader(path)
        self._readers[path] = reader
        return reader
