"""keypoint.json and iris.json: points of a subject's pictures, ours and those of other tools."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, cast

import numpy as np
from msgspec import Meta

from vhap.data.pictures import natural_order, some_names
from vhap.util.commands import command
from vhap.util.errors import InputError
from vhap.util.files import read_json, write_text
from vhap.util.log import get_logger

KEYPOINTS = 68
MOST_PX = 1e5
DECIMALS = 3
Pixel = Annotated[float, Meta(ge=-MOST_PX, le=MOST_PX)]
Points = dict[str, np.ndarray | None]
"""By the pictures' file names; None where nothing was found."""


def write_keypoints(path: Path, points: Mapping[str, np.ndarray | None]) -> None:
    """points: (68, 2) px each, iBUG's order. A file that holds them already is left alone."""
    _write(path, points)


def write_irises(path: Path, centres: Mapping[str, np.ndarray | None]) -> None:
    """centres: (2, 2) px each, the eye on the image's right first. A file that holds them already is left alone."""
    _write(path, {name: None if found is None else found.ravel() for name, found in centres.items()})


def _write(path: Path, points: Mapping[str, np.ndarray | None]) -> None:
    """A picture a line."""
    lines = [f"    {json.dumps(name)}: {json.dumps(_rounded(found))}" for name, found in points.items()]
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    if not path.is_file() or path.read_bytes() != text.encode():
        write_text(path, text)


def read_keypoints(path: Path, pictures: Iterable[str] | None = None) -> Points:
    """(68, 2) px of each picture, None for null and []. pictures: file names, all of which have to be there, by name or
    without suffix; what else the file holds is left out. InputError on anything else."""
    kind = dict[str, list[tuple[Pixel, Pixel]] | None]
    content = cast(dict[str, list[tuple[float, float]] | None], read_json(path, kind))
    for name, found in content.items():
        if found and len(found) != KEYPOINTS:
            raise InputError(
                f"expected {KEYPOINTS} points [x, y], null or [] for {name} in {path}, found {len(found)}; "
                f"run `{command('keypoint-detector')}` to detect them again"
            )
    points = {name: np.array(found, float) if found else None for name, found in content.items()}
    return _of_pictures(points, pictures, path, "keypoint-detector")


def read_irises(path: Path, pictures: Iterable[str] | None = None) -> Points:
    """(2, 2) px of each picture, the eye on the image's right first; None for null and [], and for a list that repeats
    the last one to the digit: older tools wrote the last picture's where they found nothing. Else as
    `read_keypoints`."""
    content = cast(dict[str, list[float] | None], read_json(path, dict[str, list[Pixel] | None]))
    for name, found in content.items():
        if found and len(found) != 4:
            raise InputError(
                f"expected [xa, ya, xb, yb], null or [] for {name} in {path}, found {len(found)} numbers; "
                f"run `{command('iris')}` to detect them again"
            )
    values = list(content.values())
    repeated = {name for name, before, found in zip(list(content)[1:], values, values[1:]) if found and found == before}
    if repeated:
        get_logger().warning(
            "%s: %d pictures have the irises of the one before to the digit and count as not found: %s",
            path, len(repeated), some_names(sorted(repeated, key=natural_order)),
        )  # fmt: skip
    points = {
        name: np.array(found, float).reshape(2, 2) if found and name not in repeated else None
        for name, found in content.items()
    }
    return _of_pictures(points, pictures, path, "iris")


def _of_pictures(points: Points, pictures: Iterable[str] | None, path: Path, made_by: str) -> Points:
    fractions = [name for name, found in points.items() if found is not None and 0 <= found.min() <= found.max() <= 1]
    if fractions and len(fractions) == sum(found is not None for found in points.values()):
        raise InputError(
            f"expected pixels in {path}, found numbers from 0 to 1 in all pictures; scale them by the pictures' width "
            f"and height, or run `{command(made_by)}`"
        )
    if pictures is None:
        return points
    names = list(pictures)
    keys = {name: name if name in points else Path(name).stem for name in names}
    if absent := [name for name in names if keys[name] not in points]:
        raise InputError(
            f"expected an entry of every picture in {path}, found none of {len(absent)} ({some_names(absent)}); run "
            f"`{command(made_by)}` again"
        )
    return {name: points[keys[name]] for name in names}


def _rounded(points: np.ndarray | None) -> list[float] | list[list[float]] | None:
    return None if points is None else np.round(points.astype(float), DECIMALS).tolist()
