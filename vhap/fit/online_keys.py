"""Frames of a stream that differ most, kept while it goes on: what a person is estimated from."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

MOST = 24
LEAST_STEP = 0.006
"""Mean distance of two frames' landmarks, in the landmarks' own spread, below which they show the same."""


@dataclass(frozen=True)
class KeyFrame:
    """number, time_s: as the source has them; points (478, 3): pixels and confidence; before (478, 3): those of the
    frame just before it, None without one; picture(): (H, W, 3) uint8."""

    number: int
    time_s: float
    points: Tensor
    before: Tensor | None
    picture: Callable[[], Tensor]


class KeyFrames:
    """At most `most` frames, each as unlike the others as the stream has been so far (k-centre, greedily).

    Threads may share it.
    """

    def __init__(self, most: int = MOST) -> None:
        self.most = most
        self.changes = 0
        self._frames: list[KeyFrame] = []
        self._places = torch.zeros(0, 0)
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._frames)

    def frames(self) -> list[KeyFrame]:
        """In the order in which they came."""
        with self._lock:
            return sorted(self._frames, key=lambda frame: frame.number)

    def offer(self, number: int, time_s: float, points: Tensor, before: Tensor | None, keep: Callable) -> None:
        """A frame with points (478, 3). keep: makes what gives the picture; called where the frame is taken."""
        place = _likeness(points)
        with self._lock:
            index = self._room(place)
            if index is None:
                return
            frame = KeyFrame(number, time_s, points, before, keep())
            if index == len(self._frames):
                self._frames.append(frame)
                self._places = torch.cat([self._places.reshape(index, len(place)), place[None]])
            else:
                self._frames[index], self._places[index] = frame, place
            self.changes += 1

    def _room(self, place: Tensor) -> int | None:
        """Where a frame goes: a new row, that of one which another one is nearest to, or nowhere."""
        if not self._frames:
            return 0
        nearest = float((self._places - place).norm(dim=1).min())
        if nearest < LEAST_STEP * len(place) ** 0.5:
            return None
        if len(self._frames) < self.most:
            return len(self._frames)
        apart = torch.cdist(self._places, self._places).fill_diagonal_(torch.inf)
        smallest = apart.min()
        if nearest <= float(smallest):
            return None
        # Of the two that are most alike the later one goes.
        return int(torch.nonzero(apart == smallest)[-1].max())


def _likeness(points: Tensor) -> Tensor:
    """(2 * 478,) landmarks, centred and scaled, so that poses and expressions both spread."""
    centred = points[:, :2] - points[:, :2].mean(0)
    return (centred / centred.square().mean().sqrt().clamp(min=1e-6)).flatten()
