"""Tracks a film whose truth is known, and measures vertices, cameras and pictures against it.

python examples/evaluate_against_truth.py --frames 30 --size 512 --no-quick
"""

from __future__ import annotations

from pathlib import Path

import tyro
from tiny import FOLDER, QUICK, film

from vhap.api import evaluate, track


def main(folder: Path = FOLDER, frames: int = 2, size: int = 128, quick: bool = True) -> float:
    """quick: landmarks only. Returns the mean error of the face's vertices in millimetres."""
    sequence = film(folder, f"truth_{frames}_{size}", frames, size)
    options = QUICK if quick else {name: QUICK[name] for name in ("head", "landmark_source")}
    done = track(sequence, output_folder=folder / f"truth_run_{frames}_{size}_{quick}", **options)
    values = evaluate(done)
    for name, value in sorted(values.items()):
        if isinstance(value, float):
            print(f"{name}: {value:.4g}")
    return values["face_vertex_error_mm_mean"]


if __name__ == "__main__":
    tyro.cli(main)
