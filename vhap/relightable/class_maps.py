"""Class maps: of every pixel of a picture which part of a person it shows, by the 19 classes of CelebAMask-HQ.

Numbers are in the order in which github.com/zllrunning/face-parsing.PyTorch trains them, which trainers' tools read.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vhap.data.face_classes import FaceClass
from vhap.data.pictures import read_stored, write_picture
from vhap.util.errors import InputError
from vhap.util.optional import import_or_explain

CLASS_NAMES = tuple(entry.name.lower() for entry in FaceClass)
COLOURS = np.array(
    [
        (0, 0, 0), (236, 188, 150), (60, 120, 30), (120, 190, 60), (20, 120, 255), (120, 200, 255), (255, 255, 0),
        (150, 90, 40), (200, 140, 90), (255, 215, 0), (255, 120, 60), (255, 255, 255), (200, 0, 60), (255, 60, 140),
        (215, 150, 200), (255, 160, 0), (60, 80, 160), (130, 40, 180), (0, 150, 130),
    ],
    np.uint8,
)  # fmt: skip
"""(19, 3) RGB of the classes in pictures that people look at."""
SHARE = 0.6
"""Of the class's colour, over the picture's."""
LINE_PX, LEGEND_PX = 18, 120
"""Height of the legend's lines, and its width."""


def write_class_map(path: Path, classes: np.ndarray) -> None:
    """Writes (H, W) whole numbers from 0 to 18 as a grey PNG of these numbers, atomically.

    Raises ValueError for other arrays: they would be read back as something else.
    """
    if classes.ndim != 2 or not np.issubdtype(classes.dtype, np.integer) or not _are_classes(classes):
        raise ValueError(f"expected (H, W) class numbers below {len(FaceClass)}, found {classes.shape} {classes.dtype}")
    if path.suffix.lower() != ".png":
        raise ValueError(f"expected a PNG, which keeps numbers as they are, found {path}")
    write_picture(path, classes.astype(np.uint8))


def read_class_map(path: Path, size: tuple[int, int] | None = None) -> np.ndarray:
    """(H, W) uint8 class numbers. size: (height, width) that it must have. InputError for any other file."""
    found = read_stored(path)
    if found.ndim != 2 or found.dtype != np.uint8:
        channels = 1 if found.ndim == 2 else found.shape[2]
        raise InputError(
            f"expected a class map (one channel of 8 bits) at {path}, found {channels} of {found.dtype.itemsize * 8}; "
            "remove it, so that it is made again"
        )
    if not _are_classes(found):
        raise InputError(
            f"expected class numbers from 0 to {len(FaceClass) - 1} in {path}, found {int(found.max())}; remove it, so "
            "that it is made again"
        )
    if size is not None and found.shape != size:
        raise InputError(
            f"expected a class map of the picture's size ({size[1]}x{size[0]}) at {path}, found "
            f"{found.shape[1]}x{found.shape[0]}; remove it, so that it is made again"
        )
    return found


def _are_classes(values: np.ndarray) -> bool:
    return bool(values.size) and int(values.min()) >= 0 and int(values.max()) < len(FaceClass)


def class_picture(picture: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """A picture to look at: (H, W, 3) uint8 RGB under the classes' colours, and to the right of it, LEGEND_PX wide, the
    names of those that are there, with their shares in per cent."""
    coloured = np.where(
        (classes == FaceClass.BACKGROUND)[..., None], picture, SHARE * COLOURS[classes] + (1 - SHARE) * picture
    )
    legend = np.full((picture.shape[0], LEGEND_PX, 3), 24, np.uint8)
    counts = np.bincount(classes.ravel(), minlength=len(FaceClass))
    for line, number in enumerate(np.flatnonzero(counts)):
        text = f"{100 * counts[number] / classes.size:.1f} {CLASS_NAMES[number]}"
        _write_line(legend, line * LINE_PX, text, COLOURS[number])
    return np.concatenate([coloured.round().astype(np.uint8), legend], 1)


def _write_line(legend: np.ndarray, top: int, text: str, colour: np.ndarray) -> None:
    cv2 = import_or_explain("cv2")
    rgb = tuple(int(value) for value in colour)
    cv2.rectangle(legend, (4, top + 4), (14, top + LINE_PX - 4), rgb, -1)
    origin = (18, top + LINE_PX - 5)
    cv2.putText(legend, text, origin, cv2.FONT_HERSHEY_SIMPLEX, 0.35, (255, 255, 255), 1, cv2.LINE_AA)
