"""Alpha maps on disk, a user's own among them, held against the faces that the landmarks follow."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from vhap.data.agreement import Contradiction, contradiction, describe
from vhap.data.pictures import list_pictures, read_alpha
from vhap.util.log import get_logger
from vhap.util.progress import progress

READERS = 4


def check_mattes(names: list[str], folder: Path, points: np.ndarray | None) -> dict[str, Contradiction]:
    """Name -> what is wrong with its map in folder; maps that are not there are no matter here.

    points: (T, N, 3) of these pictures as `TrackedFaces` has them, or None.
    """
    maps = list_pictures(folder)
    if points is None:
        return {}
    rows = [row for row, name in enumerate(names) if name in maps and (points[row, :, 2] > 0).any()]

    def check(row: int) -> Contradiction | None:
        return contradiction(points[row], read_alpha(maps[names[row]]))

    with ThreadPoolExecutor(READERS) as pool:
        found = list(progress(pool.map(check, rows), "checking mattes", len(rows)))
    return {names[row]: wrong for row, wrong in zip(rows, found) if wrong is not None}


def warn_of(found: dict[str, Contradiction], count: int, folder: Path) -> None:
    """One line, where mattes and landmarks of `count` pictures contradict each other."""
    if found:
        get_logger().warning(
            "landmarks and mattes contradict each other in %s: %s; look at them, and give mattes of your own, another "
            "--matting_method, or --person",
            folder, describe(found, count),
        )  # fmt: skip
