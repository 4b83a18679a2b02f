"""Options of the viewer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from vhap.config.ranges import Epoch, Pixels, Range


@dataclass(frozen=True)
class ViewConfig:
    paths: tuple[Path, ...]
    """What to look at: a run folder (or an output folder, whose newest run counts) or a result's file, an exported
    dataset, a preprocessed sequence or a calibrated recording, or a head: builtin, ict, flame, or a head's file. Two
    runs stand side by side."""
    points: Path | None = None
    """A .ply of points to show beside, as trainers of 3D Gaussians write point_cloud.ply."""
    epoch: Epoch = -1
    """Epoch of a run's result; -1 is the last."""
    port: Annotated[int, Range(1, 65_535)] = 8080
    """Of the page, which only this machine can open; from another one forward it: ssh -L PORT:localhost:PORT HOST."""
    picture_px: Pixels = 512
    """Longest side of the pictures that are sent; only those of the moment that is shown are read."""
    texture_px: Pixels = 1024
    """Longest side of the head's texture that is sent."""
    n_sliders: Annotated[int, Range(1, 400)] = 20
    """Identity and expression coefficients of a head that have a slider, of each the first so many."""
