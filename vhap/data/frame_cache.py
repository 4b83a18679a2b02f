"""Decoded pictures kept in memory up to a bound, the least recently used dropped first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

DEFAULT_BYTES = 1 << 30
DECODING_THREADS = 4


class Frame(NamedTuple):
    """rgb (H, W, 3) and alpha (H, W) or None, uint8."""

    rgb: np.ndarray
    alpha: np.ndarray | None

    @property
    def nbytes(self) -> int:
        return self.rgb.nbytes + (0 if self.alpha is None else self.alpha.nbytes)


@dataclass
class FrameCache:
    """Frames by index; `read` is called for what is not kept. Safe to use from several threads."""

    read: Callable[[int], Frame]
    max_bytes: int = DEFAULT_BYTES

    def __post_init__(self) -> None:
        self.frames: OrderedDict[int, Frame] = OrderedDict()
        self.nbytes = 0
        self.lock = threading.Lock()

    def get(self, indices: list[int]) -> list[Frame]:
        with self.lock:
            kept = {index: self.frames[index] for index in indices if index in self.frames}
        missing = [index for index in dict.fromkeys(indices) if index not in kept]
        if len(missing) > 1:
            with ThreadPoolExecutor(min(DECODING_THREADS, len(missing))) as pool:
                kept.update(zip(missing, pool.map(self.read, missing)))
        else:
            kept.update((index, self.read(index)) for index in missing)
        with self.lock:
            for index in dict.fromkeys(indices):
                self._keep(index, kept[index])
        return [kept[index] for index in indices]

    def _keep(self, index: int, frame: Frame) -> None:
        if index not in self.frames:
            self.nbytes += frame.nbytes
        self.frames[index] = frame
        self.frames.move_to_end(index)
        while self.nbytes > self.max_bytes:
            _, dropped = self.frames.popitem(last=False)
            self.nbytes -= dropped.nbytes
