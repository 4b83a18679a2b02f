"""The same person through a video in which several faces are found."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

MAX_GAP = 25
"""Frames after which a face that was lost is taken for a new one."""
MAX_STEP, MAX_GROWTH = 0.6, 1.5
"""Movement in face sizes, and ratio of sizes, from one sight of a face to the next."""


@dataclass
class _Track:
    """One face through time: frame -> index among that frame's faces."""

    sights: dict[int, int] = field(default_factory=dict)
    last_box: np.ndarray = field(default_factory=lambda: np.zeros(3))
    weight: float = 0.0


def follow_person(boxes: list[np.ndarray], picture_size: tuple[int, int]) -> list[int | None]:
    """Index of the person's face in every frame, or None where it is not seen.

    boxes: per frame (K, 3) centre x, y and size of the faces, px, K >= 0. picture_size: (height, width).
    The person is who is largest, most central and longest in view; where that face is lost, another one
    counts as the same person only if the two are never seen together.
    """
    tracks = _link(boxes, picture_size)
    chosen: list[int | None] = [None] * len(boxes)
    taken: set[int] = set()
    for track in sorted(tracks, key=lambda track: -track.weight):
        if taken.isdisjoint(range(min(track.sights), max(track.sights) + 1)):
            taken.update(track.sights)
            for frame, index in track.sights.items():
                chosen[frame] = index
    return chosen


def _link(boxes: list[np.ndarray], picture_size: tuple[int, int]) -> list[_Track]:
    middle, diagonal = np.array(picture_size[::-1]) / 2, float(np.hypot(*picture_size))
    tracks: list[_Track] = []
    for frame, here in enumerate(boxes):
        current = [track for track in tracks if frame - max(track.sights) <= MAX_GAP]
        costs = [(_step(track.last_box, box), t, k) for t, track in enumerate(current) for k, box in enumerate(here)]
        assigned: dict[int, _Track] = {}
        used: set[int] = set()
        for cost, t, k in sorted(costs):
            if cost <= MAX_STEP and k not in assigned and t not in used:
                assigned[k] = current[t]
                used.add(t)
        for k, box in enumerate(here):
            track = assigned.get(k)
            if track is None:
                track = _Track()
                tracks.append(track)
            track.sights[frame], track.last_box = k, box
            track.weight += box[2] * (1 - np.linalg.norm(box[:2] - middle) / diagonal)
    return tracks


def _step(before: np.ndarray, after: np.ndarray) -> float:
    """Movement in face sizes; infinite where the size changed too much for one face."""
    ratio = max(before[2], after[2]) / max(1e-6, min(before[2], after[2]))
    return float(np.linalg.norm(after[:2] - before[:2]) / before[2]) if ratio <= MAX_GROWTH else np.inf
