"""How far MediaPipe's points lie from the truth of films, region by region, and what looking at a picture costs.

python bench/detector_points.py --films FILM [FILM ...]       # folders of make_synthetic_capture.py
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tables import markdown_table, number

from vhap.cli import parse
from vhap.data.pictures import list_pictures, read_rgb
from vhap.util.errors import InputError, exits_cleanly
from vhap.util.files import read_npz

FACE_PX = 192.0
"""Errors are those of a face whose points fill a box of this longer side, the side of the network's crop."""


@dataclass(frozen=True)
class DetectorPointsConfig:
    films: tuple[Path, ...]
    """Films with known truth, each a folder with images/ and ground_truth/."""


@exits_cleanly
def main(args: Sequence[str] | None = None) -> None:
    config = parse(DetectorPointsConfig, __doc__, args)
    for film in config.films:
        points, seconds = detected(film)
        truth = read_npz(film / "ground_truth" / "landmarks.npz")
        seen = (truth["mediapipe_visibility"] > 0.5) & np.isfinite(points).all(-1)
        print(f"{film.name}: {len(points)} pictures, {1000 * seconds:.1f} ms each; px of a face of {FACE_PX:.0f} px\n")
        print(markdown_table(("region", "x", "y", "constant", "varying"), rows(points, truth["mediapipe_px"], seen)))
        print()


def detected(film: Path) -> tuple[np.ndarray, float]:
    """(T, 478, 2) px, NaN where no face was found, and seconds a picture, reading not included."""
    from vhap.detect.mediapipe_landmarks import POINT_COUNT, MediapipeLandmarks

    pictures = [read_rgb(path) for path in list_pictures(film / "images").values()]
    if not pictures:
        raise InputError(f"expected pictures in {film / 'images'}, found none; give a film of make_synthetic_capture")
    detector = MediapipeLandmarks()
    detector.detect(pictures[0])
    started = time.perf_counter()
    found = [detector.detect(picture) for picture in pictures]
    seconds = (time.perf_counter() - started) / len(pictures)
    nothing = np.full((POINT_COUNT, 2), np.nan)
    return np.stack([nothing if points is None else points for points in found]), seconds


def rows(points: np.ndarray, truth: np.ndarray, seen: np.ndarray) -> list[list[str]]:
    """Of each region: the mean error in x and y, and the RMS length of errors' means over time and of the rest.

    points, truth: (T, N, 2) px; seen: (T, N).
    """
    scale = FACE_PX / np.ptp(truth, axis=1).max(-1)
    error = np.where(seen[..., None], (points - truth) * scale[:, None, None], np.nan)
    table = []
    for name, chosen in {**regions(), "all": slice(None)}.items():
        part = error[:, chosen]
        part = part[:, np.isfinite(part).all(-1).any(0)]
        constant = np.nanmean(part, 0)
        lengths = (np.sqrt(np.nanmean((each**2).sum(-1))) for each in (constant, part - constant))
        table.append([name, *(number(value) for value in (*np.nanmean(part, (0, 1)), *lengths))])
    return table


def regions() -> dict[str, list[int]]:
    """Points of iBUG's set, and the irises, among MediaPipe's."""
    from vhap.detect import ibug

    return {
        "jaw line": list(ibug.JAW_LINE),
        "brows": [*ibug.RIGHT_BROW, *ibug.LEFT_BROW],
        "nose": list(ibug.NOSE),
        "lids": [*ibug.RIGHT_EYE, *ibug.LEFT_EYE],
        "lips": [*ibug.OUTER_LIPS, *ibug.INNER_LIPS],
        "irises": list(range(468, 478)),
    }


if __name__ == "__main__":
    main()
