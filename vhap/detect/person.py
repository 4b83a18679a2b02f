"""The same person through a video in which several faces are found."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np

from vhap.util.errors import InputError, shown

PERSON = "person"
"""Key of the choice among what decides landmarks and alpha maps; absent or empty: `auto`."""
AUTO = "auto"
"""The person who is largest, most central and longest in view."""
NEAR = 0.75
"""Distance in face sizes between a face's centre and a pixel that means it."""
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


def follow_person(
    boxes: list[np.ndarray], picture_size: tuple[int, int], first: tuple[int, int] | None = None
) -> list[int | None]:
    """Index of the person's face in every frame, or None where it is not seen.

    boxes: per frame (K, 3) centre x, y and size of the faces, px, K >= 0. picture_size: (height, width). first: frame
    and index of a face of the person; None: the person is who is largest, most central and longest in view. Where that
    face is lost, another one counts as the same person only if the two are never seen together.
    """
    tracks = _link(boxes, picture_size)
    chosen: list[int | None] = [None] * len(boxes)
    taken: set[int] = set()
    named = [track for track in tracks if first is not None and track.sights.get(first[0]) == first[1]]
    for track in named + sorted((track for track in tracks if track not in named), key=lambda track: -track.weight):
        if taken.isdisjoint(range(min(track.sights), max(track.sights) + 1)):
            taken.update(track.sights)
            for frame, index in track.sights.items():
                chosen[frame] = index
    return chosen


def parse_person(text: str) -> int | tuple[float, float] | None:
    """`2`: the second from the left; `640,360`: who is at that pixel (x, y); `auto`: None. InputError on others."""
    if text == AUTO:
        return None
    if re.fullmatch(r"[1-9][0-9]{0,3}", text):
        return int(text)
    if re.fullmatch(r"[0-9]{1,6}(\.[0-9]+)?,[0-9]{1,6}(\.[0-9]+)?", text):
        x, y = text.split(",")
        return float(x), float(y)
    raise InputError(
        f"expected --person as a number from 1 on (counted from the left), a pixel x,y or auto, found {shown(text)}"
    )


def person_options(text: str | None) -> dict[str, str] | None:
    """What --person adds to the options that decide landmarks; None where it was not given. InputError on nonsense."""
    if text is None:
        return None
    return {PERSON: "" if parse_person(text) is None else text}


def fullest_frame(boxes: list[np.ndarray]) -> int:
    """The first frame of those with the most faces."""
    return max(range(len(boxes)), key=lambda frame: (len(boxes[frame]), -frame))


def find_face(boxes: list[np.ndarray], person: int | tuple[float, float], names: list[str]) -> tuple[int, int]:
    """Frame and index of the face that --person means; boxes as in `follow_person`, names of the frames.

    A number counts from the left in the first picture of those with the most faces; a pixel means the nearest face in
    the first picture that has one there. Raises InputError where there is none.
    """
    frame = fullest_frame(boxes)
    if isinstance(person, int):
        if person <= len(boxes[frame]):
            return frame, int(np.argsort(boxes[frame][:, 0], kind="stable")[person - 1])
    else:
        for at, here in enumerate(boxes):
            steps = np.hypot(*(here[:, :2] - person).T) / here[:, 2]
            if len(here) and steps.min() <= NEAR:
                return at, int(steps.argmin())
    wanted = str(person) if isinstance(person, int) else f"{person[0]:g},{person[1]:g}"
    found = f"{names[frame]} shows {faces_as_text(boxes[frame])}" if len(boxes[frame]) else "no picture shows a face"
    raise InputError(f"expected a face where --person {wanted} means one, found none ({found}); choose one of these")


def faces_as_text(boxes: np.ndarray) -> str:
    """The faces of a frame, (K, 3), as --person counts them."""
    ordered = boxes[np.argsort(boxes[:, 0], kind="stable")]
    some = ", ".join(f"{number} at {x:.0f},{y:.0f}" for number, (x, y, _) in enumerate(ordered[:5], 1))
    return some + (f" and {len(ordered) - 5} more" if len(ordered) > 5 else "")


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
