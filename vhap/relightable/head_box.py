"""The part of a video's pictures that shows the head: one box for all of them.

The rule for one picture is that of HRAvatar's preprocessing. Of the 68 iBUG points, x0 to x1 and y0 (brows) to y1
(chin): the box's centre is ((x0 + x1) / 2, 0.8 y0 + 0.2 y1), its side is scale times twice the larger of the centre's
distances to x0 and to y0, which is the face's width, as good as always.
"""

from __future__ import annotations

import numpy as np

from vhap.relightable.crop import Box, Crop

CENTRE_DOWN = 0.2
"""Of the way from the brows to the chin."""
NEIGHBOURS, APART = 4, 1.5
"""Pictures before and after with whose faces one is compared, and the distance from their middle, or the change of
size, in their sizes, from which on it is not the same."""


def crop_of_all(
    faces: list[np.ndarray], region: Box, source_size: tuple[int, int], size: tuple[int, int], scale: float
) -> Crop:
    """The smallest crop that holds the rule's square of every picture, as far as the pictures reach.

    A head that moves stays inside with the rule's margin; of a head that rests it is the rule's box. Where the box
    would leave the region, it ends there; then the shorter side grows to the shape of size: by what the pictures show
    on either side, and only where they end by black, the same on both sides.

    faces: (68, 2) px each, at least one. region: part of the pictures that counts. size: (height, width) to write.
    """
    squares = np.array([_square(face.astype(float), scale) for face in faces])
    low, high = squares[:, :2].min(0), squares[:, 2:].max(0)
    x0, y0, x1, y1 = region
    left, top = np.clip(np.floor(low), (x0, y0), (x1 - 1, y1 - 1)).astype(int)
    right, bottom = np.clip(np.ceil(high), (left + 1, top + 1), (x1, y1)).astype(int)
    box = grown((int(left), int(top), int(right), int(bottom)), size, region)
    return Crop(source_size, box, size, region)


def stands_apart(faces: list[np.ndarray]) -> np.ndarray:
    """(T,) bool: faces, (68, 2) px each, that are elsewhere than those of the pictures before and after: mistakes of a
    detector, which would widen the box of all pictures."""
    low, high = (np.array([end(face, axis=0) for face in faces]) for end in (np.min, np.max))
    middles, sizes = (low + high) / 2, (high - low).max(1)
    apart = np.zeros(len(faces), bool)
    for row in range(len(faces)):
        near = slice(max(0, row - NEIGHBOURS), row + NEIGHBOURS + 1)
        size = float(np.median(sizes[near]))
        step = float(np.linalg.norm(middles[row] - np.median(middles[near], axis=0)))
        apart[row] = step > APART * size or abs(sizes[row] - size) > APART * size
    # Of a few pictures, or of pictures that have nothing in common, nobody can say which are wrong.
    return apart & (len(faces) > NEIGHBOURS) & ~apart.all()


def crop_of_first(
    face: np.ndarray, region: Box, source_size: tuple[int, int], size: tuple[int, int], scale: float
) -> Crop:
    """The rule on one picture to the pixel: whole points, the region's last row and column never in, sides even,
    black around it up to the shape of size, also where the pictures show something."""
    x0, y0, x1, y1 = region
    points = (face - (x0, y0)).astype(int)
    (left, top), (right, bottom) = points.min(0), points.max(0)
    centre = np.array([int((right + left) / 2), int(CENTRE_DOWN * bottom + (1 - CENTRE_DOWN) * top)])
    side = int(scale * 2 * max(centre[0] - left, centre[1] - top))
    last = np.array([x1 - x0 - 1, y1 - y0 - 1])
    low = np.clip(centre - side // 2, 0, last - 1)
    high = np.clip(centre + side // 2, low + 1, last)
    low += (high - low) % 2 * (high - low > 1)
    cut = (int(low[0]) + x0, int(low[1]) + y0, int(high[0]) + x0, int(high[1]) + y0)
    return Crop(source_size, grown(cut, size, cut), size, cut)


def crop_of_whole(region: Box, source_size: tuple[int, int], size: tuple[int, int]) -> Crop:
    """All of the region, black around it where its shape is not that of size."""
    return Crop(source_size, grown(region, size, region), size, region)


def grown(box: Box, size: tuple[int, int], region: Box) -> Box:
    """The box with its shorter side grown to the shape of size (height, width), within the region where it has room,
    else the same beyond both of its ends."""
    width, height = box[2] - box[0], box[3] - box[1]
    ratio = size[1] / size[0]
    wanted = max(width, round(height * ratio)), max(height, round(width / ratio))
    (left, right), (top, bottom) = (
        _grown((box[axis], box[axis + 2]), wanted[axis], (region[axis], region[axis + 2])) for axis in (0, 1)
    )
    return left, top, right, bottom


def _grown(side: tuple[int, int], length: int, limits: tuple[int, int]) -> tuple[int, int]:
    start = side[0] - (length - (side[1] - side[0])) // 2
    if length <= limits[1] - limits[0]:
        start = min(max(start, limits[0]), limits[1] - length)
    else:
        start = limits[0] - (length - (limits[1] - limits[0])) // 2
    return start, start + length


def _square(face: np.ndarray, scale: float) -> np.ndarray:
    """(4,) x0 y0 x1 y1 of the rule for one picture."""
    low, high = face.min(0), face.max(0)
    centre = np.array([(low[0] + high[0]) / 2, CENTRE_DOWN * high[1] + (1 - CENTRE_DOWN) * low[1]])
    half = scale * max(centre - low)
    return np.concatenate([centre - half, centre + half])
