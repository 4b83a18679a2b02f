"""What is slow to make, kept in memory up to a bound, the least recently used dropped first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

MAKING_THREADS = 4


class Sized(Protocol):
    @property
    def nbytes(self) -> int:
        """Of memory."""
        ...


Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value", bound=Sized)


@dataclass
class BoundedCache(Generic[Key, Value]):
    """Values by key; `make` is called for what is not kept. Safe to use from several threads."""

    make: Callable[[Key], Value]
    max_bytes: int

    def __post_init__(self) -> None:
        self.values: OrderedDict[Key, Value] = OrderedDict()
        self.nbytes = 0
        self.lock = threading.Lock()

    def get(self, keys: Sequence[Key]) -> list[Value]:
        with self.lock:
            kept = {key: self.values[key] for key in keys if key in self.values}
        missing = [key for key in dict.fromkeys(keys) if key not in kept]
        if len(missing) > 1:
            with ThreadPoolExecutor(min(MAKING_THREADS, len(missing))) as pool:
                kept.update(zip(missing, pool.map(self.make, missing)))
        else:
            kept.update((key, self.make(key)) for key in missing)
        with self.lock:
            for key in dict.fromkeys(keys):
                self._keep(key, kept[key])
        return [kept[key] for key in keys]

    def _keep(self, key: Key, value: Value) -> None:
        if key not in self.values:
            self.nbytes += value.nbytes
        self.values[key] = value
        self.values.move_to_end(key)
        while self.nbytes > self.max_bytes:
            _, dropped = self.values.popitem(last=False)
            self.nbytes -= dropped.nbytes
