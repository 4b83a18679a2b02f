"""What takes part in the pass over a run for its page: the videos, and the frames of the slider."""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

from vhap.evaluate.frame_panels import PANELS
from vhap.evaluate.grid import labelled_grid
from vhap.evaluate.jpeg import encode_jpeg
from vhap.evaluate.report_charts import most_marked
from vhap.evaluate.video import VideoWriter
from vhap.util.choice import even_choice

WORST_SHOWN = 3
"""By each measure."""
LARGER_IS_WORSE = {"landmark_nme_percent": True, "psnr_face_db": False}
"""The measures by which frames are the worst."""

RowValues = Callable[[int], Mapping[str, float | None]]
"""The values of a row, by the names of LARGER_IS_WORSE; None and NaN where there is nothing to measure."""


class VideoPanels:
    """Some panels of every frame into a video, in a row, or below each other where they show several cameras."""

    def __init__(self, writer: VideoWriter, names: tuple[str, ...], n_views: int) -> None:
        self.writer, self.shown = writer, names
        self.columns = len(names) if n_views == 1 else 1

    def sure_names(self, row: int) -> Collection[str]:
        return self.shown

    def names(self, row: int) -> Collection[str]:
        return self.shown

    def add(self, row: int, panels: Mapping[str, np.ndarray]) -> None:
        self.writer.add(labelled_grid({name: panels[name] for name in self.shown}, self.columns))


@dataclass
class SliderPanels:
    """All panels of an even choice of frames and of the worst ones, at most `most` frames; of few frames all.

    Which frames are the worst is known at the end. The worst so far are kept, as drawn: WORST_SHOWN a measure at most,
    which costs less than a second look at the pictures, since a frame is seldom worse than all before it.
    """

    count: int
    most: int
    values: RowValues
    worst: dict[str, list[tuple[float, int]]] = field(default_factory=dict)
    even: dict[int, dict[str, bytes]] = field(default_factory=dict)
    kept: dict[int, Mapping[str, np.ndarray]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # The worst ones take half of the places at most.
        places = min(WORST_SHOWN, most_marked(self.count), self.most // 4) if self.count > self.most else 0
        self.places = places
        self.chosen = set(even_choice(self.count, self.most - places * len(LARGER_IS_WORSE)))

    def sure_names(self, row: int) -> Collection[str]:
        return PANELS if row in self.chosen else ()

    def names(self, row: int) -> Collection[str]:
        self._rank(row)
        return PANELS if row in self.chosen or row in self._worst_rows() else ()

    def add(self, row: int, panels: Mapping[str, np.ndarray]) -> None:
        if row in self.chosen:
            self.even[row] = _encoded(panels)
        else:
            worst = self._worst_rows()
            self.kept = {old: drawn for old, drawn in self.kept.items() if old in worst} | {row: panels}

    def tiles(self) -> dict[int, dict[str, bytes]]:
        """Row -> panel -> JPEG, ascending; after the pass."""
        worst = self._worst_rows()
        tiles = self.even | {row: _encoded(panels) for row, panels in self.kept.items() if row in worst}
        return dict(sorted(tiles.items()))

    def _rank(self, row: int) -> None:
        """Takes a row among the worst so far where it belongs there; of equal ones the first counts."""
        values = self.values(row)
        for name, larger_is_worse in LARGER_IS_WORSE.items():
            value = values[name]
            if value is not None and math.isfinite(value):
                ranked = self.worst.setdefault(name, [])
                insort(ranked, (-value if larger_is_worse else value, row))
                del ranked[self.places :]

    def _worst_rows(self) -> set[int]:
        return {row for ranked in self.worst.values() for _, row in ranked}


def _encoded(panels: Mapping[str, np.ndarray]) -> dict[str, bytes]:
    return {name: encode_jpeg(panel) for name, panel in panels.items()}
