"""Tracks by the points of one's own landmark detector: a file beside the pictures, which tracking reads.

python examples/own_detector.py
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import tyro
from tiny import FOLDER, QUICK, film

from vhap.api import open_capture, track


def detect(picture: np.ndarray, index: int, known: np.ndarray) -> np.ndarray:
    """Stands for a detector: (H, W, 3) in [0, 1] -> (68, 3) x and y in pixels, confidence: the film's own."""
    height, width = picture.shape[:2]
    return known[index, :68] * [width, height, 1]


def main(folder: Path = FOLDER) -> Path:
    source, target = film(folder), folder / "own_points"
    shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("landmark2d"))
    known = np.load(source / "landmark2d" / "face-alignment.npz")["face_landmark_2d"]
    capture = open_capture(target)
    height, width = capture.size
    pictures = [capture.load([t]).rgb[0].numpy() for t in range(len(capture.timestep_ids))]
    points = np.stack([detect(picture, t, known) for t, picture in enumerate(pictures)])
    (target / "landmark2d").mkdir(exist_ok=True)
    # Shares of width and height; -1, -1, 0 where there is no face.
    shares = (points / [width, height, 1]).astype(np.float32)
    np.savez(target / "landmark2d" / "face-alignment.npz", face_landmark_2d=shares, timestep_id=capture.timestep_ids)
    return track(target, output_folder=folder / "own_points_run", **QUICK)


if __name__ == "__main__":
    tyro.cli(main)
