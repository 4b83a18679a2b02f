"""What the examples work on where they get nothing else: a film of the built-in head, seconds to make and to track."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vhap.api import Run, make_synthetic_capture, open_run, track

FOLDER = Path("output/examples")
QUICK: dict[str, Any] = {
    "head": "builtin",
    "landmark_source": "face-alignment",
    "photometric": False,
    "report": False,
    "max_eval_frames": 0,
}
"""Landmarks only, and neither page nor pictures of the run. For results that count leave all of it out."""


def film(folder: Path, name: str = "anna", frames: int = 2, size: int = 128, **options: Any) -> Path:
    """A sequence's folder with pictures, mattes, landmarks and the truth; NAME.mp4 lies beside it."""
    options = {"landmark_source": "face-alignment", **options}
    return make_synthetic_capture(folder / "films" / name, frames=frames, size=size, **options)


def run(folder: Path, source: Path | None = None) -> Run:
    """A finished run of `source`, else of the film; what is finished already is not made again."""
    if source is not None:
        return open_run(source)
    finished = sorted((folder / "run").glob("*/tracked_flame_params_30.npz"))
    return open_run(finished[-1].parent if finished else track(film(folder), output_folder=folder / "run", **QUICK))
