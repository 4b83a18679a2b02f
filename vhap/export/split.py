"""Which timesteps, cameras and sequences are for training, validation and testing."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from vhap.config.export import DivisionMode

FRONT_VIEW_SERIAL = "222200037"
GROUP_SIZE = 10


def validation_camera(camera_ids: Sequence[str]) -> int | None:
    """Position of the camera held out for validation: NeRSemble's front view, else the last; None where single."""
    if len(camera_ids) < 2:
        return None
    return camera_ids.index(FRONT_VIEW_SERIAL) if FRONT_VIEW_SERIAL in camera_ids else len(camera_ids) - 1


def training_timesteps(count: int) -> int:
    """How many of the first timesteps are for training and validation: ceil(0.7 count), in whole numbers."""
    return -(-7 * count // 10)


def split_frames(frames: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Frames of one sequence -> train, val, test: by time first, then the validation camera out of the early part."""
    timesteps = sorted({frame["timestep_index"] for frame in frames})
    early = set(timesteps[: training_timesteps(len(timesteps))])
    parts = split_cameras([frame for frame in frames if frame["timestep_index"] in early])
    return {**parts, "test": [frame for frame in frames if frame["timestep_index"] not in early]}


def split_cameras(frames: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Frames -> train and val: val is the validation camera, and empty where there is one camera."""
    cameras = dict(sorted({frame["camera_index"]: str(frame["camera_id"]) for frame in frames}.items()))
    position = validation_camera(list(cameras.values()))
    held_out = None if position is None else list(cameras)[position]
    return {
        "train": [frame for frame in frames if frame["camera_index"] != held_out],
        "val": [frame for frame in frames if frame["camera_index"] == held_out],
    }


def held_out_sequences(count: int, subject: str, mode: DivisionMode) -> list[int]:
    """Indices of the sequences held out for testing, in the order in which they are taken out.

    random_group follows published splits: Python's generator seeded with the subject; from the list of what is
    left, one of the first ten, then one of the next ten, and so on. random_single: the one at a uniform number times
    their count, by the same generator, as published splits have it (randrange draws other bits). last: the last.
    none: no sequence.
    """
    generator = random.Random(subject)  # the same stream as random.seed(subject), without touching global state
    left = list(range(count))
    if mode == "none":
        return []
    if mode == "last":
        return [count - 1]
    if mode == "random_single":
        return [int(generator.random() * count)]
    taken = []
    for group in range(max(1, count // GROUP_SIZE)):
        place = generator.randint(0, GROUP_SIZE - 1) + GROUP_SIZE * group
        taken.append(left.pop(min(len(left) - 1, place)))
    return taken
