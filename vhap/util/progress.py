"""How far a long pass is: to a callback where one is set, else a bar on a terminal, else a line in the log every half a
minute."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TypeVar

from tqdm import tqdm

from vhap.util.log import get_logger

T = TypeVar("T")
IS_TERMINAL = sys.stderr is not None and sys.stderr.isatty()
"""Asked once: later a library's start may be holding stderr back (`quiet_stderr.py`)."""
LOG_INTERVAL_S = 30.0


@dataclass(frozen=True)
class ProgressEvent:
    """Where a pass stands. description: what is done; done of total units, total None where it is not known; note: a
    few words more, as the cost at hand."""

    description: str
    done: int
    total: int | None
    note: str = ""


ProgressCallback = Callable[[ProgressEvent], None]
_callback: ContextVar[ProgressCallback | None] = ContextVar("progress_callback", default=None)


@contextmanager
def progress_to(callback: ProgressCallback | None) -> Iterator[None]:
    """Within it every pass of this thread reports to `callback`, and to neither terminal nor log; None changes nothing.
    What the callback raises ends the pass."""
    if callback is None:
        yield
        return
    token = _callback.set(callback)
    try:
        yield
    finally:
        _callback.reset(token)


class Progress:
    """One pass of `total` units, where that is known by now; to be closed."""

    def __init__(self, description: str, total: int | None = None) -> None:
        self.description, self.total = description, total
        self._started = self._logged = time.monotonic()
        self._callback = _callback.get()
        shows_bar = IS_TERMINAL and self._callback is None
        self._bar = tqdm(desc=description, total=total, leave=False) if shows_bar else None

    def reach(self, done: int, note: str = "") -> None:
        """done: units finished so far. note: a few words on where the pass stands."""
        if self._callback is not None:
            self._callback(ProgressEvent(self.description, done, self.total, note))
            return
        if self._bar is not None:
            self._bar.total = self.total
            self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(done - self._bar.n)
            return
        now = time.monotonic()
        if now - self._logged >= LOG_INTERVAL_S:
            self._logged = now
            get_logger().info(self._line(done, note, now - self._started))

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def _line(self, done: int, note: str, seconds: float) -> str:
        if not self.total:
            parts = [f"{self.description}: {done}", note]
        else:
            left = seconds / max(done, 1) * max(self.total - done, 0)
            parts = [f"{self.description}: {done} of {self.total}", f"about {left:.0f} s left", note]
        return ", ".join(filter(None, parts))


def progress(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """The items, one by one, and how many are done; total: their number where they do not know it."""
    known = len(items) if total is None and hasattr(items, "__len__") else total  # pyright: ignore[reportArgumentType]
    with closing(Progress(description, known)) as shown:
        done = 0
        for done, item in enumerate(items, 1):
            shown.reach(done - 1)
            yield item
        shown.reach(done)
