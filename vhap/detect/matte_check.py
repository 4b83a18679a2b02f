"""Alpha maps on disk, a user's own among them, held against the faces that the landmarks follow."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from vhap.data.agreement import Contradiction, contradiction, describe
from vhap.data.pictures import list_pictures, read_alpha
from vhap.util.log import get_logger
from vhap.util.progress import progress

READERS = 4


@dataclass(frozen=True)
class MatteCheck:
    """names: of pictures; points: (T, N, 3) of their faces as `TrackedFaces` has them, or None. Maps that it is shown
    as they are made need not be read again."""

    names: list[str]
    points: np.ndarray | None
    known: dict[str, Contradiction | None] = field(default_factory=dict)

    @cached_property
    def rows(self) -> dict[str, int]:
        """Of the pictures with a face."""
        if self.points is None:
            return {}
        return {name: row for row, name in enumerate(self.names) if (self.points[row, :, 2] > 0).any()}

    def look(self, name: str, alpha: np.ndarray) -> None:
        """A map (H, W) uint8 that has just been made; from any thread."""
        if name in self.rows:
            self.known[name] = self._contradiction(name, alpha)

    def of(self, folder: Path) -> dict[str, Contradiction]:
        """Name -> what is wrong with its map in folder; maps that are not there are no matter here."""
        maps = list_pictures(folder)

        def check(name: str) -> Contradiction | None:
            return self.known[name] if name in self.known else self._contradiction(name, read_alpha(maps[name]))

        names = [name for name in self.rows if name in maps]
        with ThreadPoolExecutor(READERS) as pool:
            found = list(progress(pool.map(check, names), "checking mattes", len(names)))
        return {name: wrong for name, wrong in zip(names, found) if wrong is not None}

    def _contradiction(self, name: str, alpha: np.ndarray) -> Contradiction | None:
        assert self.points is not None
        return contradiction(self.points[self.rows[name]], alpha)


def warn_of(found: dict[str, Contradiction], count: int, folder: Path) -> None:
    """One line, where mattes and landmarks of `count` pictures contradict each other."""
    if found:
        get_logger().warning(
            "landmarks and mattes contradict each other in %s: %s; look at them, and give mattes of your own, another "
            "--matting_method, or --person",
            folder, describe(found, count),
        )  # fmt: skip
