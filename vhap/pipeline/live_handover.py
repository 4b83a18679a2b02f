"""What one thread hands to the next: a place for a few items that never grows, and that either waits or drops."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Handover(Generic[Item]):
    """At most `room` items. newest_wins: where there is no room the oldest makes place and counts as dropped; else
    `put` waits. After `close` what is there can still be taken."""

    def __init__(self, room: int, newest_wins: bool = False) -> None:
        self.room, self.newest_wins, self.dropped = room, newest_wins, 0
        self._items: deque[Item] = deque()
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: Item) -> bool:
        """False where the handover is closed: the item is gone."""
        with self._changed:
            while not self._closed and len(self._items) >= self.room:
                if self.newest_wins:
                    self._items.popleft()
                    self.dropped += 1
                else:
                    self._changed.wait()
            if self._closed:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def get(self) -> Item | None:
        """The oldest item, for which it waits; None once the handover is closed and empty."""
        with self._changed:
            while not self._items and not self._closed:
                self._changed.wait()
            if not self._items:
                return None
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
