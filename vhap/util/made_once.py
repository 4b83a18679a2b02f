"""Results that several threads ask for and that are made once, the latest few kept."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

Key = TypeVar("Key")
Made = TypeVar("Made")


class MadeOnce(Generic[Key, Made]):
    """make(key), kept for the `count` keys that were asked for last. A thread that asks for what another one is making
    waits for it; what fails raises in all of them, and is tried again when it is next asked for."""

    def __init__(self, make: Callable[[Key], Made], count: int) -> None:
        self._make, self._count = make, count
        self._kept: dict[Key, Future[Made]] = {}
        self._lock = threading.Lock()

    def __call__(self, key: Key) -> Made:
        with self._lock:
            kept = self._kept.pop(key, None)
            future: Future[Made] = Future() if kept is None else kept
            self._kept[key] = future
            if len(self._kept) > self._count:
                del self._kept[next(iter(self._kept))]
        if kept is None:
            self._fill(future, key)
        return future.result()

    def take(self, key: Key) -> Made:
        """The same, and not kept any longer."""
        made = self(key)
        with self._lock:
            self._kept.pop(key, None)
        return made

    def _fill(self, future: Future[Made], key: Key) -> None:
        try:
            future.set_result(self._make(key))
        except BaseException as error:
            with self._lock:
                if self._kept.get(key) is future:
                    del self._kept[key]
            future.set_exception(error)
